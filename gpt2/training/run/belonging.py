"""Which checkpoints in a run's directory are of another run: copied there, or left there when files were mixed up.

In: a run's directory. Out: the checkpoints that speak against its log, and why. Read next: going_on.py.

Each checkpoint holds the hash of metrics.jsonl as it was then, and the losses of the last steps. One whose hash fits is
of this run. Where it does not fit, either the log is damaged or the checkpoint is of another run: the losses tell,
since damage changes few of them, and of another run hardly one is the same.
"""

from dataclasses import asdict
from pathlib import Path

from gpt2.base.foreign import parse_json
from gpt2.base.sealed import read_file, read_text
from gpt2.training.recipe import Recipe
from gpt2.training.recipe_file import build_table
from gpt2.training.run.directory import RECIPE, checkpoints
from gpt2.training.run.intact import Damaged, read_facts
from gpt2.training.run.metrics import METRICS, is_sealed, logged_losses
from gpt2.training.run.resume import Facts, changed_fields


def foreign(run: Path) -> dict[Path, Damaged]:
    """The checkpoints of a run's directory that are of another run, and a sentence for each.

    The log alone is no proof, since it may be that of another run itself: a second checkpoint has to agree with it, or
    recipe.json to differ from that of the checkpoint.
    """
    try:
        content = read_file(run / METRICS)
    except OSError:
        return {}
    losses = logged_losses(content)
    agree: dict[Path, tuple[bool | None, Facts]] = {}
    for path in checkpoints(run).values():
        try:
            facts = read_facts(path)
        except Damaged:
            continue
        fits = facts.log is not None and is_sealed(content, facts.log)
        agree[path] = (fits or _same_losses(facts, losses), facts)
    others = any(verdict for verdict, _ in agree.values())
    return {
        path: Damaged(f"{path} is of another run: {METRICS} has other losses at its steps.")
        for path, (verdict, facts) in agree.items()
        if verdict is False and (others or differing(run, facts))
    }


def differing(run: Path, facts: Facts) -> list[str]:
    """The settings that recipe.json has otherwise than a checkpoint; none where it cannot be read."""
    recipe = kept_recipe(run)
    return [] if recipe is None else list(changed_fields(facts.recipe, asdict(recipe)))


def kept_recipe(run: Path) -> Recipe | None:
    """What the recipe.json of a run holds; None where it cannot be read."""
    try:
        return build_table(parse_json(read_text(run / RECIPE), own=True), str(run / RECIPE))
    except (OSError, ValueError):
        return None


def _same_losses(facts: Facts, logged: dict[int, float]) -> bool | None:
    """Whether most losses of a checkpoint stand in the log; None where the log has too few lines to tell.

    Steps that were skipped have a line, and no loss in the checkpoint.
    """
    guard = facts.carried["guard"]
    span = len(guard["losses"]) + guard["skipped"]
    there = [loss for step, loss in logged.items() if facts.step - span <= step < facts.step]
    comparable = min(len(there), len(guard["losses"]))
    if comparable < 2:
        return None
    return 2 * len(set(there) & set(guard["losses"])) >= comparable
