"""Files that this program wrote and reads again: opened only where they are files, and compared with their hashes.

In: a path, or the fields of a JSON file. Out: bytes, a hash, or fields with the hash of themselves among them. Read
next: training/run/intact.py, data/unfinished.py.

Something else may stand in the place of a file. Opening a named pipe waits for ever, and a device may have no end.
"""

import errno
import hashlib
import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

OWN = "sha256"
"""The field of a sealed JSON file that holds the hash of all others."""
LARGEST_TEXT = 1 << 28
"""Bytes of a JSON file; those of the largest runs and data sets have some millions."""

KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(path: Path) -> str:
    """What stands in the place of a file, such as "a directory"; empty for a file, and where nothing stands.

    A link is what it leads to, or "a link to nothing".
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "a link to nothing" if os.path.islink(path) else ""
    return next((name for is_kind, name in KINDS if is_kind(mode)), "")


def open_file(path: Path) -> BufferedReader:
    """A file to read. OSError, whose `strerror` says what stands there, for what is none; it never waits."""
    kind = kind_of(path)
    if kind and kind != "a link to nothing":
        raise OSError(errno.EINVAL, f"it is {kind}", str(path))
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags), "rb")


def read_file(path: Path) -> bytes:
    """All of a file. OSError as `open_file`."""
    with open_file(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """All of a text. OSError as `open_file`, and past `LARGEST_TEXT` bytes; ValueError where it is not UTF-8."""
    with open_file(path) as file:
        content = file.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise OSError(errno.EFBIG, "it is too long", str(path))
    return content.decode("utf-8")


def hash_file(path: Path, limit: int | None = None) -> str:
    """SHA-256, in hexadecimal, of a file or of its first `limit` bytes. OSError as `open_file`."""
    digest = hashlib.sha256()
    with open_file(path) as file:
        if limit is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        while limit > 0 and (part := file.read(min(limit, 1 << 20))):
            digest.update(part)
            limit -= len(part)
    return digest.hexdigest()


def own_hash(fields: dict[str, Any]) -> str:
    """SHA-256 of the fields of a JSON file without its own hash, whatever their order and spacing."""
    rest = {name: value for name, value in fields.items() if name != OWN}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def sealed(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as JSON holds them, with the hash of themselves."""
    plain = json.loads(json.dumps(fields))  # as they are read again: lists for tuples
    return {**plain, OWN: own_hash(plain)}
