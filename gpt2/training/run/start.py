"""Where a run goes on, and what the user is told of it; what is damaged gets another name, and is never deleted.

In: what going_on.py found in a run. Out: a `Start`, sentences, and names under which nothing is read. Read next:
runner.py.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpt2.base.foreign import plain_name
from gpt2.training.run.beside import MISSING
from gpt2.training.run.directory import ENVIRONMENT, RECIPE
from gpt2.training.run.metrics import METRICS
from gpt2.training.run.resume import Facts

UNSEALED = "{} was written by an earlier version, without hashes: a changed byte in it would not be noticed."


@dataclass(frozen=True)
class Start:
    """Where a run goes on.

    facts  of the checkpoint
    aside  checkpoints that are damaged or later than it: they are set aside before the first step
    log    how many bytes of metrics.jsonl stay; None: the lines of the steps that are done
    mend   whether metrics.jsonl is damaged: then it is set aside, and its good lines stay
    lost   whether lines of it are lost then
    odd    what stands in the place of files and directories of the run and is none, and what it is: it is set aside
           before anything is written
    wrong  files beside the checkpoints that are damaged or missing, and how: they are set aside and written anew
    other  settings that recipe.json has otherwise than the checkpoint
    more   files in the checkpoint that are not of the run
    """

    facts: Facts
    aside: tuple[Path, ...] = ()
    log: int | None = None
    mend: bool = False
    lost: bool = False
    odd: Mapping[Path, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    other: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


def said(path: Path, start: Start) -> list[str]:
    """What the user should know of a start, a sentence each."""
    notes = [] if start.facts.hashes else [UNSEALED.format(path)]
    if start.other:
        notes.append(f"{RECIPE} has another {', '.join(start.other)} than {path.name}, whose settings count.")
    if start.aside:
        names = ", ".join(p.name for p in start.aside)
        notes.append(f"{names} {'is' if len(start.aside) == 1 else 'are'} set aside in {path.parent}, as STEP.aside.")
    for one, kind in start.odd.items():
        notes.append(f"{one} is set aside as {one.name}.aside, since it is no {kind.rpartition(' ')[2]}.")
    for name, why in start.wrong.items():
        source = "" if name == ENVIRONMENT else f" from {path.name}"
        aside = "" if why == MISSING else f"set aside as {name}.aside, and "
        notes.append(f"{name} {why}: it is {aside}written anew{source}.")
    if start.mend and not os.path.lexists(path.absolute().parents[1] / METRICS):
        notes.append(f"{METRICS} is missing: it is begun anew, and the lines of the steps so far stay lost.")
    elif start.mend:
        what = "lines of it that are lost stay lost" if start.lost else "no line of it is lost"
        notes.append(f"the damaged {METRICS} is set aside as {METRICS}.aside; {what}.")
    if start.more:
        names = ", ".join(plain_name(name) for name in start.more[:3]) + (" ..." if start.more[3:] else "")
        notes.append(f"{path} holds {names}, which the run did not write: nothing reads it.")
    return notes


def set_aside(path: Path) -> Path:
    """Give a file or directory a name under which nothing reads it; what has that name already stays."""
    target, n = path.with_name(f"{path.name}.aside"), 1
    while os.path.lexists(target):
        n += 1
        target = path.with_name(f"{path.name}.aside-{n}")
    os.rename(path, target)
    return target
