"""Pictures as files: whole or not at all, marked as ours, and never in place of another picture.

In: a figure of matplotlib and a path. Out: the file; its metadata say who drew it, so that the same command may draw it
again. Read next: ours.py.
"""

from pathlib import Path
from typing import Any

from gpt2.base.disk import whole_file
from gpt2.base.ours import check_file

MARK = "Glassbox GPT-2"
FIELDS = {".png": "Software", ".svg": "Creator", ".pdf": "Creator"}
"""Where each kind of file says what made it; one of another kind carries no mark, and so is never replaced."""


def is_ours(path: Path) -> bool:
    """Whether the picture carries our mark."""
    return path.suffix.lower() in FIELDS and MARK.encode() in path.read_bytes()


def check_picture(path: Path | str) -> Path:
    """The path of a picture that may be written. UsageError for a file that is there and is none of ours."""
    return check_file(path, is_ours, "a picture that this program drew")


def save_picture(figure: Any, path: Path | str) -> None:
    """Write a figure of matplotlib; the ending of the name says in which format.

    Raises UsageError as `check_picture` does, ValueError for a format that matplotlib does not write.
    """
    target = check_picture(path)
    entry = FIELDS.get(target.suffix.lower())
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        metadata = {} if entry is None else {"metadata": {entry: MARK}}
        figure.savefig(temporary, format=target.suffix.removeprefix(".").lower(), **metadata)
