"""A computation in a thread that another thread can end: it stops at its next operation on a tensor.

In: an event that says when nobody waits for the result any more. Out: `Stopped`, raised inside the computation. Read
next: server/jobs.py, which runs the questions of the page so. Nothing else could end a thread: without this, a long
pass over a model runs on for somebody who has left.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.overrides import TorchFunctionMode

POLL = 0.05  # seconds between two looks at whether a computation that waits is to stop
_here = threading.local()


class Stopped(BaseException):
    """Raised inside a computation that nobody waits for any more. `except Exception` lets it pass."""


class _AtEachOperation(TorchFunctionMode):
    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self.stop = stop

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self.stop.is_set():
            raise Stopped
        return func(*args, **(kwargs or {}))


@contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """Inside it, in this thread, every function of torch raises `Stopped` once `stop` is set; its result is the same
    as outside."""
    before = getattr(_here, "stop", None)
    _here.stop = stop
    try:
        with _AtEachOperation(stop):
            yield
    finally:
        _here.stop = before


def check() -> None:
    """Raise `Stopped` where the computation of this thread is to stop: for long steps without torch."""
    stop = getattr(_here, "stop", None)
    if stop is not None and stop.is_set():
        raise Stopped


@contextmanager
def turn(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock. Whoever waits for it and is to stop raises `Stopped`, and does not wait on."""
    while not lock.acquire(timeout=POLL):
        check()
    try:
        yield
    finally:
        lock.release()
