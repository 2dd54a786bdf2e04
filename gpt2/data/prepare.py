"""Text files to a data set of token shards.

In: files of documents and a tokenizer. Out: a directory as `gpt2/data/shards.py` describes it, which training
reads next. The directory appears whole at the end or not at all; memory does not grow with the files. A run that is
cut short goes on where its complete shards end (`gpt2/data/unfinished.py`).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from gpt2 import __version__
from gpt2.base.disk import sync
from gpt2.base.errors import Failure, UsageError
from gpt2.base.ours import check_directory, replace
from gpt2.base.sealed import hash_file, sealed
from gpt2.data import encode
from gpt2.data.files import Source, sources, tell_empty
from gpt2.data.own import AIDS, STARTS, data_set
from gpt2.data.shards import DOC_STARTS, FORMAT, MANIFEST, MAX_VOCABULARY, TOKENIZER, ShardWriter
from gpt2.data.unfinished import State, Workplace, kept, workplace
from gpt2.data.workers import encode_all
from gpt2.text.spelled import special_texts, tell_spelled
from gpt2.text.tokenizer import EOT, Tokenizer

SHARD_TOKENS = 100_000_000

Progress = Callable[[int, int], None]
"""Told how many bytes of all files are read, and how many bytes of text are done by this run."""


def prepare(
    files: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    tokenizer: Tokenizer,
    *,
    field: str = "text",
    allow_special: bool = False,
    split_inline: bool = False,
    shard_tokens: int = SHARD_TOKENS,
    processes: int | None = None,
    overwrite: bool = False,
    progress: Progress = lambda read, text: None,
    tell: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Encode the documents of `files` into the directory `out` and return its manifest.

    The content of `out` depends on the files, the tokenizer, `field`, `allow_special`, `split_inline` and
    `shard_tokens`, and on nothing else. A note counts the special tokens that the text spells, unless they are read.

    Args:
        files: files of text and directories of them, see `gpt2/data/files.py`.
        out: must not exist or be empty; with `overwrite` it may also be a data set, which is replaced.
        field: the field of a row, or the column, that holds the text.
        allow_special: read a special token that the text spells as the token; otherwise it is ordinary text.
        split_inline: end a document at every `<|endoftext|>`, also within a line and within a field.
        shard_tokens: tokens in a shard.
        processes: that encode; as many as there are cores when None.
        progress: see `Progress`.
        tell: told in a sentence what becomes of an earlier run that was cut short.

    Raises ValueError for a tokenizer that does not fit, for a file that `documents` refuses, and when there
    is no document at all; UsageError for an `out` that may not be replaced and for numbers out of range; OSError when
    it cannot be written. Complete shards stay for the next run (`kept`); otherwise nothing is left.
    """
    check_tokenizer(tokenizer)
    check_numbers(shard_tokens, processes)
    out = Path(out).resolve()  # a link to another disk: build there
    texts, _ = sources(files)
    check_out(out, [source.path for source in texts], overwrite)
    options = {
        "version": __version__,
        "tokenizer": tokenizer.hash,
        "field": field,
        "shard_tokens": shard_tokens,
        **_reading(allow_special, split_inline),
    }
    try:
        with workplace(out, options, _states(texts)) as place:
            if place.note:
                tell(place.note)
            state = _build(place, texts, tokenizer, processes, progress)
            if state is None:
                place.forget()
                tell(place.note)
                state = _build(place, texts, tokenizer, processes, progress) or place.nothing()
            if _states(texts) != place.files:
                raise ValueError("the files of text were changed while they were read: run the same command again.")
            manifest = _describe(place, texts, tokenizer, state)
            tell_spelled(state.spelled, str(out), split=not split_inline)
            tell_empty(text.name for text, n in zip(texts, state.documents, strict=True) if not n)
            _put_in_place(place, out)
    except OSError as error:
        reason = error.strerror or str(error)  # the half-written file's name would say nothing to a user
        left = "" if kept(out) else ", so nothing was written"
        raise OSError(error.errno, f"{reason}{left}", str(out)) from error
    return manifest


