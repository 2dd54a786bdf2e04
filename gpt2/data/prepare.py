"""Text files to a data set of token shards.

In: files of documents and a tokenizer. Out: a directory as `gpt2/data/shards.py` describes it, which training
reads next. The directory appears whole at the end or not at all; memory does not grow with the files.
"""

import json
import os
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt2.data.documents import check, pieces
from gpt2.data.shards import DOC_STARTS, FORMAT, MANIFEST, MAX_VOCABULARY, TOKENIZER, ShardWriter, read_manifest, sha256
from gpt2.errors import UsageError
from gpt2.tokenizer import EOT, Tokenizer, well_formed

SHARD_TOKENS = 100_000_000
BATCH_CHARACTERS = 1 << 20

Progress = Callable[[int], None]


def prepare(
    files: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    tokenizer: Tokenizer,
    *,
    field: str = "text",
    shard_tokens: int = SHARD_TOKENS,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Encode the documents of `files` into the directory `out` and return its manifest.

    Args:
        files: see `gpt2/data/documents.py`.
        out: must not exist or be empty; with `overwrite` it may also be a data set, which is replaced.
        field: the field of a .jsonl line that holds the text.
        shard_tokens: tokens in a shard.
        jobs: threads that encode; as many as there are cores when None.
        progress: told how many bytes of all files are read.

    Raises ValueError for a tokenizer that does not fit, for a file that `documents` refuses, and when there
    is no document at all; UsageError for an `out` that may not be replaced; OSError when it cannot be
    written.
    """
    check_tokenizer(tokenizer)
    out = Path(out).resolve()  # a link to another disk: build there
    paths = [check(file) for file in files]
    check_out(out, paths, overwrite)
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs} is too few: give 1 or more.")

    building = out.parent / f".{out.name}.{os.getpid()}.tmp"
    try:
        building.mkdir(parents=True)
        manifest = _build(paths, building, tokenizer, field, shard_tokens, jobs, progress)
        _put_in_place(building, out)
    except OSError as error:
        reason = error.strerror or str(error)  # the half-written file's name would say nothing to a user
        raise OSError(error.errno, f"{reason}, so nothing was written", str(out)) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def train_tokenizer(
    files: Sequence[str | os.PathLike[str]],
    vocab_size: int,
    field: str = "text",
    progress: Progress | None = None,
) -> Tokenizer:
    """Learn a byte-level BPE on the documents of the files, read as a stream; `progress` as in `prepare`."""
    paths = [check(file) for file in files]
    return Tokenizer.train((text for _, text, _ in _all_pieces(paths, field, progress)), vocab_size)


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """Raise ValueError for a tokenizer whose ids do not fit in two bytes, or without `<|endoftext|>`."""
    if tokenizer.vocab_size > MAX_VOCABULARY:
        raise ValueError(
            f"a vocabulary of {tokenizer.vocab_size:,} does not fit: shards hold ids of two bytes, "
            f"so at most {MAX_VOCABULARY:,}; choose another --tokenizer."
        )
    if tokenizer.eot_id is None:
        raise ValueError(f"the tokenizer has no {EOT} to put after each document: choose another --tokenizer.")


def check_out(out: Path, paths: Sequence[Path], overwrite: bool) -> None:
    """Raise UsageError unless `out` may be written: it is new, or empty, or a data set to `overwrite`."""
    if not paths:
        raise UsageError("no files: name at least one .txt, .txt.gz or .jsonl file.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: --out takes a directory.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"{out} is not empty: choose another --out, or replace it with --overwrite.")
    inside = next((path for path in paths if path.resolve().is_relative_to(out.resolve())), None)
    if inside:
        raise UsageError(f"{inside} lies in {out}, which --overwrite replaces: choose another --out.")
    try:
        ours = {MANIFEST, DOC_STARTS, TOKENIZER, *(shard["file"] for shard in read_manifest(out)["shards"])}
    except ValueError:
        ours = set()
    if not {path.name for path in out.iterdir()} <= ours:
        raise UsageError(
            f"{out} is not only a prepared data set, so --overwrite leaves it alone: choose another --out."
        )


def _build(
    paths: list[Path],
    directory: Path,
    tokenizer: Tokenizer,
    field: str,
    shard_tokens: int,
    jobs: int | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Write everything but the final name."""
    sizes, documents = [0] * len(paths), [0] * len(paths)
    writer = ShardWriter(directory, shard_tokens)
    doc_starts = array("Q")
    inside = False  # a document whose last piece is still to come
    stream = _all_pieces(paths, field, progress)
    for batch in _batches(stream if tokenizer.splits_before_space else _whole(stream)):
        rows = tokenizer.encode_batch([text for _, text, _ in batch], threads=jobs)
        ids = array("H")
        for (source, text, ends), row in zip(batch, rows, strict=True):
            if not inside:
                doc_starts.append(writer.tokens + len(ids))
            ids.extend(row)
            if ends:
                ids.append(tokenizer.eot_id or 0)
                documents[source] += 1
            inside = not ends
            sizes[source] += len(well_formed(text).encode())
        writer.write(np.frombuffer(ids, dtype=np.uint16))
    writer.close()
    if not doc_starts:
        names = ", ".join(path.name for path in paths)
        raise ValueError(f"there is no document in {names}: the data set would be empty.")
    np.save(directory / DOC_STARTS, np.frombuffer(doc_starts, dtype=np.uint64))
    tokenizer.save(directory / TOKENIZER)
    manifest = {
        "format": FORMAT,
        "tokenizer_hash": tokenizer.hash,
        "vocab_size": tokenizer.vocab_size,
        "eot_id": tokenizer.eot_id,
        "dtype": "uint16",
        "tokens": writer.tokens,
        "documents": len(doc_starts),
        "bytes": sum(sizes),
        "shards": writer.shards,
        "sources": [
            {"file": path.name, "sha256": sha256(path), "bytes": size, "documents": n}
            for path, size, n in zip(paths, sizes, documents, strict=True)
        ],
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


Piece = tuple[int, str, bool]
"""The number of the file, the text, whether the document ends with it."""


def _all_pieces(paths: Sequence[Path], field: str, progress: Progress | None) -> Iterator[Piece]:
    done = 0
    for number, path in enumerate(paths):
        report = None if progress is None else lambda n, before=done: progress(before + n)
        for text, ends in pieces(path, field, report):
            yield number, text, ends
        done += path.stat().st_size
        if progress:
            progress(done)


def _whole(stream: Iterable[Piece]) -> Iterator[Piece]:
    """Documents instead of pieces, for a tokenizer that may not be cut anywhere."""
    parts: list[str] = []
    for number, text, ends in stream:
        parts.append(text)
        if ends:
            yield number, "".join(parts), True
            parts = []


def _batches(stream: Iterable[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    size = 0
    for piece in stream:
        batch.append(piece)
        size += len(piece[1])
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _put_in_place(building: Path, out: Path) -> None:
    """Give the finished directory its name; what stood there goes only when the new one is complete."""
    old = building.with_suffix(".old")
    if out.exists():
        os.replace(out, old)
    try:
        os.replace(building, out)
    except OSError:
        if old.exists():
            os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)
