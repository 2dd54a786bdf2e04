"""Whether a checkpoint is as it was written: hashes of its files, kinds of its fields, numbers that are finite.

In: a checkpoint's directory. Out: its `Facts`, or `Damaged`, which says what is wrong. Read next: going_on.py, which
looks for a checkpoint that is good.

training.json holds the SHA-256 of every other file of the checkpoint, and of its own fields. A checkpoint of the first
edition has none: of it everything is read, and what cannot be true is found, but a flipped bit is not.
"""

import dataclasses
from pathlib import Path, PurePosixPath
from typing import Any

from gpt2.base.counted import counted
from gpt2.base.errors import Failure, UsageError
from gpt2.base.foreign import in_words, parse_json, shortened
from gpt2.base.kinds import is_like
from gpt2.base.sealed import OWN, hash_file, kind_of, own_hash, read_text
from gpt2.training.recipe_file import build_table
from gpt2.training.run.directory import step_of
from gpt2.training.run.resume import FACTS, Facts

TENSORS = "training.safetensors"
KINDS = {
    "step": int, "recipe": dict, "data": {str: str}, "tokenizer": str, "world_size": int, "environment": dict,
    "carried": {"seconds": float, "guard": {"losses": [float], "norms": [float], "lost": int, "skipped": int},
                "scaler": dict},
}  # fmt: skip
LATER = {"settings": (dict, None), "log": ({"bytes": int, "sha256": str}, None), "hashes": {str: str}}
"""What training.json holds, by kind (gpt2/base/kinds.py): in every version, and since it has a hash of its own."""


class Damaged(Failure):
    """A file of a run is not what was written. `problem` names the file and what is wrong with it."""


class Misnamed(Damaged):
    """A checkpoint is that of another step than its name says, `named["step"]`."""


def seal(facts: Facts, directory: Path) -> Facts:
    """The facts with the hash of every file that lies in a checkpoint's directory, for its training.json."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path != directory / FACTS)
    return dataclasses.replace(
        facts, hashes={path.relative_to(directory).as_posix(): hash_file(path) for path in files}
    )


def read_facts(checkpoint: Path) -> Facts:
    """The facts of a checkpoint directory. Damaged when they are missing, or cannot be what was written."""
    path = checkpoint / FACTS
    try:
        stored = parse_json(read_text(path), own=True)
    except FileNotFoundError:
        raise Damaged(f"{checkpoint} is damaged: {FACTS} is missing.") from None
    except (OSError, ValueError):
        kind = kind_of(path)
        raise Damaged(f"{checkpoint} is damaged: {FACTS} {f'is {kind}' if kind else 'cannot be read'}.") from None
    why = _wrong(stored)
    if why:
        raise Damaged(f"{checkpoint} is damaged: {FACTS} {why}.")
    if step_of(checkpoint) not in (None, stored["step"]):
        what = f"it holds the state after {counted(stored['step'], 'step')}, not after those of its name"
        raise Misnamed(f"{checkpoint} is damaged: {what}.", step=stored["step"])
    return Facts(**{f.name: stored[f.name] for f in dataclasses.fields(Facts) if f.name in stored})


def check(checkpoint: Path) -> Facts:
    """The facts of a checkpoint of which every file was read and found good. Damaged otherwise."""
    facts = read_facts(checkpoint)
    for name, expected in facts.hashes.items():
        try:
            found = hash_file(checkpoint / name)
        except FileNotFoundError:
            raise Damaged(f"{checkpoint} is damaged: {name} is missing.") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Damaged(f"{checkpoint} is damaged: {name} cannot be read ({reason}).") from None
        if found != expected:
            raise Damaged(f"{checkpoint} is damaged: {name} is not what was written, since its SHA-256 differs.")
    files = [checkpoint / TENSORS] if facts.hashes else [checkpoint / TENSORS, *checkpoint.glob("model/*.safetensors")]
    for path in files:
        _check_tensors(checkpoint, path)
    return facts


def _check_tensors(checkpoint: Path, path: Path) -> None:
    import torch

    from gpt2.checkpoint.weights import read_tensors

    name = path.relative_to(checkpoint).as_posix()
    if not path.is_file():
        raise Damaged(f"{checkpoint} is damaged: {name} is missing.")
    try:
        tensors = read_tensors([path])
    except (ValueError, OSError):
        raise Damaged(f"{checkpoint} is damaged: {name} is cut short, or no safetensors file.") from None
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise Damaged(f"{checkpoint} is damaged: in {name} {shortened(key)} holds values that are not finite.")


def _wrong(stored: Any) -> str:
    """What is wrong with the fields of a training.json; empty where nothing is."""
    if not isinstance(stored, dict):
        return "is no JSON object"
    if OWN in stored and stored[OWN] != own_hash(stored):
        return "is not what was written, since its SHA-256 differs"
    for name, kind in (KINDS | LATER if OWN in stored else KINDS).items():
        if name not in stored:
            return f"has no {name}"
        if not is_like(stored[name], kind):
            return f"has {name} {shortened(stored[name])}, which cannot be"
    unknown = sorted(stored.keys() - KINDS.keys())
    if unknown and OWN not in stored:
        return f"has a field {shortened(unknown[0])}, which no version wrote without a hash"
    if stored["step"] < 0:
        return f"has step {stored['step']}, which cannot be"
    if stored["world_size"] < 1 or (stored.get("log") or {"bytes": 0})["bytes"] < 0:
        return "has numbers that cannot be"
    if OWN in stored and TENSORS not in stored["hashes"]:
        return f"has no hash of {TENSORS}"
    outside = [name for name in stored.get("hashes", ()) if not _is_inside(name)]
    if outside:
        return f"names {shortened(outside[0])}, which is no file of a checkpoint"
    try:
        recipe = build_table(stored["recipe"], FACTS)
    except UsageError as error:
        return f"has a recipe that cannot be ({in_words(error)})"
    if stored["step"] > recipe.train.steps:
        return f"has step {stored['step']} of a recipe with {recipe.train.steps}"
    guard = stored["carried"]["guard"]
    return "" if min(guard["lost"], guard["skipped"]) >= 0 else "has carried numbers that cannot be"


def _is_inside(name: str) -> bool:
    """Whether a name is the plain relative one of a file in a checkpoint, as `seal` writes it."""
    return (
        name not in ("", ".", FACTS)
        and name == PurePosixPath(name).as_posix()
        and not name.startswith("/")
        and not {".."} & set(PurePosixPath(name).parts)
        and name.isprintable()
        and not {"\\", ":"} & set(name)
    )
