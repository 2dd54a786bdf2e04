"""Token shards: long runs of ids on disk, written once and then read as one sequence.

In: ids, document by document (`ShardWriter`). Out: `TokenShards`, which
`gpt2/data/batches.py` cuts into windows.

A data set is a directory with
  shard-00000.bin ...  uint16 token ids, little-endian, every document followed by `<|endoftext|>`
  doc_starts.npy       uint64 [documents], where each document begins in the whole sequence
  tokenizer/           the tokenizer's files
  manifest.json        sizes and SHA-256 of all of these, and where they came from
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gpt2.tokenizer import Tokenizer

FORMAT = 1
MANIFEST = "manifest.json"
DOC_STARTS = "doc_starts.npy"
TOKENIZER = "tokenizer"
DTYPE = np.dtype("<u2")
MAX_VOCABULARY = 1 << 16


class ShardWriter:
    """Writes ids into shards of `shard_tokens` tokens each, the last one shorter."""

    def __init__(self, directory: Path, shard_tokens: int) -> None:
        if shard_tokens < 1:
            raise ValueError(f"a shard of {shard_tokens} tokens is too small: --shard-tokens takes 1 or more.")
        self.shards: list[dict[str, Any]] = []
        self.tokens = 0
        self._directory, self._shard_tokens = directory, shard_tokens
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._in_shard = 0

    def write(self, ids: np.ndarray) -> None:
        """Append ids (any integers below 65,536) [n]."""
        ids = ids.astype(DTYPE, copy=False)
        while len(ids):
            if self._file is None:
                self._file = open(self._directory / f"shard-{len(self.shards):05d}.bin", "wb")  # noqa: SIM115
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
                raise ValueError(f"{path} is missing: run gpt2 prepare again.")
            if have != want:
                raise ValueError(
                    f"{path} has {have:,} bytes, not the {want:,} of its manifest: run gpt2 prepare again."
                )
            self._maps.append(np.memmap(path, dtype=DTYPE, mode="r"))
        self._starts = np.cumsum([0, *(len(shard) for shard in self._maps)])
        if len(self) != self.manifest["tokens"]:
            raise ValueError(
                f"{self.directory / MANIFEST} contradicts itself about its tokens: run gpt2 prepare again."
            )
        self.doc_starts = _read_doc_starts(self.directory / DOC_STARTS, self.manifest["documents"])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, part: slice) -> np.ndarray:
        """The ids of a slice with step 1: uint16 [n], a view of the file when it lies in one shard."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("a token set is sliced with a step of 1.")
        if stop <= start:
            return np.empty(0, DTYPE)
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left")) - 1
        runs = [self._maps[i][max(start - self._starts[i], 0) : stop - self._starts[i]] for i in range(first, last + 1)]
        return runs[0] if len(runs) == 1 else np.concatenate(runs)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids; raises ValueError when its files were changed."""
        tokenizer = Tokenizer.load(self.directory / TOKENIZER)
        if tokenizer.hash != self.manifest["tokenizer_hash"]:
            raise ValueError(
                f"{self.directory / TOKENIZER} is not the tokenizer of these shards: run gpt2 prepare again."
            )
        return tokenizer

    def verify(self) -> None:
        """Read every shard and compare its SHA-256; raises ValueError naming the first that differs."""
        for shard in self.manifest["shards"]:
            path = self.directory / shard["file"]
            if sha256(path) != shard["sha256"]:
                raise ValueError(
                    f"{path} was changed: its SHA-256 is not that of the manifest, run gpt2 prepare again."
                )
        self.tokenizer()


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a prepared data set; ValueError when it is missing, damaged or of another format."""
    path = directory / MANIFEST
    if not path.is_file():
        raise ValueError(f"{directory} is not a prepared data set (no {MANIFEST}): make one with gpt2 prepare.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version, kind = manifest["format"], manifest["dtype"]
        for key in ("tokenizer_hash", "vocab_size", "eot_id", "tokens", "documents", "bytes", "shards"):
            manifest[key]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged: run gpt2 prepare again.") from None
    if version != FORMAT or kind != "uint16":
        raise ValueError(
            f"{path} is of format {version} with {kind} ids: this version reads format {FORMAT} with uint16."
        )
    return manifest


def _read_doc_starts(path: Path, documents: int) -> np.ndarray:
    try:
        starts: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        raise ValueError(f"{path} is missing or damaged: run gpt2 prepare again.") from None
    if starts.shape != (documents,):
        raise ValueError(f"{path} has {len(starts):,} documents, not the {documents:,} of its manifest.")
    return starts