def train_tokenizer(
    files: Sequence[str | os.PathLike[str]],
    vocab_size: int,
    field: str = "text",
    progress: Progress = lambda read, text: None,
    allow_special: bool = False,
    split_inline: bool = False,
) -> Tokenizer:
    """Learn a byte-level BPE on the documents of the files, read as a stream; arguments as in `prepare`.

    With `allow_special` or `split_inline` nothing is learned of how `<|endoftext|>` is spelled.
    """

    def texts() -> Iterator[str]:
        size = 0
        for batch in encode.batches(sources(files)[0], field, True, encode.Place(), split_inline=split_inline):
            for _, text, _ in batch.pieces:
                size += len(text.encode("utf-8", "surrogatepass"))
                yield from text.split(EOT) if allow_special else [text]
            progress(batch.read, size)

    return Tokenizer.train(texts(), vocab_size)


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """Raise ValueError for a tokenizer whose ids do not fit in two bytes, or without `<|endoftext|>`."""
    if tokenizer.vocab_size > MAX_VOCABULARY:
        what = f"a vocabulary of {tokenizer.vocab_size:,} does not fit, since shards hold ids of two bytes"
        raise Failure(what, f"choose a {{tokenizer}} of at most {MAX_VOCABULARY:,} entries.", tokenizer=None)
    if tokenizer.eot_id is None:
        what = f"the tokenizer has no {EOT} to put after each document"
        raise Failure(what, "choose another {tokenizer}, such as bytes or gpt2.", tokenizer=None)


def check_numbers(shard_tokens: int, processes: int | None) -> None:
    """Raise UsageError for numbers out of range."""
    if shard_tokens < 1:
        raise UsageError(argument="shard_tokens", value=shard_tokens, mend="it must be at least 1.")
    if processes is not None and processes < 1:
        raise UsageError(argument="processes", value=processes, mend="it must be at least 1.")


def check_out(out: Path, paths: Sequence[Path], overwrite: bool) -> None:
    """Raise UsageError unless `out` may be written: it is new, or empty, or a data set to `overwrite`."""
    if not paths:
        raise UsageError("no files: name at least one file of text, or a directory of them.")
    above = next(folder for folder in out.resolve().parents if folder.exists())
    if not above.is_dir():
        raise UsageError(f"{above} is a file, so {out} cannot lie in it", "choose another {out}.", out=None)
    if not os.access(above, os.W_OK):
        raise Failure(f"{above} may not be written to", "change its permissions, or choose another {out}.", out=None)
    inside = next((path for path in paths if path.resolve().is_relative_to(out.resolve())), None)
    if inside and overwrite:
        raise UsageError(f"{inside} lies in {out}, which would be replaced", "choose another {out}.", out=None)
    done = "it is a complete data set, so train on it, choose another {out}, or replace it with {overwrite}."
    check_directory(out, data_set(out), overwrite, "out", existing=done)


def is_complete(out: Path) -> bool:
    """Whether a finished data set stands there."""
    return (out / MANIFEST).is_file()


def _states(texts: Sequence[Source]) -> list[list[Any]]:
    """What changes when a file does."""
    return [[text.name, (stat := text.path.stat()).st_size, stat.st_mtime_ns] for text in texts]


