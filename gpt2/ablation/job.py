"""One training run of a study, and everything that is recorded of it.

In: a `Study` and a `Job`. Out: a record of plain numbers, one line of the results file. Read next: conduct.py.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpt2.ablation.branches import branch, branch_points
from gpt2.ablation.measure import (
    brief,
    context_use,
    dead_neurons,
    in_context_score,
    induction_score,
    longer_losses,
    position_losses,
    stream_scales,
)
from gpt2.ablation.memory import count_afresh, most_memory
from gpt2.ablation.models import build
from gpt2.ablation.study import Job, Study
from gpt2.base.device import pick_device
from gpt2.base.plain import plain
from gpt2.checkpoint.files import save
from gpt2.data.shards import TokenShards
from gpt2.model import GPT2
from gpt2.training.guards import Diverged
from gpt2.training.loop import TrainingRun
from gpt2.training.run.environment import describe
from gpt2.training.task import Rows, Task, pretraining

CURVE_POINTS = 12
CURVE_ROWS = 64  # validation rows of a point of the curve; the end is measured on all


class Part:
    """Some rows of a validation set: the search for a learning rate and the report never share one."""

    def __init__(self, whole: Rows, first: int, last: int) -> None:
        self.whole, self.first, self.last = whole, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def rows(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """As `Rows.rows`, counted from this part's first row."""
        return self.whole.rows(self.first + first, self.first + last)

    def all(self, device: torch.device, limit: int | None = None) -> tuple[Tensor, Tensor]:
        """Ids and targets of the rows that are full, [n, T] each."""
        ids, targets = self.rows(0, min(len(self), limit or len(self)))
        full = (targets >= 0).all(dim=1)
        return ids[full].to(device), targets[full].to(device)


def validation(study: Study, job: Job, task: Task) -> Part:
    """The rows of the first validation set that this job may see."""
    whole = next(iter(task.val.values()))
    cut = round(len(whole) * study.tune_windows)
    return Part(whole, 0, cut) if job.purpose == "tune" else Part(whole, cut, len(whole))


def run_job(
    study: Study, job: Job, keep: Path | None = None, report: Callable[[int], None] = lambda n: None
) -> dict[str, Any]:
    """Train, measure, and return the record; a run that diverges gives one too.

    keep     a directory for the trained weights
    report   is told the steps done
    """
    counted = count_afresh(pick_device())
    recipe = job.recipe(study)
    variant = study.contestants[job.contestant].variant
    usual = pretraining(recipe)
    config = usual.model.config
    model = build(config, {"name": variant} if variant else None, recipe.train.seed, study.variants)
    part = validation(study, job, usual)
    run = TrainingRun(recipe, replace(usual, model=model, val={"curve": Part(part, 0, min(CURVE_ROWS, len(part)))}))
    record: dict[str, Any] = {
        "key": job.key(study), "study": study.name, **asdict(job), "variant": variant, "lr": recipe.optim.lr,
        "steps": recipe.train.steps, "tokens": recipe.train.steps * recipe.train.batch_size * run.context,
        "parameters": sum(p.numel() for p in model.parameters()), "diverged_at": None, "curve": [],
    }  # fmt: skip
    ids, targets = part.all(run.device, 8)
    if job.purpose == "report":
        record["at_start"] = stream_scales(model, ids, targets)
    branches = branch_points(recipe, study.branches_of(job.contestant) if job.purpose == "report" else ())
    points = {round(run.recipe.train.steps * (k / CURVE_POINTS) ** 2) for k in range(1, CURVE_POINTS)}
    started, used, losses = time.perf_counter(), time.process_time(), []
    seconds = 0.0
    try:
        for number in range(recipe.train.steps):
            for share, steps in branches.get(number, ()):
                measured = partial(_final, run, model, part, study, replace(job, purpose="budget"))
                record.setdefault("branches", []).append({"share": share, **branch(run, steps, measured)})
            before = time.perf_counter()
            losses.append(run.step(number)["loss"])
            run.steps_done = number + 1
            seconds += time.perf_counter() - before
            report(number + 1)
            if number + 1 in points and job.purpose != "tune":
                record["curve"].append(_point(run, model, number + 1))
        run.check_weights()
    except Diverged as stop:
        record["diverged_at"] = run.steps_done
        record["message"] = str(stop)
    tail = losses[-max(1, len(losses) // 10) :]
    record |= {
        "train_loss": sum(tail) / len(tail) if tail else None,
        "tokens_per_s": len(losses) * recipe.train.batch_size * run.context / max(seconds, 1e-9),
        "seconds": time.perf_counter() - started,
        "peak_memory_bytes": most_memory(run.device) if counted else None,
    }
    if record["diverged_at"] is None:
        model.eval()
        record |= _final(run, model, part, study, job)
        if keep is not None:
            save(model, usual.tokenizer, keep, overwrite=True)
    record["processor_seconds"] = time.process_time() - used
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    return plain(brief(record | {"ended": ended, "environment": describe(run.device)}))


def _point(run: TrainingRun, model: GPT2, steps: int) -> dict[str, Any]:
    """A point of the curve: steps, validation loss on some rows, induction score."""
    loss = run.evaluate()["curve"]
    model.eval()
    return {"steps": steps, "val_loss": loss, "induction": induction_score(model)}


def _final(run: TrainingRun, model: GPT2, part: Part, study: Study, job: Job) -> dict[str, Any]:
    """What is measured of the trained model; for the search of a learning rate the loss alone."""
    ids, targets = part.all(run.device)
    losses = position_losses(model, ids, targets)
    result: dict[str, Any] = {"val_loss": sum(losses) / len(losses)}
    if job.purpose == "tune":
        return result
    path = run.recipe.data.val[0]
    manifest = TokenShards(path).manifest
    result["val_bits_per_byte"] = result["val_loss"] / math.log(2) * manifest["tokens"] / manifest["bytes"]
    if job.purpose == "budget" and not study.branches:
        return result
    result |= {"context_use": context_use(model, ids, targets)}
    if job.purpose == "budget":
        return result
    result |= {
        "position_losses": losses,
        "in_context_score": in_context_score(losses),
        "induction": induction_score(model),
        "dead_neurons": dead_neurons(model, ids[:32]),
        "at_end": stream_scales(model, ids, targets),
        "longer_losses": longer_losses(model, torch.cat([ids.flatten(), targets[-1:, -1].flatten()]), run.context),
    }
    if study.contestants[job.contestant].variant == "no-mask":
        masked = GPT2(model.config).to(run.device)
        masked.load_state_dict(model.state_dict())
        with_mask = position_losses(masked.eval(), ids, targets)
        result["val_loss_with_mask"] = sum(with_mask) / len(with_mask)
    return result
