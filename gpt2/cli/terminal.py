"""The terminal: what is shown there can be seen, and steers it only where this program means to.

In: standard output and standard error. Out: the same, but what is written to them is made visible: to standard error
always, to standard output where it is a terminal; a pipe gets every character as it is. A sequence of our own, for
colour or a bar, is written to the stream `beneath`. Read next: console.py and progress.py, which do so.
"""

import errno
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from gpt2.base.visible import visible

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


class Shown:
    """A text stream whose every character can be seen. `coloured`: sequences that only colour text pass."""

    def __init__(self, stream: TextIO) -> None:
        self.beneath, self.coloured = stream, False

    def write(self, text: str) -> int:
        """Write the text, visible."""
        parts = _COLOUR.split(text) if self.coloured else [text]
        self.beneath.write("".join(part if n % 2 else visible(part) for n, part in enumerate(parts)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line, visible."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


@contextmanager
def shown_streams() -> Iterator[None]:
    """Inside it, what is printed is made visible, as the module says."""
    before = sys.stdout, sys.stderr
    if sys.stdout.isatty() and not isinstance(sys.stdout, Shown):
        sys.stdout = Shown(sys.stdout)
    if sys.stderr is not None and not isinstance(sys.stderr, Shown):
        sys.stderr = Shown(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def outlasting(report: Callable[[Any], None]) -> Callable[[Any], None]:
    """The same report, of which no error of a terminal that has just closed ends the work that it is about.

    The signal that comes with the closing (SIGHUP) ends that work in its own way.
    """
    if not sys.stdout.isatty():
        return report

    def told(event: Any) -> None:
        try:
            report(event)
        except OSError as error:
            if error.errno != errno.EIO:
                raise

    return told


def beneath(stream: TextIO) -> TextIO:
    """The stream itself, to which a control sequence of our own may be written."""
    return stream.beneath if isinstance(stream, Shown) else stream


@contextmanager
def coloured() -> Iterator[None]:
    """Inside it, sequences that only colour text pass: for the help that tyro prints."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, Shown)]
    for stream in streams:
        stream.coloured = True
    try:
        yield
    finally:
        for stream in streams:
            stream.coloured = False


@contextmanager
def as_they_are() -> Iterator[None]:
    """Inside it, the streams beneath: for another program's progress bars, which steer the terminal."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = beneath(sys.stdout), beneath(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
