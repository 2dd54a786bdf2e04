"""Git LFS: a repository that was cloned without it holds a few lines of text in place of each large file.

In: a file. Out: whether it is such a pointer, or a refusal that says how to get what it points to.
Source: the Git LFS project's description of its pointer files.
"""

from pathlib import Path

FIRST_LINE = b"version https://git-lfs.github.com/spec/v1"
LONGEST = 1024  # bytes of a pointer


def is_pointer(path: Path) -> bool:
    """Whether a file is a Git LFS pointer, and not what its name says."""
    if not path.is_file() or path.stat().st_size > LONGEST:
        return False
    with path.open("rb") as file:
        return file.read(len(FIRST_LINE)) == FIRST_LINE


def refuse_pointer(path: Path) -> None:
    """Raise ValueError, with the mend, where a file is a Git LFS pointer."""
    if is_pointer(path):
        raise ValueError(
            f"{path} is a Git LFS pointer, not the file itself: run `git lfs pull` in {path.parent}, or download the "
            "file again."
        )
