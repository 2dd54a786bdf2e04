"""Files of text: which ones a path names, and their bytes, decompressed.

In: the paths that a user typed, files or directories. Out: `Source`s in an order that does not depend on the disk,
and for each of them a stream of bytes, which `gpt2/data/documents.py` cuts into documents.
"""

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from gpt2.base.errors import UsageError
from gpt2.base.lfs import refuse_pointer
from gpt2.data.shards import MANIFEST

PACKED = (".gz", ".zst")
SUFFIXES = (*(kind + packed for kind in (".txt", ".jsonl") for packed in ("", *PACKED)), ".parquet")
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file of text; `name` is what the manifest calls it: relative to the directory that was given, if one was."""

    path: Path
    name: str


def sources(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Source], list[Path]]:
    """The files that `paths` name, and what directories hold beside them: files of other kinds, left out.

    A directory stands for the files in it and below it, sorted by their names; hidden ones and prepared data sets
    are passed over. Raises ValueError for a path that is missing, unreadable or of an unknown kind, and for a
    directory without text.
    """
    found: list[Source] = []
    left_out: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(Source(check(path), path.name))
            continue
        names = {file.relative_to(path).as_posix(): file for file in _below(path)}
        inside = [Source(check(names[name]), name) for name in sorted(names) if has_kind(name)]
        if not inside:
            raise ValueError(f"{path} holds no file of text: known are {', '.join(SUFFIXES)}.")
        found += inside
        left_out += [names[name] for name in sorted(names) if not has_kind(name)]
    return found, left_out


def has_kind(name: str, *kinds: str) -> bool:
    """Whether a file's name ends as that of one of these kinds of text (all when none is named), in any case."""
    endings = tuple(s for s in SUFFIXES if s.startswith(kinds)) if kinds else SUFFIXES
    return name.lower().endswith(endings)


def _below(directory: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise ValueError(f"{error.filename} cannot be read: {error.strerror}.") from None

    for folder, folders, files in os.walk(directory, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if MANIFEST in files:
            folders.clear()
            continue
        yield from (Path(folder) / name for name in files if not name.startswith("."))


def check(path: str | os.PathLike[str]) -> Path:
    """The path, if it is a file of a known kind; raises ValueError otherwise."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory: name a file in it ({', '.join(SUFFIXES)}).")
    if not path.exists():
        raise ValueError(f"{path} does not exist: check the file's name.")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path} may not be read: change its permissions.")
    refuse_pointer(path)
    if not has_kind(path.name):
        raise ValueError(f"{path} is of an unknown kind: known are {', '.join(SUFFIXES)}.")
    return path


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """The decompressed bytes of a file as a stream, and a function that tells how much of the file is read.

    Raises ValueError, within the block, for a disk that refuses and for broken compression.
    """
    try:
        with open(path, "rb") as file:
            stream: Any = file
            if path.suffix.lower() == ".gz":
                stream = gzip.GzipFile(fileobj=file, mode="rb")
            elif path.suffix.lower() == ".zst":
                stream = zstd().ZstdFile(file)
            yield io.BufferedReader(stream, BUFFER_BYTES), file.tell
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from None
    except Exception as error:
        if path.suffix.lower() == ".zst" and isinstance(error, zstd().ZstdError):
            raise _damaged(path, error) from None
        raise


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is a damaged {path.suffix} file ({error}): fetch it again.")


def zstd() -> Any:
    """Python's module for Zstandard: in the standard library since 3.14, before that from the extra `data`."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise needs_extra(".zst files")


def needs_extra(what: str) -> UsageError:
    """The sentence for a library that is not installed."""
    return UsageError(f"reading {what} needs one more library: pip install 'glassbox-gpt2[data]'.")
