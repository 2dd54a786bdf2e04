"""Files that a user names, opened so that nothing waits for ever and nothing is read without an end.

In: a path. Out: a stream, or an OSError whose `strerror` says what stands there. Read next: data/files.py.

A pipe is as good as a file where it is read once: `<(command)` in a shell names one. A named pipe may have nobody who
writes to it, and a device no end.
"""

import errno
import os
import select
from io import BufferedReader
from pathlib import Path

from gpt2.base.sealed import kind_of

PIPE, DEVICE = "a named pipe", "a device"
PATIENCE = 10.0  # seconds in which something must come out of a named pipe
LARGEST = 1 << 30  # bytes of what is read whole


def kind_given(path: Path, pipes: bool = True) -> str:
    """What stands in the place of a file and cannot be read as one, such as "a device"; empty for what can.

    pipes   whether a pipe can be read, which gives its bytes once

    A terminal and the null device are read as files are, and `/dev/stdin` is what it leads to.
    """
    kind = kind_of(path)
    ends = kind == DEVICE and (os.path.realpath(path) == os.devnull or _is_terminal(path))
    return "" if ends or kind == "a link to nothing" or (kind == PIPE and pipes) else kind


def open_given(path: Path) -> BufferedReader:
    """A file or a pipe to read. OSError for a directory, a device, and a named pipe to which nothing is written."""
    kind = kind_given(path)
    if kind:
        raise OSError(errno.EINVAL, f"it is {kind}", str(path))
    if kind_of(path) != PIPE or _is_open(path):
        return open(path, "rb")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    if not waiting.poll(PATIENCE * 1000):
        os.close(handle)
        raise OSError(errno.EINVAL, f"it is {PIPE}, and nothing is written to it", str(path))
    os.set_blocking(handle, True)
    return open(handle, "rb")


def read_given(path: Path) -> bytes:
    """All of a file or a pipe. OSError as `open_given`, and for more than `LARGEST` bytes."""
    with open_given(path) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, "it is too long", str(path))
    return content


def _is_open(path: Path) -> bool:
    """Whether a name is that of a pipe which this process was given open: then it has, or had, a writer."""
    return str(path.absolute().parent) in ("/dev/fd", "/proc/self/fd") or str(path.absolute()) == "/dev/stdin"


def _is_terminal(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    except OSError:
        return False
    try:
        return os.isatty(handle)
    finally:
        os.close(handle)
