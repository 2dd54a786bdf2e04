"""The signals that end a command: how it ends at them, and with which exit code.

In: SIGTERM, which `kill` and a system that shuts down send, and SIGHUP, which a terminal that closes sends. Out: an
exception that every block sees, as at Ctrl-C, so that nothing half-written is left. Read next: main.py.
"""

import signal
import threading
import time
from types import FrameType
from typing import Any

AGAIN = 1.0  # seconds: a terminal that closes sends its signal twice


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
