"""Git LFS pointers: what a clone without Git LFS holds in place of large files.

In: a file. Out: whether it is a pointer, or a refusal that says what to do. Every reader of a checkpoint's files asks.
Source: the specification of Git LFS, https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
"""

from pathlib import Path

BEGINNING = b"version https://git-lfs.github.com/spec/"
LARGEST = 1024  # bytes: the specification has every pointer below this


def is_pointer(path: Path) -> bool:
    """Whether the file is a pointer of Git LFS in place of what it is called. False for what cannot be read."""
    try:
        if path.stat().st_size >= LARGEST:
            return False
        with open(path, "rb") as file:
            return file.read(len(BEGINNING)) == BEGINNING
    except OSError:
        return False


def refuse_pointer(path: Path) -> None:
    """Raise ValueError, with what to type, where the file is a pointer."""
    if is_pointer(path):
        raise ValueError(
            f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` in its clone, or download it again."
        )
