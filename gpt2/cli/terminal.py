"""What stands around a command: the terminal that it writes to, and the signals that end it. Read next: console.py.

Streams. In: standard output and standard error. Out: the same, but what is written to them is made visible: to standard
error always, to standard output where it is a terminal; a pipe gets every character as it is. A sequence of our own,
for colour or a bar, is written to the stream `beneath`; console.py does so.

Signals. In: SIGTERM, which `kill` and a system that shuts down send, and SIGHUP, which a terminal that closes sends.
Out: an exception that every block sees, as at Ctrl-C, so that nothing half-written is left.
"""

import errno
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

from gpt2.base.visible import visible

AGAIN = 1.0  # seconds: a terminal that closes sends its signal twice
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


class Ended(SystemExit):
    """A signal, `name`, ends the command with the exit code `number`: 128 and the signal's own.

    As for a KeyboardInterrupt, what stands in its notes (`add_note`) is what the user is told.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = 128 + number
        self.name = signal.Signals(number).name


class EndingSignals:
    """Inside it SIGTERM and SIGHUP raise `Ended`; `code` is the exit code then, None before.

    One that comes again within a second changes nothing, so that what is under way can end; a later one raises again.
    A signal that is ignored (by `nohup`) or handled already stays so. Outside the main thread nothing is caught.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "EndingSignals":
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.code is not None and now - self._since < AGAIN:
            return
        self.code, self._since = 128 + number, now
        raise Ended(number)
