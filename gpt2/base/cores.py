"""How many processor cores there are for this process.

In: nothing. Out: a number. Read next: whoever starts processes or threads, such as data/workers.py.
"""

import math
import os
from pathlib import Path

GROUPS = Path("/sys", "fs", "cgroup")


def cores() -> int:
    """Processor cores that this process may use; a container's limit, which may be a part of a core, is rounded up."""
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _limit()
    return may if limit is None else max(1, min(may, math.ceil(limit)))


def respect_limit() -> None:
    """Have the libraries that are imported from now on start no more threads than a container's limit gives cores.

    They count the machine's cores by themselves. What the user has set (OMP_NUM_THREADS) stays.
    """
    if _limit() is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))


def _limit() -> float | None:
    """Cores that a container may use at a time, from its group's quota per period; None without a limit."""
    try:
        quota, period = (GROUPS / "cpu.max").read_text().split()  # version 2: "50000 100000", or "max 100000"
    except (OSError, ValueError):
        try:
            quota, period = ((GROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    try:
        return float(quota) / float(period) if float(quota) > 0 and float(period) > 0 else None
    except ValueError:  # "max"
        return None
