"""Files of text: which ones a path names, and their bytes, decompressed.

In: the paths that a user typed, files or directories. Out: `Source`s in an order that does not depend on the disk, a
note of what a directory holds beside them, and for each of them a stream of bytes, which `gpt2/data/documents.py` cuts
into documents.
"""

import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from gpt2.base.errors import UsageError
from gpt2.base.foreign import plain_name
from gpt2.base.given import kind_given, open_given
from gpt2.base.lfs import refuse_pointer
from gpt2.base.notes import note
from gpt2.base.sealed import kind_of
from gpt2.checkpoint.layout import ADAPTER_WEIGHTS, BUNDLED, HUB_IDS, WEIGHT_FILES
from gpt2.data.shards import MANIFEST, read_manifest

PACKED = (".gz", ".zst")
KINDS = (".txt", ".md", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
SUFFIXES = (*(kind + packed for kind in KINDS for packed in ("", *PACKED)), ".parquet")
KNOWN = f"{', '.join(KINDS)}, each also with {' or '.join(PACKED)} after it, and .parquet"
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file of text; `name` is what the manifest calls it: relative to the directory that was given, if one was."""

    path: Path
    name: str


@dataclass(frozen=True)
class LeftOut:
    """What a directory holds and is not read, and what it is: such as "file of another kind"."""

    path: Path
    what: str


OTHER_KIND = "file of another kind"
HIDDEN = "hidden file or folder"
PREPARED = "prepared data set"
LOOP = "link that leads back to a folder above it"
AGAIN = "link to a folder that is read already"


def sources(paths: Iterable[str | os.PathLike[str]], pipes: bool = False) -> tuple[list[Source], list[LeftOut]]:
    """The files that `paths` name, and what directories hold beside them that is left out; a note counts it.

    A directory stands for the files in it and below it, sorted by their names. A linked folder is read as others are,
    but once. Hidden files, prepared data sets and what is no file are left out. A pipe that is named is read where
    `pipes` says so: by whoever reads each file once. Raises ValueError for a path that is missing, unreadable
    or of an unknown kind, and for a directory without text; UsageError for a model.
    """
    found: list[Source] = []
    all_left: list[LeftOut] = []
    for path in map(Path, paths):
        refuse_model(path)
        if not path.is_dir():
            found.append(Source(check(path, pipes), path.name))
            continue
        left: list[LeftOut] = []
        names = {file.relative_to(path).as_posix(): file for file in _below(path, left)}
        odd = {name: kind for name, file in names.items() if (kind := kind_of(file)) and kind != "a link to nothing"}
        left += [LeftOut(names.pop(name), kind.removeprefix("a ")) for name, kind in sorted(odd.items())]
        inside = [Source(check(names[name]), name) for name in sorted(names) if has_kind(name)]
        if not inside and LeftOut(path, PREPARED) in left:
            raise ValueError(f"{path} is a prepared data set, which holds tokens: {_its_text(path)}.")
        if not inside:
            raise ValueError(f"{path} holds no file of text: known are {KNOWN}.")
        found += inside
        left += [LeftOut(names[name], OTHER_KIND) for name in sorted(names) if not has_kind(name)]
        if left:
            note(f"{path}: left out {_counted(path, left)}")
        all_left += left
    return found, all_left


def _counted(directory: Path, left: list[LeftOut]) -> str:
    """Such as "2 files of another kind (a.png, b.png), 1 hidden file or folder (.git)"."""
    parts = []
    for what in dict.fromkeys(one.what for one in left):
        names = [one.path.relative_to(directory).as_posix() for one in left if one.what == what]
        noun, _, rest = what.partition(" ")
        if noun in ("hidden", "prepared", "named"):
            noun, rest = what, ""
        plural = "hidden files and folders" if what == HIDDEN else f"{noun}s {rest}".strip().replace("leads", "lead")
        shown = ", ".join([*names[:3], *["..."][: len(names) > 3]])
        parts.append(f"{len(names):,} {what if len(names) == 1 else plural} ({shown})")
    return ", ".join(parts)


def tell_empty(names: Iterable[str]) -> None:
    """Say in one note which files hold no document; nothing where there is none."""
    empty = list(names)
    if empty:
        shown = ", ".join([*empty[:3], *["..."][: len(empty) > 3]])
        note(f"{'1 file holds' if len(empty) == 1 else f'{len(empty):,} files hold'} no document: {shown}")


def has_kind(name: str, *kinds: str) -> bool:
    """Whether a file's name ends as that of one of these kinds of text (all when none is named), in any case."""
    endings = tuple(s for s in SUFFIXES if _kind(s) in kinds) if kinds else SUFFIXES
    return name.lower().endswith(endings)


def _kind(suffix: str) -> str:
    """The kind of file without its compression: .json of .json.gz."""
    return next((suffix.removesuffix(packed) for packed in PACKED if suffix.endswith(packed)), suffix)


def _below(directory: Path, left: list[LeftOut]) -> Iterator[Path]:
    """Every file in a directory and below it; linked folders come after all others, each once."""
    read: set[tuple[int, int]] = set()
    links = [directory]
    while links:
        top = links.pop(0)
        above = Path(os.path.realpath(top.parent))
        if top != directory and above.is_relative_to(os.path.realpath(top)):
            left.append(LeftOut(top, LOOP))
            continue
        yield from _one_tree(top, read, left, links)
        links.sort()


def _one_tree(top: Path, read: set[tuple[int, int]], left: list[LeftOut], links: list[Path]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise ValueError(f"{error.filename} cannot be read: {error.strerror}.") from None

    for name, folders, files in os.walk(top, onerror=refuse):
        folder = Path(name)
        state = folder.stat()
        if (state.st_dev, state.st_ino) in read:
            left.append(LeftOut(folder, AGAIN))
            folders.clear()
            continue
        read.add((state.st_dev, state.st_ino))
        if MANIFEST in files:
            left.append(LeftOut(folder, PREPARED))
            folders.clear()
            continue
        left += [LeftOut(folder / name, HIDDEN) for name in sorted([*folders, *files]) if name.startswith(".")]
        seen = [name for name in folders if not name.startswith(".")]
        links += [folder / name for name in seen if (folder / name).is_symlink()]
        folders[:] = sorted(name for name in seen if not (folder / name).is_symlink())
        yield from (folder / name for name in files if not name.startswith("."))


def _its_text(directory: Path) -> str:
    """What to give in place of a prepared data set: the files that it was made of, as its manifest calls them."""
    names: list[str] = []
    with suppress(ValueError, OSError):
        names = [one["file"] for one in read_manifest(directory)["sources"]]
    shown = ", ".join(map(plain_name, names[:3])) + (" ..." if names[3:] else "")
    return f"give the text that it was made of{f', {shown}' if names else ''}"


def refuse_model(path: Path) -> None:
    """UsageError for a name that is a model, or a directory that holds one, where text belongs."""
    weights = (*WEIGHT_FILES, *ADAPTER_WEIGHTS)
    models = [place for place in (path, path / "model") if any((place / name).is_file() for name in weights)]
    named = not path.exists() and str(path) in (BUNDLED, *HUB_IDS, *HUB_IDS.values())
    if models or named:
        what = f"{path} {'is the name of' if named else 'holds'} a model, not text"
        mend = {"model": "name it with {model}", "": "name files of text in its place"}
        raise UsageError(what, mend, model=str([*models, path][0]))


def check(path: str | os.PathLike[str], pipes: bool = True) -> Path:
    """The path, if it is a file of a known kind, or with `pipes` a pipe; raises ValueError otherwise."""
    path = Path(path)
    refuse_model(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory: name a file in it ({KNOWN}).")
    if not path.exists():
        if re.fullmatch(r"[\w-]+/[\w.-]+", str(path)) and not path.parent.exists() and not has_kind(path.name):
            call = f"huggingface_hub.snapshot_download('{path}', repo_type='dataset', local_dir='{path.name}')"
            what = f"{path} does not exist: if it is a data set of the hub"
            raise ValueError(f"{what}, {call} in Python fetches it; then give {path.name}.")
        raise ValueError(f"{path} does not exist: check the file's name.")
    if kind := kind_given(path, pipes and not has_kind(path.name, ".parquet")):
        raise ValueError(f"{path} is {kind}: name a file ({KNOWN}).")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path} may not be read: change its permissions.")
    refuse_pointer(path)
    if not has_kind(path.name):
        raise ValueError(f"{path} is of an unknown kind: known are {KNOWN}.")
    return path


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """The decompressed bytes of a file as a stream, and a function that tells how much of the file is read.

    Raises ValueError, within the block, for a disk that refuses and for broken compression.
    """
    try:
        with open_given(path) as file:
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
    if _is_text(path):
        return ValueError(f"{path} is not compressed: take the ending {path.suffix} off its name.")
    return ValueError(f"{path} is a damaged {path.suffix} file ({error}): fetch it again.")


def _is_text(path: Path) -> bool:
    """Whether a file begins as a text does, without control characters: no compressed file does."""
    if kind_of(path):
        return False  # what a pipe held is read
    with open(path, "rb") as file:
        head = file.read(1024)
    return not any(byte < 32 and byte not in b"\t\n\f\r" for byte in head)


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
