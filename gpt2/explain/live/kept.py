"""Files that this machine keeps, so that a live page need not be computed from the start each time.

In: a name that says all that the content depends on. Out: a path in the user's cache folder. What cannot be kept is
computed again next time.
"""

import os
from pathlib import Path


def kept(name: str) -> Path:
    """Where a file of this name is kept."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "glassbox-gpt2" / "live" / name


def keep(path: Path, content: bytes) -> None:
    """Keep a file, whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError:  # a disk that is full or read-only
        beside.unlink(missing_ok=True)
