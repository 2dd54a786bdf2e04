"""The most memory that one run takes, where one process trains several after another.

In: the device. Out: bytes. The system counts a process's peak over its whole life, so that a small run after a large
one would look large: before each run, freed memory is given back and the count begins again. Read next: job.py.
"""

import ctypes
import gc
import re
from pathlib import Path

import torch

PROCESS = Path("/proc/self")


def count_afresh(device: torch.device) -> bool:
    """Begin to count; False where the system cannot (a CPU without Linux's /proc)."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.init()
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what training/device.py has the C library keep
        (PROCESS / "clear_refs").write_text("5")  # proc(5): sets the peak to what is resident now
    except (OSError, AttributeError, TypeError):
        return False
    return True


def most_memory(device: torch.device) -> int | None:
    """Bytes at most in use since `count_afresh`: of the GPU's memory, or resident in this process; None: unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", (PROCESS / "status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
