"""What reaches a run from outside: a signal that it is to stop, and memory that runs out.

In: signals, PyTorch's errors. Out: a flag that the loop reads after each step; a sentence that names the setting to
change. Read next: loop.py.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import torch

from gpt2.base.errors import Failure
from gpt2.training.recipe import TrainRecipe

AGAIN = 1.0  # seconds
STOPPING = "stopping after this step and saving; once more stops at once, without saving"


class StopSignals:
    """Inside it the first Ctrl-C, SIGTERM or SIGHUP sets `requested`, and a second one raises KeyboardInterrupt.

    `code` is the exit code of a process that such a signal ended: 130, 143 or 129. A SIGTERM or SIGHUP that comes
    again within a second changes nothing, since a terminal that closes sends its signal twice; one that is ignored
    (by `nohup`) stays so. With several processes each has its own flag, and they may see it at different steps: the
    loop must agree on it. Outside the main thread nothing is caught, since Python handles signals there alone.
    """

    def __init__(self, say: Callable[[str], None] = lambda sentence: None) -> None:
        """`say` is called with a sentence when the first signal comes."""
        self.requested, self.code = False, 0
        self._since = 0.0
        self._terminals: list[int] = []
        self._say = say
        self._before: dict[signal.Signals, Any] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.requested:
            if number == signal.SIGINT or now - self._since > AGAIN:
                raise KeyboardInterrupt
            return
        self.requested, self.code, self._since = True, 128 + number, now
        if number == getattr(signal, "SIGHUP", None):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for handle in self._terminals:  # they are gone: what is still said must not end the saving
                os.dup2(nowhere, handle)
            os.close(nowhere)
        with suppress(OSError, RuntimeError):  # RuntimeError: it came in the middle of a line that is being printed
            self._say(STOPPING)

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._terminals = [handle for handle in (1, 2) if os.isatty(handle)]
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def savers(train: TrainRecipe, rows: int, context: int, *, bf16: bool = False, processes: int = 1) -> dict[str, str]:
    """What would still save memory: a clause for each setting, by its name; nothing that the run does already.

    rows        how many rows a process computes at once
    context     tokens per row
    bf16        whether the products are in float32 although the device multiplies bfloat16
    processes   how many train together
    """
    mends = {}
    if rows > 1:
        how = f"now {rows}, to {rows // 2} (the batch stays the same)"
        mends["train.micro_batch_size"] = f"lower {{train.micro_batch_size}}, {how}"
    if not train.activation_checkpointing:
        mends["train.activation_checkpointing"] = "set {train.activation_checkpointing} to true"
    if bf16:
        mends["train.dtype"] = "set {train.dtype} to bfloat16"
    if processes > 1 and train.parallel == "ddp" and train.dtype != "float16":
        mends["train.parallel"] = "set {train.parallel} to fsdp"
    if context > 1:
        mends["train.context"] = f"lower {{train.context}}, now {context}, to {context // 2}"
    else:
        mends[""] = "choose a smaller model"
    return mends


@contextmanager
def explain_out_of_memory(mends: dict[str, str]) -> Iterator[None]:
    """Turn PyTorch's out-of-memory errors into a Failure that says what to change: `mends`, of `savers`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not _is_out_of_memory(error):
            raise
        named: dict[str, Any] = {name: None for name in mends if name}
        raise Failure("memory ran out", mends, **named) from None


def _is_out_of_memory(error: BaseException) -> bool:
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(w in str(error).lower() for w in words)
