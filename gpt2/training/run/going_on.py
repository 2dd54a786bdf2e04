"""Where a stopped run goes on: its last checkpoint, or the one that is named, and only from one that is good.

In: a run's directory, or one of its checkpoints, as the user names it. Out: a `Start`; or a sentence that names what
is damaged, and the command that goes on from the newest good checkpoint. Read next: runner.py.

Damage is never passed over: a run of which anything is damaged goes on only from a checkpoint that is named. Then what
is damaged, and each checkpoint that is later, is set aside under another name, not deleted.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from gpt2.base.counted import counted
from gpt2.base.errors import Failure, UsageError
from gpt2.base.foreign import parse_json
from gpt2.base.kinds import is_like
from gpt2.base.sealed import read_file, read_text
from gpt2.training.recipe import Recipe
from gpt2.training.recipe_file import build_table
from gpt2.training.run.belonging import differing, foreign, kept_recipe
from gpt2.training.run.beside import damaged_files, out_of_place, strangers
from gpt2.training.run.directory import (
    CHECKPOINTS,
    FINETUNE,
    NAME,
    RECIPE,
    checkpoint_path,
    checkpoints,
    latest,
    step_of,
)
from gpt2.training.run.intact import Damaged, Misnamed, check, read_facts
from gpt2.training.run.metrics import METRICS, good_lines, is_sealed, wrong_lines
from gpt2.training.run.resume import FACTS, Facts
from gpt2.training.run.start import Start


def run_of(named: Path) -> tuple[Path, Path | None]:
    """The run, and the checkpoint in it, that a path means: RUN, or RUN/checkpoints/step-000100.

    UsageError, with the checkpoints that there are, for another name in RUN/checkpoints, and for a checkpoint that is
    not there.
    """
    above = named.absolute().parent
    if not named.exists() and above.name == CHECKPOINTS and (found := [*checkpoints(above.parent).values()]):
        shown = ", ".join(path.name for path in found[-5:])
        what = f"there is no checkpoint {named} (there {'is' if len(found) == 1 else 'are'} {shown})"
        chosen = named.parent / found[-1].name
        raise UsageError(what, f"go on with gpt2 {_command(above.parent)} {{resume}}", resume=chosen)
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
    recipe = lost_recipe(run)
    if recipe is None:
        what = f"{run / RECIPE} is damaged or missing"
        raise UsageError(what, "start again with gpt2 train RECIPE.toml {out} {overwrite}", out=run, overwrite=True)
    return recipe


def lost_recipe(run: Path) -> Recipe | None:
    """The recipe of a run without a good checkpoint: its recipe.json, or what a checkpoint holds of it."""
    facts = last_facts(run)
    return kept_recipe(run) or (None if facts is None else build_table(facts.recipe, FACTS))


def last_facts(run: Path) -> Facts | None:
    """What the newest training.json of the run says that can be read, whatever its tensors are."""
    others = foreign(run)
    for path in reversed(checkpoints(run).values()):
        try:
            facts = read_facts(path)
        except Damaged:
            continue
        if path not in others:
            return facts
    return None


def check_lost(run: Path) -> None:
    """Raise UsageError where a run that is to start again has a good checkpoint."""
    good = newest_good(run)
    if good is None and (mend := _renaming(run)):
        raise UsageError(f"{run} need not start again", f"{mend} gpt2 {_command(run)} {{resume}}", resume=run)
    if good is not None:
        what = f"{run} need not start again, since {good} is good"
        raise UsageError(what, f"go on with gpt2 {_command(run)} {{resume}}", resume=good)


def newest_good(run: Path, limit: int | None = None) -> Path | None:
    """The last checkpoint, after at most `limit` steps, that is good and of this run."""
    others = foreign(run)
    for step, path in reversed(checkpoints(run).items()):
        if path not in others and (limit is None or step <= limit):
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
    others = foreign(run)
    found: dict[Path, Facts | Damaged] = {}
    for one in checkpoints(run).values():
        try:
            found[one] = others.get(one) or check(one)
        except Damaged as damage:
            found[one] = damage
    own = next(facts for one, facts in found.items() if one.name == path.name)
    bad = {one: facts for one, facts in reversed(found.items()) if isinstance(facts, Damaged)}
    if isinstance(own, Damaged) or (bad and chosen is None):
        first = own if isinstance(own, Damaged) else next(iter(bad.values()))
        raise _with_mend(run, first, [one.name for one, damage in bad.items() if damage is not first])
    go_on = f"gpt2 {_command(run)} {{resume}}"
    odd = out_of_place(run)
    if odd and chosen is None:
        what = " ".join(f"{one} is {kind} of the run belongs." for one, kind in odd.items())
        raise Failure(what, f"It is set aside when you go on with {go_on}", resume=path)
    why = wrong_lines(run / METRICS, own.step, own.log)
    if why and chosen is None:
        raise Failure(f"{run / METRICS} is damaged: {why}.", f"Go on without what is lost with {go_on}", resume=path)
    aside = tuple(p for p, facts in found.items() if isinstance(facts, Damaged) or facts.step > own.step)
    over = own.step >= own.recipe.get("train", {}).get("steps", 0)
    size = None if why or own.log is None or over else int(own.log["bytes"])
    lost = bool(why) and not _is_mended(run, own)
    wrong, more = damaged_files(run, own), strangers(path, own)
    return path, Start(own, aside, size, bool(why), lost, odd, wrong, tuple(differing(run, own)), tuple(more))


def _is_mended(run: Path, facts: Facts) -> bool:
    """Whether the good lines of a damaged log are all that was written."""
    try:
        content = good_lines(read_file(run / METRICS), facts.step)
    except OSError:
        return False
    return facts.log is not None and is_sealed(content, facts.log)


def _command(run: Path) -> str:
    return "finetune" if is_finetune(run) else "train"


def _with_mend(run: Path, damage: Damaged, more: Sequence[str] = ()) -> Failure:
    """The damage, and what to type: the newest good checkpoint is read whole before it is offered.

    more   other checkpoints that are damaged, by their names
    """
    problem = damage.problem + (f" So {'is' if len(more) == 1 else 'are'} {', '.join(more)}." if more else "")
    good = newest_good(run)
    command = f"gpt2 {_command(run)}"
    if good is not None:
        step = step_of(good) or 0
        mend = f"The last good checkpoint is that after {counted(step, 'step')}: go on with {command} {{resume}}"
        return Failure(problem, mend, resume=good)
    if mend := _renaming(run):
        return Failure(problem, f"No checkpoint has the name of its steps: {mend} {command} {{resume}}", resume=run)
    none = "No checkpoint of the run is good"
    if _can_start_again(run):
        mend = f"{none}: start again with {command} {{resume}} {{overwrite}}"
        return Failure(problem, mend, resume=run, overwrite=True)
    what, given = ("settings", "FILE") if is_finetune(run) else ("recipe", "RECIPE.toml")
    mend = f"{none}, and its {what} cannot be read: start again with {command} {given} {{out}} {{overwrite}}"
    return Failure(problem, mend, out=run, overwrite=True)


def _renaming(run: Path) -> str:
    """What to do where the newest checkpoint has lost its name alone; empty where none has."""
    steps: dict[int, Path] = {}
    for path in checkpoints(run).values():
        try:
            read_facts(path)
        except Misnamed as error:
            steps[error.named["step"]] = path
        except Damaged:
            continue
    if not steps:
        return ""
    path, name = steps[max(steps)], checkpoint_path(run, max(steps)).name
    free = f"{name} to {name}.aside, and " if os.path.lexists(path.with_name(name)) else ""
    return f"in {path.parent} rename {free}{path.name} to {name}, then go on with"


def _can_start_again(run: Path) -> bool:
    """Whether the run's directory still says what was to be trained."""
    if not is_finetune(run):
        return lost_recipe(run) is not None
    facts = last_facts(run)
    try:
        return is_like(parse_json(read_text(run / FINETUNE), own=True), {"files": [str]})
    except (OSError, ValueError):
        return facts is not None and facts.settings is not None
