"""A checkpoint's chat template runs in a process of its own, with limits on its memory and time.

In: a question about a template. Out: the answer, or a refusal that names the limit. A sandbox keeps a template from
files and from Python's insides, but no sandbox keeps a program from running for ever or filling the memory.
"""

import os
import signal
import threading
from typing import Any

from gpt2.base.errors import Failure
from gpt2.base.processes import Processes
from gpt2.text.template_machine import answer

MEMORY = 2**30
"""Bytes that reading or rendering a template may take."""
SECONDS = 10
"""Of processor time, for one conversation."""

_LOST = Failure("the process of the chat template has ended")
_starting = threading.Lock()
_running: dict[int, Processes] = {}


def within_limits(question: str, *given: Any) -> Any:
    """`answer` of template_machine.py, asked in the process that all templates share; it starts with the first.

    Raises ValueError for what the template refuses or cannot do, and for more than the limits. Windows has no such
    limits, so there the template runs at once.
    """
    if os.name != "posix":
        return answer(question, *given)
    owner = os.getpid()  # a fork starts one of its own
    with _starting:
        if owner not in _running:
            _running[owner] = Processes(_limited, 1, _LOST)
        processes = _running[owner]
    try:
        return processes.submit(SECONDS, question, *given).result()
    except BaseException as error:
        if isinstance(error, ValueError) and error is not _LOST:
            raise  # the template's own
        with _starting:  # it was ended by its limits, or Ctrl-C was pressed
            _running.pop(owner, None)
        processes.__exit__()
        if error is _LOST:
            raise ValueError(_refusal(SECONDS)) from None
        raise


def _refusal(seconds: float) -> str:
    return (
        f"the chat template needs more than {seconds} seconds or {MEMORY // 2**30} GiB of memory, which are the most "
        "here: mend it, or take it away."
    )


def _limited(seconds: float, question: str, *given: Any) -> Any:
    """In that process: the answer within the limits."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal ends the process, whatever it computes
    try:
        return answer(question, *given)
    except MemoryError:
        raise ValueError(_refusal(seconds)) from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
