"""How much memory there is for this process.

In: nothing. Out: bytes. Read next: training/machine/fits.py and inference/engine/engine.py, which ask.
"""

import os
from pathlib import Path

CGROUP = Path("/sys") / "fs/cgroup"
LIMITS = (CGROUP / "memory.max", CGROUP / "memory/memory.limit_in_bytes")  # of a container


def memory() -> int | None:
    """Bytes of memory that this machine has, or the container's limit; None where the system does not tell."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):
        return None
    for path in LIMITS:
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(found)
