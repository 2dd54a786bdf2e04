"""What a resumed run must share with the one that stopped: the recipe, the data, the tokenizer.

In: the `Facts` of a checkpoint, and those of the run that is to go on. Out: sentences for the user, or a refusal.
Nothing here imports torch: a refusal comes before anything is loaded. Read next: state.py.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from gpt2.base.errors import UsageError
from gpt2.base.sealed import sealed
from gpt2.training.identity import VERSION_0_1
from gpt2.training.recipe import Recipe

FACTS = "training.json"
EVERY_BYTE = "every byte of "  # how the name of a set begins whose mark is its file's hash
EVERY_WEIGHT = "every weight of "  # and one whose mark is the hash of a model that stays as it is

# what changing a setting in the middle of a run does, beyond what its name says
CONSEQUENCES = {
    "train.steps": "the schedule is that of the new length from here on",
    "train.batch_size": "the windows from here on are others, and some come again or never",
    "train.context": "the windows from here on are others, and some come again or never",
    "train.seed": "the order of the data from here on is another",
    "data.train": "the order of the data from here on is another",
    "data.repeat": "the order of the data from here on is another",
    "optim.name": "what the old optimiser knew of a parameter is lost where the new one differs",
    "train.init": "it has no effect, the weights come from the checkpoint",
}
SIZES = ("model.n_layer", "model.n_head", "model.n_embd", "model.n_positions")
LAST_BITS = ("torch", "processor", "gpu", "threads")  # of the environment: they decide in which order sums are added


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says about its run, beside tensors.

    step          optimiser steps done: the number of the next batch, and with it the position in data and schedule
    recipe        `dataclasses.asdict` of the recipe
    data          what each set holds, by its name: `identity` (task.py) of its manifest
    tokenizer     the tokenizer's hash
    world_size    processes
    environment   `gpt2.training.run.environment.describe`
    carried       plain numbers that the loop goes on with, such as seconds spent
    settings      of a fine-tune: what its finetune.json holds
    log           how many bytes metrics.jsonl had then, and their SHA-256
    hashes        SHA-256 of every other file of the checkpoint; none in one of the first edition
    """

    step: int
    recipe: dict[str, Any]
    data: dict[str, str]
    tokenizer: str
    world_size: int
    environment: dict[str, Any]
    carried: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] | None = None
    log: dict[str, Any] | None = None
    hashes: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of training.json, with the hash of its own fields."""
        return json.dumps(sealed(dataclasses.asdict(self)), indent=2) + "\n"


def changed_fields(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """A sentence for each setting in which two recipes (`dataclasses.asdict`) differ, by its name such as optim.lr.

    A setting that a recipe does not have, since another version wrote it, counts as its default: a run that version 0.1
    began goes on after settings were added, and after one was taken away that it left at its default.
    """
    default = _flat(VERSION_0_1) | _flat(dataclasses.asdict(Recipe()))
    before, now = default | _flat(old), default | _flat(new)
    changes = {}
    for name in {**default, **before, **now}:
        a, b = before.get(name), now.get(name)
        if a != b:
            why = f"; {CONSEQUENCES[name]}" if name in CONSEQUENCES else ""
            changes[name] = f"{name} was {_shown(a)} and is now {_shown(b)}{why}"
    return changes


def check_resume(before: Facts, now: Facts, override: bool) -> list[str]:
    """What the user should know of the differences, a sentence each; empty when the run simply goes on.

    Raises UsageError for a changed recipe without `override` and for changed sizes of the model, ValueError for a set
    whose content or tokenizer is not the one that the run began with.
    """
    if before.tokenizer != now.tokenizer:
        raise ValueError(
            "the data has another tokenizer than this run began with: prepare it with the tokenizer in the "
            "checkpoint's model directory, or start a new run."
        )
    for name, mark in now.data.items():
        if before.data.get(name, mark) != mark:
            raise ValueError(_other(name, now.settings is not None))
    changes = changed_fields(before.recipe, now.recipe)
    sizes = [changes[name] for name in SIZES if name in changes]
    if sizes:
        mend = "a resumed run keeps its sizes, so start a new one without {resume}."
        raise UsageError(sizes[0], mend, resume=None)
    if changes and not override:
        what = f"the recipe was changed: {'. '.join(changes.values())}."
        raise UsageError(what, "Leave that out, or add {override} to keep it.", override=True)
    notes = [f"{sentence}." for sentence in changes.values()]
    for name in now.data.keys() - before.data.keys():
        if name.startswith(EVERY_WEIGHT):
            base = name.removeprefix(EVERY_WEIGHT)
            notes.append(f"an earlier version began this run: only a sample of the weights of {base} is compared.")
    if before.world_size != now.world_size:
        processes = f"{now.world_size} process{'es' * (now.world_size > 1)} instead of {before.world_size}"
        notes.append(
            f"{processes}: the batches stay the same, but sums are added in another order and dropout draws other "
            f"numbers, so losses differ a little from here on."
        )
    others = [
        f"{name} was {_shown(before.environment.get(name))} and is now {_shown(now.environment.get(name))}"
        for name in LAST_BITS
        if before.environment.get(name) != now.environment.get(name)
    ]
    if others:
        notes.append(f"{', '.join(others)}: losses may differ in their last digits.")
    return notes


def _other(name: str, finetune: bool) -> str:
    """The refusal of a set, file or model that is not the one that a run began with."""
    if name.startswith(EVERY_BYTE):
        what, why = f"{name.removeprefix(EVERY_BYTE)} is not the file", "bytes of it differ"
    elif name.startswith(EVERY_WEIGHT):
        what, why = f"{name.removeprefix(EVERY_WEIGHT)} is not the model", "its weights differ"
    elif finetune:  # "train of poems.txt"
        part, _, files = name.partition(" of ")
        if part in ("base", "adapter"):
            what, why = f"the {part} of this run is not the one", "its weights differ"
        else:
            what, why = f"the text of {files} is not the one", "its tokens differ"
    else:
        what, why = f"{name} is not the set", "its tokens differ"
        return (
            f"{what} that this run began with, since {why}: prepare it again from the same files, or start a new run."
        )
    return f"{what} that this run began with, since {why}: put back what it was, or start a new run."


def _flat(table: dict[str, Any]) -> dict[str, Any]:
    """Settings by their dotted names; lists as tuples, since JSON knows no tuples."""
    return {
        f"{section}.{name}": tuple(value) if isinstance(value, list) else value
        for section, settings in table.items()
        for name, value in settings.items()
    }


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return "not set" if value is None else str(value)
