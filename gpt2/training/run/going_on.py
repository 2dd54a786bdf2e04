"""Where a stopped run goes on: its last checkpoint, or the one that is named, and only from one that is good.

In: a run's directory, or one of its checkpoints, as the user names it. Out: a `Start`; or a sentence that names what
is damaged, and the command that goes on from the newest good checkpoint. Read next: runner.py.

Damage is never passed over: a run of which anything is damaged goes on only from a checkpoint that is named. Then what
is damaged, and each checkpoint that is later, is set aside under another name, not deleted.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from gpt2.base.counted import counted
from gpt2.base.errors import Failure, UsageError
from gpt2.base.foreign import parse_json
from gpt2.training.recipe import Recipe
from gpt2.training.recipe_file import build_table
from gpt2.training.run.directory import CHECKPOINTS, FINETUNE, NAME, RECIPE, checkpoints, latest
from gpt2.training.run.intact import Damaged, check, read_facts
from gpt2.training.run.metrics import METRICS, wrong_lines
from gpt2.training.run.resume import FACTS, Facts

UNSEALED = "{} was written by an earlier version, without hashes: a changed byte in it would not be noticed."


@dataclass(frozen=True)
class Start:
    """Where a run goes on.

    facts  of the checkpoint
    aside  checkpoints that are damaged or later than it: they are set aside before the first step
    log    how many bytes of metrics.jsonl stay; None: the lines of the steps that are done
    mend   whether metrics.jsonl is damaged: then it is set aside, and its good lines stay
    """

    facts: Facts
    aside: tuple[Path, ...] = ()
    log: int | None = None
    mend: bool = False


def run_of(named: Path) -> tuple[Path, Path | None]:
    """The run, and the checkpoint in it, that a path means: RUN, or RUN/checkpoints/step-000100."""
    path = named if NAME.fullmatch(named.name) else named.resolve()
    if NAME.fullmatch(path.name) and path.absolute().parent.name == CHECKPOINTS:
        return (path.parent.parent if len(path.parts) > 2 else path.resolve().parent.parent), path
    return named, None


def is_finetune(run: Path) -> bool:
    """Whether a run is one of gpt2 finetune."""
    if (run / FINETUNE).is_file():
        return True
    for path in reversed(checkpoints(run).values()):
        try:
            return read_facts(path).settings is not None
        except Damaged:
            continue
    return False


def resumed_recipe(named: Path) -> Recipe:
    """The recipe of the checkpoint that a run goes on from. UsageError when there is none, and for a fine-tune."""
    run, chosen = run_of(named)
    if is_finetune(run):
        raise UsageError(f"{run} is a run of gpt2 finetune", "go on with gpt2 finetune {resume}", resume=named)
    path = chosen or latest(run)
    return build_table(facts_of(run, path).recipe, str(path / FACTS))


def facts_of(run: Path, checkpoint: Path) -> Facts:
    """The facts of a checkpoint. Failure, with the command that goes on from a good one, when they are damaged."""
    try:
        return read_facts(checkpoint)
    except Damaged as damage:
        raise _with_mend(run, damage) from None


def first_recipe(named: Path) -> Recipe:
    """The recipe of a run that starts again. UsageError where a good checkpoint would be lost, or there is none."""
    run, _ = run_of(named)
    check_lost(run)
    try:
        return build_table(parse_json((run / RECIPE).read_text(encoding="utf-8"), own=True), str(run / RECIPE))
    except (OSError, ValueError):
        what = f"{run / RECIPE} is damaged or missing"
        raise UsageError(
            what, "start again with gpt2 train RECIPE.toml {out} {overwrite}", out=run, overwrite=True
        ) from None


def check_lost(run: Path) -> None:
    """Raise UsageError where a run that is to start again has a good checkpoint."""
    good = newest_good(run)
    if good is not None:
        what = f"{run} need not start again, since {good} is good"
        raise UsageError(what, f"go on with gpt2 {_command(run)} {{resume}}", resume=good)


def newest_good(run: Path, limit: int | None = None) -> Path | None:
    """The last checkpoint, after at most `limit` steps, that is good."""
    for step, path in reversed(checkpoints(run).items()):
        if limit is None or step <= limit:
            try:
                check(path)
            except Damaged:
                continue
            return path
    return None


def find_start(run: Path, chosen: Path | None = None) -> tuple[Path, Start]:
    """The checkpoint that a run goes on from, `chosen` or the last, and what becomes of the rest.

    Reads every checkpoint of the run whole. Raises UsageError when there is none; Failure, with the command that goes
    on, when one that would be used is damaged, or metrics.jsonl is.
    """
    path = chosen or latest(run)
    if chosen is not None and not chosen.is_dir():
        raise UsageError(f"there is no checkpoint {chosen}", f"go on with gpt2 {_command(run)} {{resume}}", resume=run)
    found: dict[Path, Facts | Damaged] = {}
    for one in checkpoints(run).values():
        try:
            found[one] = check(one)
        except Damaged as damage:
            found[one] = damage
    step = int(path.name.removeprefix("step-"))
    own = next(facts for one, facts in found.items() if one.name == path.name)
    damages = [facts for facts in reversed(found.values()) if isinstance(facts, Damaged)]
    if isinstance(own, Damaged):
        raise _with_mend(run, own)
    if damages and chosen is None:
        raise _with_mend(run, damages[0])
    why = wrong_lines(run / METRICS, own.step, own.log)
    if why and chosen is None:
        mend = f"Go on without what is lost with gpt2 {_command(run)} {{resume}}"
        raise Failure(f"{run / METRICS} is damaged: {why}.", mend, resume=path)
    aside = tuple(p for p, facts in found.items() if isinstance(facts, Damaged) or facts.step > step)
    over = own.step >= own.recipe.get("train", {}).get("steps", 0)
    size = None if why or own.log is None or over else int(own.log["bytes"])
    return path, Start(own, aside, size, bool(why))


def said(path: Path, start: Start) -> list[str]:
    """What the user should know of a start, a sentence each."""
    notes = [] if start.facts.hashes else [UNSEALED.format(path)]
    if start.aside:
        names = ", ".join(p.name for p in start.aside)
        notes.append(f"{names} {'is' if len(start.aside) == 1 else 'are'} set aside in {path.parent}, as STEP.aside.")
    if start.mend:
        notes.append(f"the damaged {METRICS} is set aside as {METRICS}.aside; lines of it that are lost stay lost.")
    return notes


def set_aside(path: Path) -> Path:
    """Give a file or directory a name under which nothing reads it; what has that name already stays."""
    target, n = path.with_name(f"{path.name}.aside"), 1
    while os.path.lexists(target):
        n += 1
        target = path.with_name(f"{path.name}.aside-{n}")
    os.rename(path, target)
    return target


def _command(run: Path) -> str:
    return "finetune" if is_finetune(run) else "train"


def _with_mend(run: Path, damage: Damaged) -> Failure:
    """The damage, and what to type: the newest good checkpoint is read whole before it is offered."""
    good = newest_good(run)
    command = f"gpt2 {_command(run)}"
    if good is None:
        mend = f"No checkpoint of the run is good: start again with {command} {{resume}} {{overwrite}}"
        return Failure(damage.problem, mend, resume=run, overwrite=True)
    step = int(good.name.removeprefix("step-"))
    mend = f"The last good checkpoint is that after {counted(step, 'step')}: go on with {command} {{resume}}"
    return Failure(damage.problem, mend, resume=good)
