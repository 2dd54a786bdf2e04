"""Where `gpt2 chat` hears the user: the lines that are typed or piped in, and Ctrl-C.

In: standard input. Out: a message at a time; what a pipe holds already is seen before it is asked for. Read next:
chat.py.
"""

import select
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

from gpt2.base.errors import UsageError, to_utf8

PROMPT, GOES_ON = "> ", ". "
LONGEST = 1 << 24  # bytes of a message in a pipe
MOST = 1 << 20  # bytes that are looked through after the end of a conversation


class Interrupt:
    """Inside it the first Ctrl-C sets `pressed`, so that nothing is cut in two, and the second ends the command.

    In a pipe (`terminal` False) the first ends it, as everywhere.
    """

    def __init__(self, terminal: bool) -> None:
        self.terminal, self.pressed = terminal, False

    def __enter__(self) -> "Interrupt":
        if self.terminal:
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.terminal:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


class Lines:
    """The messages of standard input: typed behind a prompt, with Python's line editing, or the lines of a pipe."""

    def __init__(self, prompts_on_stdout: bool) -> None:
        self.terminal = sys.stdin.isatty()
        self.prompts_on_stdout = prompts_on_stdout and sys.stdout.isatty()
        self.number = 0
        self._held, self._ended = b"", False  # of a pipe: bytes that no message has had, and whether they are the last
        if self.terminal and self.prompts_on_stdout:
            with suppress(ImportError):  # input() then remembers lines and has arrow keys
                import readline  # noqa: F401

    def message(self) -> str | None:
        """The next message; None where there is no more."""
        line = self._line(PROMPT)
        while line is not None and line.endswith("\\"):
            more = self._line(GOES_ON)
            line = line[:-1] + ("" if more is None else f"\n{more}")
            if more is None:
                break
        return line

    def is_empty(self) -> bool:
        """Whether it is certain already that a pipe holds no message. Nothing is waited for."""
        while not self.terminal and not self._held.strip() and not self._ended and self._ready():
            self._read()
        return self._ended and not self._held.strip()

    def unread(self) -> tuple[int, bool]:
        """How many lines that are not empty stand in a pipe, and whether that is all. Nothing is waited for."""
        while not self.terminal and not self._ended and len(self._held) < MOST and self._ready():
            self._read()
        return sum(bool(line.strip()) for line in self._held.splitlines()), self._ended

    def _line(self, prompt: str) -> str | None:
        self.number += 1
        if not self.terminal:
            return self._piped()
        if not self.prompts_on_stdout:
            print(prompt, end="", file=sys.stderr, flush=True)
        try:
            return input(prompt if self.prompts_on_stdout else "")
        except EOFError:
            print(file=sys.stderr)
            return None
        except UnicodeDecodeError as error:
            raise self._not_utf8(error) from None

    def _piped(self) -> str | None:
        searched = 0
        while (end := self._held.find(b"\n", searched) + 1) == 0 and not self._ended:
            searched = len(self._held)
            if searched > LONGEST:
                raise UsageError(f"line {self.number} is longer than {LONGEST >> 20} MiB: pipe in shorter messages.")
            self._read()
        line = self._held[: end or None]
        self._held = self._held[len(line) :]
        try:
            return line.decode("utf-8").rstrip("\r\n") if line else None
        except UnicodeDecodeError as error:
            raise self._not_utf8(error) from None

    def _read(self) -> None:
        """Take what comes next in a pipe; the end of it sets `_ended`."""
        buffer: Any = sys.stdin.buffer
        piece = buffer.read1(1 << 16)
        self._held, self._ended = self._held + piece, not piece

    def _ready(self) -> bool:
        """Whether a read comes back at once."""
        try:
            return bool(select.select([sys.stdin], [], [], 0)[0])
        except (OSError, ValueError):  # no file of the system's, so nothing to wait for
            return True

    def _not_utf8(self, error: UnicodeDecodeError) -> UsageError:
        return UsageError(f"line {self.number} is not UTF-8: {to_utf8(error)}")