def _build(
    place: Workplace, texts: list[Source], tokenizer: Tokenizer, processes: int | None, progress: Progress
) -> State | None:
    """Write the shards, and the raw numbers of the document starts; returns the state at the end.

    None where the notes of an earlier run name a place that the files do not have.
    """
    state = place.state or place.nothing()
    writer = ShardWriter(place.directory, place.options["shard_tokens"], place.shards)
    ahead = writer.tokens - state.tokens  # ids that complete shards hold of the text that is read once more
    size = 0
    allow, split = (bool(place.options.get(name)) for name in ("allow_special", "split_inline"))
    may_cut = tokenizer.splits_before_space and not (allow and any(map(_has_space, special_texts(tokenizer))))
    stream = encode.batches(texts, place.options["field"], may_cut, state.place, allow, split)
    results = encode_all(stream, tokenizer, processes)
    goes_on, read = place.state is not None, False
    with closing(results), open(place.directory / STARTS, "r+b" if goes_on else "w+b") as starts:
        starts.truncate(state.begun * 8)
        begun = hashlib.file_digest(starts, hashlib.sha256)  # of the numbers before the batch
        for batch, encoded in results:
            numbers = (encoded.starts + state.tokens).tobytes()
            starts.write(numbers)
            read = read or bool(batch.pieces)
            complete = len(writer.shards)
            writer.write(encoded.ids[ahead:])
            ahead = max(0, ahead - len(encoded.ids))
            if len(writer.shards) > complete:
                starts.flush()
                sync(place.directory / STARTS)
                state.place = batch.start
                place.save(state, writer.shards, batch.pieces[-1][0] + 1, begun.hexdigest())
            begun.update(numbers)
            state.tokens += len(encoded.ids)
            state.begun += len(encoded.starts)
            for token, n in encoded.spelled.items():
                state.spelled[token] = state.spelled.get(token, 0) + n
            for number, n in encoded.documents.items():
                state.documents[number] += n
            for number, n in encoded.sizes.items():
                state.sizes[number] += n
                size += n
            progress(batch.read, size)
    if goes_on and (ahead or not read):
        return None
    writer.close()
    place.shards = writer.shards
    return state


def _reading(allow_special: bool, split_inline: bool) -> dict[str, bool]:
    """How a text is read, as far as it is not read as it always was: sets prepared before stay as they are."""
    given = {"allow_special": allow_special, "split_inline": split_inline}
    return {name: True for name, on in given.items() if on}


def _has_space(token: str) -> bool:
    return any(char.isspace() for char in token)


def _describe(place: Workplace, texts: list[Source], tokenizer: Tokenizer, state: State) -> dict[str, Any]:
    """Write what stands beside the shards; returns the manifest."""
    if not state.begun:
        raise ValueError(f"there is no document in {', '.join(text.name for text in texts)}: the set would be empty.")
    _save_starts(place.directory / STARTS, state.begun, place.directory / DOC_STARTS)
    tokenizer.save(place.directory / TOKENIZER, overwrite=True)  # data/own.py has seen that the directory is ours
    others = [
        place.directory / DOC_STARTS,
        *sorted(path for path in (place.directory / TOKENIZER).rglob("*") if path.is_file()),
    ]
    fields: dict[str, Any] = {
        "format": FORMAT,
        "tokenizer_hash": tokenizer.hash,
        "vocab_size": tokenizer.vocab_size,
        "eot_id": tokenizer.eot_id,
        **{name: place.options[name] for name in ("allow_special", "split_inline") if name in place.options},
        "dtype": "uint16",
        "tokens": state.tokens,
        "documents": state.begun,
        "bytes": sum(state.sizes),
        "shards": place.shards,
        "files": {path.relative_to(place.directory).as_posix(): hash_file(path) for path in others},
        "sources": [
            {"file": text.name, "sha256": hash_file(text.path), "bytes": size, "documents": n}
            for text, size, n in zip(texts, state.sizes, state.documents, strict=True)
        ],
    }
    manifest = sealed(fields)
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (place.directory / MANIFEST).write_text(text, encoding="utf-8", newline="\n")
    for path in (*others, place.directory / MANIFEST):
        sync(path)
    return manifest


def _save_starts(raw: Path, n: int, path: Path) -> None:
    """The numbers in the format of numpy, without holding them all."""
    with open(raw, "rb") as numbers, open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<u8", "fortran_order": False, "shape": (n,)})
        shutil.copyfileobj(numbers, file)


def _put_in_place(place: Workplace, out: Path) -> None:
    """Give the finished directory its name; what stood there goes only when the new one is complete."""
    place.lock.release()
    replace(place.directory, out, data_set(out))
    for name in AIDS:
        (out / name).unlink(missing_ok=True)
