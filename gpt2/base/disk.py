"""Files that are there whole or not at all, and that the disk has.

In: a path. Out: nothing half-written. Read next: whoever writes, such as checkpoint.py.
"""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gpt2.base.lock import is_free, lock


def sync(path: Path) -> None:
    """Wait until the disk has this file, or the names in this directory."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot sync a directory
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


MENDS = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "make room, or raise the limit of a file's size",
    errno.EROFS: "make the disk writable",
    errno.EIO: "check the disk",
}


@dataclass(frozen=True)
class Refusal:
    """A disk that would not take what was written: which file (empty where nobody knows), why, and what to do first."""

    file: str
    why: str
    mend: str


def refusal(error: BaseException) -> Refusal | None:
    """What an error says of the disk; None where it is about something else."""
    code = re.search(r"os error (\d+)", str(error))  # how safetensors reports what the system said
    number = int(code[1]) if code else getattr(error, "errno", None)
    if number not in MENDS:
        return None
    named = str(error).partition(": could not be written")[0] if code else ""  # by write_tensors of checkpoint/
    return Refusal(str(getattr(error, "filename", None) or named), os.strerror(number).lower(), MENDS[number])


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError of this block name the file: writing to an open file raises one without a name."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def half_written(target: Path) -> Path:
    """A new hidden name beside `target`, under which it is written."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")


def abandoned(target: Path) -> list[Path]:
    """What processes that were killed left of `target`, half-written: no living one holds it (`held`)."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.partial")
    try:
        found = [target.with_name(entry) for entry in os.listdir(target.parent) if name.fullmatch(entry)]
    except OSError:
        return []
    return [path for path in found if not path.is_symlink() and is_free(path)]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Have other processes see that this one is writing a file or directory, until the block ends or it dies."""
    if os.name == "nt":  # there what is open cannot be renamed
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        lock(handle)
        yield
    finally:
        os.close(handle)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A file to write, which takes the name `target` when the block ends well.

    What a process that was killed left of it is deleted.
    """
    for path in abandoned(target):
        with suppress(OSError):
            path.unlink()
    temporary = half_written(target)
    try:
        with naming(target):
            temporary.touch()
            with held(temporary):
                yield temporary
                os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
