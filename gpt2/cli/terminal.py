"""What stands around a command: the terminal that it writes to, and the signals that end it. Read next: console.py.

Streams. In: standard output and standard error. Out: the same, but what is written to them is made visible: to standard
error always, to standard output where it is a terminal; a pipe gets every character as it is. A sequence of our own,
for colour or a bar, is written to the stream `beneath`; console.py does so.

Signals. In: SIGTERM, which `kill` and a system that shuts down send, and SIGHUP, which a terminal that closes sends.
Out: an exception that every block sees, as at Ctrl-C, so that nothing half-written is left.
"""

import errno
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO, cast

from gpt2.base.errors import DiskFailure
from gpt2.base.visible import visible

AGAIN = 1.0  # seconds: a terminal that closes sends its signal twice
GONE = "its reader has gone"
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


class Lasting:
    """A text stream that ends no work: after its first failure what is written to it is lost."""

    def __init__(self, stream: TextIO, tell: Callable[[OSError], None] = lambda error: None) -> None:
        self.stream, self.tell = stream, tell
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write the text, where that can still be done."""
        self._try(lambda: self.stream.write(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written."""
        self._try(self.stream.flush)

    def _try(self, step: Callable[[], object]) -> None:
        if self.failure is not None:
            return
        try:
            step()
        except OSError as error:
            self.failure = error
            forget(self.stream)
            self.tell(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def outlasting() -> Iterator[None]:
    """Around work that is more than what it prints: it goes on when its output is full, or its reader has gone.

    That is said on standard error. DiskFailure at the end of the work when the output is not whole.
    """
    drawn = sys.stdout.isatty()

    def tell(error: OSError) -> None:
        print(f"gpt2: standard output: {_why(error, drawn)}: the work goes on without it.", file=sys.stderr, flush=True)

    before = sys.stdout, sys.stderr
    shown = [stream for stream in before if isinstance(stream, Shown)]
    raw = [stream.beneath for stream in shown]
    output, other = Lasting(beneath(sys.stdout), tell), Lasting(beneath(sys.stderr))
    for stream in shown:
        stream.beneath = cast(TextIO, output if stream is sys.stdout else other)
    sys.stdout = sys.stdout if sys.stdout in shown else cast(TextIO, output)
    sys.stderr = sys.stderr if sys.stderr in shown else cast(TextIO, other)
    try:
        yield
        output.flush()
    finally:
        sys.stdout, sys.stderr = before
        for stream, one in zip(shown, raw, strict=True):
            stream.beneath = one
    if output.failure is not None and _why(output.failure, drawn) != GONE:
        what = f"standard output: {_why(output.failure, drawn)}"
        raise DiskFailure(what, "what was printed is not whole, but the work is done, and need not be done again.")


def _why(error: OSError, drawn: bool) -> str:
    """Why nothing more can be printed. `drawn`: on a terminal, which is gone when it cannot be written."""
    gone = error.errno == errno.EPIPE or (drawn and error.errno == errno.EIO)
    return GONE if gone else str(error.strerror or error).lower()


def forget(stream: TextIO) -> None:
    """Have nobody told what could not be written to the stream."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
    """Inside it SIGTERM and SIGHUP raise `Ended`; `code` is the exit code then, None before. `raised` is the latest
    exception that a signal raised, Ctrl-C's too.

    While a module is being imported, these and Ctrl-C wait until it is: an exception that comes while a library in C++
    sets itself up ends the process with the library's own stack.
    One that comes again within a second changes nothing, so that what is under way can end; a later one raises again.
    A signal that is ignored (by `nohup`) or handled already stays so. Outside the main thread nothing is caught.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self.raised: KeyboardInterrupt | Ended | None = None
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "EndingSignals":
        if threading.current_thread() is threading.main_thread():
            for name, plain in (("SIGTERM", signal.SIG_DFL), ("SIGHUP", signal.SIG_DFL),
                                ("SIGINT", signal.default_int_handler)):  # fmt: skip
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) == plain:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if _imports(frame):
            later = threading.Timer(0.05, os.kill, (os.getpid(), number))
            later.daemon = True
            later.start()
            return
        if number == signal.SIGINT:
            self.raised = KeyboardInterrupt()
            raise self.raised
        now = time.monotonic()
        if self.code is not None and now - self._since < AGAIN:
            return
        self.code, self._since = 128 + number, now
        self.raised = Ended(number)
        raise self.raised


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported just now."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
