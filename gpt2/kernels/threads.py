"""How many threads the kernel uses: as many as PyTorch has, fewer while another program wants the processor.

In: how long each pass took. Out: the number of threads for the next one. Where cores are shared, a thread that waits
for its turn holds up all the others, and one thread less is often faster. No result depends on the number.
Read next: blocks.py, which asks before each pass.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

FEW = 8  # rows up to which a pass waits for the memory, and not for its threads
PASSES = 4  # whose mean time is compared
CROWDED = 1.3  # times the shortest mean so far: then one thread less is tried
BETTER = 0.95  # of the mean before a trial, at most: then its number stays
SETTLE = 2  # passes after a change of the number that are not counted: threads that are not needed still spin
PAUSE = 24  # times PASSES from a trial that failed to the next, at most; sooner where cores have nothing to do
SHORT_PAUSE = 3  # that after the first trial that failed; each further one doubles it
IDLE = 0.5  # cores
STAT = Path("/proc", "stat")  # of Linux


class Count:
    """The number of threads for passes over one number of rows: `now`, at most `most`."""

    def __init__(self, most: int, idle: Callable[[], float] | None = None) -> None:
        self.most = self.now = most
        self._idle = idle or IdleCores()
        self._times: list[float] = []
        self._shortest = 0.0  # mean on `most` threads; 0: not known, so that the first one seems crowded
        self._before: tuple[int, float] | None = None  # during a trial: the number before it, and its mean
        self._step, self._wait, self._pause = -1, 0, SHORT_PAUSE
        self._settle = 0

    def took(self, seconds: float) -> None:
        """Tell how long a pass took on `now` threads; `now` is for the next one then."""
        if self._settle > 0:
            self._settle -= 1
            return
        self._times.append(seconds)
        if len(self._times) < PASSES or self.most == 1:
            return
        mean = sum(self._times) / len(self._times)
        self._times.clear()
        if self._before is not None:
            self._end_trial(mean, *self._before)
            return
        self._wait -= 1
        crowded = mean > CROWDED * self._shortest
        if self.now == self.most:
            self._shortest = min(self._shortest or mean, mean)
            self._step = -1
            if not crowded:
                self._wait, self._pause = 0, SHORT_PAUSE  # a crowd that comes is answered at once
        elif self._idle() > IDLE:
            self._step, self._wait = 1, -1
        elif self.now == 1:
            self._step = 1
        if self._wait < 0 and (crowded or self.now < self.most):
            self._before = (self.now, mean)
            self._change(self.now + self._step)

    def _end_trial(self, mean: float, count: int, before: float) -> None:
        self._before = None
        if mean < BETTER * before:
            self._wait, self._pause = 0, SHORT_PAUSE
        else:
            self._change(count)
            self._step, self._wait = -self._step, self._pause
            self._pause = min(2 * self._pause, PAUSE)

    def _change(self, number: int) -> None:
        self.now, self._settle = number, SETTLE


class IdleCores:
    """How many processor cores had nothing to do since it was asked before; 0 where the system does not tell."""

    def __init__(self) -> None:
        self._before = (0.0, 0.0)

    def __call__(self) -> float:
        try:
            ticks = STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]  # user, nice, system, idle, ...
            all_of, idle = float(sum(map(int, ticks))), float(ticks[3])
        except (OSError, ValueError, IndexError):
            return 0.0
        (all_before, idle_before), self._before = self._before, (all_of, idle)
        share = (idle - idle_before) / max(all_of - all_before, 1.0)
        return share * (os.cpu_count() or 1) if all_before else 0.0


_counts: dict[tuple[int, int], Count] = {}
_recent: Count | None = None


def now() -> int:
    """Threads for a product that belongs to the most recent pass."""
    most = torch.get_num_threads()
    return most if _recent is None or _recent.most != most else _recent.now


@contextmanager
def of_pass(rows: int) -> Iterator[int]:
    """Threads for a pass over so many rows, which is timed where it is short."""
    global _recent
    most = torch.get_num_threads()
    if rows > FEW:
        _recent = None
        yield most
        return
    count = _recent = _counts.setdefault((rows, most), Count(most))
    began, threads = time.perf_counter(), count.now
    yield threads
    count.took(time.perf_counter() - began)
