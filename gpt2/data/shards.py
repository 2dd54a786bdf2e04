"""Token shards: long runs of ids on disk, written once and then read as one sequence.

In: ids, document by document (`ShardWriter`). Out: `TokenShards`, which
`gpt2/data/batches.py` cuts into windows.

A data set is a directory with
  shard-00000.bin ...  uint16 token ids, little-endian, every document followed by `<|endoftext|>`
  doc_starts.npy       uint64 [documents], where each document begins in the whole sequence
  tokenizer/           the tokenizer's files
  manifest.json        sizes and SHA-256 of all of these, and where they came from

Every document is followed by the id `manifest["eot_id"]`, which text never encodes to: within any window of ids a
document begins after each such id. Training needs no more than that to keep documents apart (a mask for attention).
"""

import hashlib
import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gpt2.base.foreign import plain_name
from gpt2.base.kinds import is_like, parse_own
from gpt2.base.sealed import OWN, hash_file, own_hash, read_text
from gpt2.base.visible import quoted
from gpt2.text.tokenizer import Tokenizer

FORMAT = 1
MANIFEST = "manifest.json"
DOC_STARTS = "doc_starts.npy"
TOKENIZER = "tokenizer"
DTYPE = np.dtype("<u2")
MAX_VOCABULARY = 1 << 16


KINDS = {
    "tokenizer_hash": str, "vocab_size": int, "eot_id": int, "tokens": int, "documents": int, "bytes": int,
    "shards": [{"file": str, "tokens": int, "sha256": str}], "files?": {str: (str, None)},
}  # fmt: skip
"""What is read of a manifest, by kind (gpt2/base/kinds.py)."""


def shard_name(number: int) -> str:
    """The name of a shard's file; they are counted from 0."""
    return f"shard-{number:05d}.bin"


class ShardWriter:
    """Writes ids into shards of `shard_tokens` tokens each, the last one shorter.

    Attributes:
        shards: of each complete shard its file, tokens and SHA-256. They are on the disk, come what may.
        tokens: written so far.
    """

    def __init__(self, directory: Path, shard_tokens: int, shards: Iterable[dict[str, Any]] = ()) -> None:
        """Begin after `shards`, complete ones of an earlier writer."""
        self.shards = list(shards)
        self.tokens = sum(shard["tokens"] for shard in self.shards)
        self._directory, self._shard_tokens = directory, shard_tokens
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._in_shard = 0

    def write(self, ids: np.ndarray) -> None:
        """Append ids (any integers below 65,536) [n]."""
        ids = ids.astype(DTYPE, copy=False)
        while len(ids):
            if self._file is None:
                self._file = open(self._directory / shard_name(len(self.shards)), "wb")  # noqa: SIM115
                self._hash, self._in_shard = hashlib.sha256(), 0
            part = ids[: self._shard_tokens - self._in_shard]
            ids = ids[len(part) :]
            self._file.write(part.tobytes())
            self._hash.update(part.tobytes())
            self._in_shard += len(part)
            self.tokens += len(part)
            if self._in_shard == self._shard_tokens:
                self.close()

    def close(self) -> None:
        """Finish the shard that is open."""
        if self._file is None:
            return
        file, self._file = self._file, None
        name = Path(file.name).name
        with file:
            file.flush()
            os.fsync(file.fileno())
        self.shards.append({"file": name, "tokens": self._in_shard, "sha256": self._hash.hexdigest()})


class TokenShards:
    """A data set on disk as one sequence of ids, memory-mapped.

    `len(shards)` is the number of tokens, `shards[a:b]` the ids a to b as uint16 [b - a], across shards.
    Opening checks that every file is there and has its size; `verify` reads everything and checks the hashes.

    Attributes:
        manifest: the content of manifest.json.
        doc_starts: uint64 [documents], where each document begins.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Open a directory that `gpt2 prepare` wrote; raises ValueError when it is not one or is damaged."""
        self.directory = Path(directory)
        self.manifest = read_manifest(self.directory)
        self._maps: list[np.ndarray] = []
        for shard in self.manifest["shards"]:
            path = self.directory / shard["file"]
            want, have = shard["tokens"] * DTYPE.itemsize, path.stat().st_size if path.is_file() else None
            if have is None:
                raise ValueError(f"{path} is missing: {again(self.directory)}.")
            if have != want:
                raise ValueError(
                    f"{path} has {have:,} bytes, not the {want:,} of its manifest: {again(self.directory)}."
                )
            self._maps.append(np.memmap(path, dtype=DTYPE, mode="r").view(np.ndarray))  # slices of it are cheaper
        self._starts = [0, *accumulate(len(shard) for shard in self._maps)]
        if len(self) != self.manifest["tokens"]:
            raise ValueError(
                f"{self.directory / MANIFEST} contradicts itself about its tokens: {again(self.directory)}."
            )
        self.doc_starts = _read_doc_starts(self.directory / DOC_STARTS, self.manifest["documents"])

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, part: slice) -> np.ndarray:
        """The ids of a slice with step 1: uint16 [n], a view of the file when it lies in one shard."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("a token set is sliced with a step of 1.")
        if stop <= start:
            return np.empty(0, DTYPE)
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop) - 1
        runs = [self._maps[i][max(start - self._starts[i], 0) : stop - self._starts[i]] for i in range(first, last + 1)]
        return runs[0] if len(runs) == 1 else np.concatenate(runs)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids; raises ValueError when its files were changed."""
        return _read_tokenizer(self.directory, self.manifest)

    def verify(self) -> None:
        """Read every file and compare its SHA-256; raises ValueError naming the first that differs."""
        for problem in damage(self.directory):
            raise ValueError(problem)


