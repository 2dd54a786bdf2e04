"""What lies in a run beside its log and its checkpoints, and is not as it was written.

In: a run's directory, and the facts of the checkpoint that it goes on from. Out: names and what is wrong with them.
Read next: going_on.py, which says so; runner.py puts them aside, and writes them anew.

A run needs none of these files to go on, so damage to them stops nothing. It is said, and no byte of it is deleted.
"""

import os
from pathlib import Path
from typing import Any

from gpt2.base.foreign import parse_json
from gpt2.base.sealed import OWN, kind_of, own_hash, read_text
from gpt2.training.run.belonging import kept_recipe
from gpt2.training.run.directory import (
    ENVIRONMENT,
    FINETUNE,
    LOCK,
    RECIPE,
    ROWS,
    SNAPSHOTS,
    TENSORBOARD,
    results,
)
from gpt2.training.run.environment import FIELDS
from gpt2.training.run.resume import FACTS, Facts

FILES = (RECIPE, ENVIRONMENT, FINETUNE, ROWS, LOCK, f".{RECIPE}", f".{ENVIRONMENT}")
"""Names under which a run writes files, beside its log."""
UNREADABLE, CHANGED, MISSING = "cannot be read", "is not what was written", "is missing"


def out_of_place(run: Path) -> dict[Path, str]:
    """What stands where a run writes a file or a directory and is none: the words for what it is, and what belongs."""
    odd = {path: f"{kind}, where a file" for path in map(run.joinpath, FILES) if (kind := kind_of(path))}
    folders = (run / SNAPSHOTS, run / TENSORBOARD, *results(run))
    return odd | {
        path: f"{kind_of(path) or 'a file'}, where a directory"
        for path in folders
        if os.path.lexists(path) and not path.is_dir()
    }


def damaged_files(run: Path, facts: Facts) -> dict[str, str]:
    """The files that are written anew when a run goes on, and what is wrong with each; none where nothing is.

    A file that is missing counts only where this edition wrote the checkpoint: an earlier one may not have had it.
    """
    found = {RECIPE: "" if kept_recipe(run) is not None else UNREADABLE, ENVIRONMENT: _environment(run)}
    if facts.settings is not None:
        found[FINETUNE] = _settings(run, facts.settings)
    for name in found:
        if not os.path.lexists(run / name):
            found[name] = MISSING if facts.hashes else ""
    return {name: why for name, why in found.items() if why and not kind_of(run / name)}


def strangers(checkpoint: Path, facts: Facts) -> list[str]:
    """The files in a checkpoint that the run did not write there, by their names in it; none where it has no hashes."""
    if not facts.hashes:
        return []
    files = (path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if not path.is_dir())
    return sorted({*files} - facts.hashes.keys() - {FACTS})


def _object(path: Path) -> dict[str, Any] | None:
    try:
        found = parse_json(read_text(path), own=True)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _environment(run: Path) -> str:
    """What is wrong with environment.json; one that an earlier version wrote has no hash of itself."""
    found = _object(run / ENVIRONMENT)
    if found is None:
        return UNREADABLE
    known = found.keys() - {OWN} <= {*FIELDS}
    return "" if known and (OWN not in found or found[OWN] == own_hash(found)) else CHANGED


def _settings(run: Path, kept: dict[str, Any]) -> str:
    """What is wrong with finetune.json, whose values may be those of a later session than the checkpoint's."""
    found = _object(run / FINETUNE)
    if found is None:
        return UNREADABLE
    return "" if found.keys() == kept.keys() else CHANGED
