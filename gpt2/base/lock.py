"""One process at a time: the lock of an open file.

In: a file that is open. Out: whether it is ours until it is closed or the process dies. Read next: whoever writes a
file over hours, such as ablation/results.py and training/run/directory.py.
"""

import os
from pathlib import Path


def lock(handle: int) -> bool:
    """Take the lock of an open file, which closing it gives back; False when another process has it.

    True where files cannot be locked (Windows, some network drives).
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def is_free(path: Path) -> bool:
    """Whether no living process has the lock of a file or directory; False where the system does not tell."""
    try:
        import fcntl

        handle = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
