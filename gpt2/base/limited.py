"""Work that foreign text decides, such as a pattern, in a process of its own with a limit on its time and memory.

In: a function and what to give it. Out: what it returns or raises, or a refusal. Nothing in Python can end a regular
expression or a template from within: so the process is ended. Windows has no such limits, so there the work is done
at once.
"""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from gpt2.base.errors import Failure
from gpt2.base.processes import Processes

CLOCK = 3
"""How many times longer than its processor time a work may take, on a machine that is busy."""


class Limited:
    """A kind of work in a process of its own, which starts with the first question.

    work     a function at the top level of a module
    memory   bytes of addresses that the process may have
    refusal  says what needs more, for so many seconds
    """

    def __init__(self, work: Callable[..., Any], memory: int, refusal: Callable[[float], str]) -> None:
        self._work, self._memory, self._refusal = work, memory, refusal
        self._lost = Failure("a process with limits has ended")
        self._starting = threading.Lock()
        self._running: dict[int, Processes] = {}

    def ask(self, seconds: float, *given: Any) -> Any:
        """`work(*given)`, within so many seconds of processor time, and `CLOCK` times as many of the clock.

        Raises ValueError for more than the limits.
        """
        if os.name != "posix":
            return self._work(*given)
        owner = os.getpid()  # a fork starts one of its own
        with self._starting:
            if owner not in self._running:
                self._running[owner] = Processes(partial(_within, self._work, self._memory), 1, self._lost)
            processes = self._running[owner]
        try:
            return processes.submit(seconds, *given).result()
        except BaseException as error:
            if isinstance(error, MemoryError):
                raise ValueError(self._refusal(seconds)) from None
            if isinstance(error, ValueError) and error is not self._lost:
                raise  # the work's own
            with self._starting:  # it was ended by its limits, or Ctrl-C was pressed
                self._running.pop(owner, None)
            processes.__exit__()
            if error is self._lost:
                raise ValueError(self._refusal(seconds)) from None
            raise


def _within(work: Callable[..., Any], memory: int, seconds: float, *given: Any) -> Any:
    """In that process: the answer within the limits."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal ends the process, whatever it computes
    signal.setitimer(signal.ITIMER_REAL, CLOCK * seconds)
    try:
        return work(*given)
    finally:
        for clock in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(clock, 0)