def damage(directory: str | os.PathLike[str], progress: Callable[[int], None] | None = None) -> Iterator[str]:
    """What is wrong with a prepared data set, a sentence for each file that is not as it was written.

    Everything is read; `progress` is told how many bytes are. Raises ValueError when it is no data set at all.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    files = [(shard["file"], shard["sha256"]) for shard in manifest["shards"]]
    files += manifest.get("files", {DOC_STARTS: None}).items()  # only newer data sets hash more than shards
    done = 0
    for name, expected in files:
        path = directory / name
        if not path.is_file():
            yield f"{path} is missing: {again(directory)}."
            continue
        if expected not in (None, hash_file(path)):
            yield f"{path} was changed: its SHA-256 is not that of the manifest: {again(directory)}."
        done += path.stat().st_size
        if progress:
            progress(done)
    try:
        _read_tokenizer(directory, manifest)
    except ValueError as error:
        yield str(error)


def again(directory: Path | str, tokenizer: Path | str | None = None) -> str:
    """What to type to make a data set anew; FILE stands for the texts, whose places a manifest does not keep."""
    of = "" if tokenizer is None else f" --tokenizer {quoted(str(tokenizer))}"
    return f"make it again with gpt2 prepare FILE ...{of} --out {quoted(str(directory))} --overwrite"


def _elsewhere(directory: Path) -> str:
    """The same where the manifest is damaged: nothing tells what in the directory may be replaced (own.py)."""
    return f"make it again in another directory with gpt2 prepare FILE ... --out {quoted(f'{directory}.new')}"


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a prepared data set; ValueError when it is missing, damaged or of another format."""
    path = directory / MANIFEST
    if not path.is_file():
        raise ValueError(f"{directory} is not a prepared data set (no {MANIFEST}): make one with gpt2 prepare.")
    try:
        manifest: dict[str, Any] = parse_own(read_text(path), {"format": int, "dtype": str})
        version, kind = manifest["format"], manifest["dtype"]
        known = version == FORMAT and kind == "uint16"
        if known and not is_like(manifest, KINDS):
            raise ValueError
        if known and OWN in manifest and manifest[OWN] != own_hash(manifest):  # version 0.1 wrote none
            raise ValueError
    except ValueError:
        raise ValueError(f"{path} is damaged: {_elsewhere(directory)}.") from None
    if not known:
        mine = f"this version reads format {FORMAT} with uint16"
        raise ValueError(f"{path} is of format {version} with {plain_name(kind)} ids: {mine}.")
    return manifest


def _read_doc_starts(path: Path, documents: int) -> np.ndarray:
    try:
        starts: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        if starts.ndim != 1 or starts.dtype != np.uint64:
            raise ValueError
    except (OSError, ValueError, TypeError, OverflowError, EOFError, RecursionError, MemoryError):
        raise ValueError(f"{path} is missing or damaged: {again(path.parent)}.") from None
    if len(starts) != documents:
        raise ValueError(
            f"{path} has {len(starts):,} documents, not the {documents:,} of its manifest: {again(path.parent)}."
        )
    return starts


def _read_tokenizer(directory: Path, manifest: dict[str, Any]) -> Tokenizer:
    try:
        same = (tokenizer := Tokenizer.load(directory / TOKENIZER)).hash == manifest["tokenizer_hash"]
    except ValueError:
        raise ValueError(f"{directory / TOKENIZER} is damaged: {again(directory)}.") from None
    if not same:
        raise ValueError(f"{directory / TOKENIZER} is not the tokenizer of these shards: {again(directory)}.")
    return tokenizer
