"""What the program may replace or delete: what it wrote itself, and nothing else.

In: a path, and what stands there when the program wrote it (a `Folder`, or a proof for a file). Out: a refusal that
names what is the user's, or the removal of what is ours. Every function that writes a directory or replaces a file asks
here. Read next: checkpoint/target.py, training/run/directory.py and data/own.py, which say what they write.
"""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpt2.base.errors import UsageError

Proof = Callable[[Path], bool]  # whether this file, or this directory with entries of known names, is ours


def always(path: Path) -> bool:
    """No proof is needed beyond the names."""
    return True


@dataclass(frozen=True)
class Folder:
    """A directory as the program writes it.

    what    what it is called in a sentence, such as "a checkpoint"
    holds   what may stand in it: by a regular expression for the whole name a Folder, or the proof of a file
    proof   whether a directory with such names, and no others, is one of these
    """

    what: str
    holds: Mapping[str, "Folder | Proof"] = field(default_factory=dict)
    proof: Proof = always

    def kind(self, name: str) -> "Folder | Proof | None":
        """What an entry of this name is; None for one that the program does not write."""
        return next((kind for pattern, kind in self.holds.items() if re.fullmatch(pattern, name)), None)


def stranger(path: Path, kind: Folder | Proof) -> Path | None:
    """The first thing at or below `path` that the program did not write; None where there is none.

    A link is always the user's, wherever it leads, and so is a file of a known name with other content. `path` itself
    is the answer where it is not of this kind although each name in it is known. An empty directory is nobody's.
    """
    if path.is_symlink():
        return path
    if not isinstance(kind, Folder):
        return None if path.is_file() and kind(path) else path
    if not path.is_dir():
        return path
    entries = sorted(path.iterdir())
    for entry in entries:
        known = kind.kind(entry.name)
        found = entry if known is None else stranger(entry, known)
        if found is not None:
            return found
    return path if entries and not kind.proof(path) else None


def check_directory(
    directory: Path | str, kind: Folder, overwrite: bool, argument: str = "", existing: str = ""
) -> Path:
    """The absolute path of a directory that may be written: new, empty, or with `overwrite` one of this kind.

    argument   the caller's argument that chose the directory, for the sentence ("" for none)
    existing   the mend for a directory of this kind without `overwrite`, in place of the usual one

    Raises UsageError, naming what stands there, for everything else.
    """
    typed = Path(directory).expanduser()
    target = typed.resolve()
    another = f"choose another {{{argument}}}" if argument else "choose another directory"
    named: dict[str, Any] = {argument: None} if argument else {}
    if target.exists() and not target.is_dir():
        mend = f"choose another directory with {{{argument}}}." if argument else "choose a directory."
        raise UsageError(f"{target} is a file", mend, **named)
    if typed.is_symlink() and not target.exists():
        raise UsageError(f"{typed} is a link to {target}, which is not there", f"{another}.", **named)
    if not target.is_dir() or not any(target.iterdir()):
        return target
    found = stranger(target, kind)
    if found == target:
        raise UsageError(f"{target} is not empty, and it is not {kind.what}", f"{another}.", **named)
    if found is not None:
        what = f"{target} holds {found.relative_to(target)}, which is not part of {kind.what}"
        raise UsageError(what, f"move it to another place, or {another}.", **named)
    if not overwrite:
        mend = existing or f"{another}, or replace it with {{overwrite}}."
        raise UsageError(f"{target} is not empty", mend, overwrite=True, **named)
    return target


def check_file(path: Path | str, proof: Proof, what: str) -> Path:
    """The path of a file that may be written: it is new, or one of ours. `what` we write: "a picture of gpt2 runs".

    Raises UsageError for a directory, a link, or a file that the program did not write.
    """
    target = Path(path).expanduser()
    if target.is_dir():
        raise UsageError(f"{target} is a directory: name a file in it.")
    if (target.exists() or target.is_symlink()) and stranger(target, proof) is not None:
        raise UsageError(f"{target} is there already and is not {what}, so it is not replaced: choose another name.")
    return target


def remove(path: Path, kind: Folder | Proof) -> bool:
    """Delete what is ours at `path`, and nothing else; returns whether nothing is left there."""
    if not path.is_symlink():
        with suppress(OSError):
            if not isinstance(kind, Folder):
                if path.is_file() and kind(path):
                    path.unlink()
            elif path.is_dir():
                for entry in list(path.iterdir()):
                    if (known := kind.kind(entry.name)) is not None:
                        remove(entry, known)
                path.rmdir()  # refused where something of the user's is left
    return not path.exists() and not path.is_symlink()


def replace(new: Path, target: Path, kind: Folder) -> None:
    """Give the directory `new` the name `target`; what stood there is deleted when that has worked.

    Only what is ours is deleted: something that the user has put there meanwhile stays there, beside the new.
    """
    if not target.exists():
        os.rename(new, target)
        return
    old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
    os.rename(target, old)
    try:
        os.rename(new, target)
    except BaseException:
        os.rename(old, target)
        raise
    if not remove(old, kind):
        for entry in list(old.iterdir()):
            if not os.path.lexists(target / entry.name):
                os.rename(entry, target / entry.name)
        with suppress(OSError):
            old.rmdir()
