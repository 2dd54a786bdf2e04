"""How many processor cores there are for this process.

In: nothing. Out: a number. Read next: whoever starts processes or threads, such as data/workers.py.
"""

import os


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
