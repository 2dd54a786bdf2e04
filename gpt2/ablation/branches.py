"""Loss against budget from one training: the constant rate goes on, and at some steps a decay is branched off.

In: a `TrainingRun` whose schedule is "wsd", the shares of its steps at which a model is wanted. Out: what is measured
of each. Read next: job.py.

A run of the schedule "wsd" with fewer steps has the same first steps as the whole run: the same rate and the same rows.
So it is trained from there on, from a copy of weights and optimiser, with the rate that falls, and afterwards the whole
run goes on as if nothing had been. A branch gives what a run of its own with that many steps gives, bit for bit, and
costs its decay alone. The decay counts in its budget. The points of one run share its beginning, so they are no
independent trainings: a difference at one budget says something about the difference at the next.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from gpt2.training.guards import Diverged
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import Recipe


def branch_points(recipe: Recipe, shares: Sequence[float]) -> dict[int, list[tuple[float, int]]]:
    """Where branches begin: by the number of steps done there, the share and the steps of each branch as a whole."""
    found: dict[int, list[tuple[float, int]]] = {}
    for share in sorted(shares):
        steps = max(1, round(recipe.train.steps * share))
        found.setdefault(_constant(recipe, steps), []).append((share, steps))
    return found


def _constant(recipe: Recipe, steps: int) -> int:
    """How many of `steps` steps have the warm-up's or the peak's rate (as in schedule.factor)."""
    optim = recipe.optim
    return min(steps, max(optim.warmup_steps, steps - 1 - round(optim.decay * steps)))


def branch(run: TrainingRun, steps: int, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Train from here to a budget of `steps` steps, measure, and put the run back to where it was.

    `val_loss` is None where the branch diverged.
    """
    whole = run.recipe
    with _kept(run):
        run.recipe = replace(whole, train=replace(whole.train, steps=steps))
        try:
            for number in range(run.steps_done, steps):
                run.step(number)
                run.steps_done = number + 1
            run.check_weights()
            run.model.eval()
            found = measure()
        except Diverged:
            found = {"val_loss": None}
    return {"steps": steps, "tokens": steps * whole.train.batch_size * run.context, **found}


@contextmanager
def _kept(run: TrainingRun) -> Iterator[None]:
    """Put weights, optimisers, counters and recipe back as they were."""
    recipe, done = run.recipe, run.steps_done
    weights = copy.deepcopy(run.model.state_dict())
    optimizers = [copy.deepcopy(optimizer.state_dict()) for optimizer in run.optimizers]
    carried = copy.deepcopy(run.carried())
    yield
    run.recipe, run.steps_done = recipe, done
    run.model.load_state_dict(weights)
    for optimizer, state in zip(run.optimizers, optimizers, strict=True):
        optimizer.load_state_dict(state)
    run.load_carried(carried)
