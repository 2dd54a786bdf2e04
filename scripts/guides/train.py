"""The trainings that the ledger needs beside the ablation studies: `python -m scripts.guides.train dropout`.

    python -m scripts.guides.train NAME [--seeds 0 1]   train what recipes/ablation/NAME.toml asks for

In: recipes/ablation/NAME.toml, and the data that it names. Out: results/ablation/NAME.jsonl, a line for each run, which
is not trained again. What is recorded beside the losses: the loss in evaluation mode on text that the run has just
trained on; what switching neurons off costs; how alike the positions are and the gradients of queries, keys and values,
at some steps. Read next: watched.py, which measures that; trained.py, which reads the results.
"""

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gpt2.ablation.job import Part, validation
from gpt2.ablation.measure import brief, position_losses
from gpt2.ablation.models import build
from gpt2.ablation.results import writing
from gpt2.ablation.study import Job, Study, load_study
from gpt2.base.plain import plain
from gpt2.data.shards import TokenShards
from gpt2.training.loop import TrainingRun
from gpt2.training.run.environment import describe
from gpt2.training.task import pretraining
from scripts.guides.subject import ROOT
from scripts.guides.watched import counted_losses, neurons_off, positions_alike

LOOKS = {"dropout": (), "collapse": (0, 10, 25, 50, 100, 200, 400)}
"""The steps after which positions and gradients are looked at, by study."""


def train(study: Study, job: Job, looks: tuple[int, ...]) -> dict[str, Any]:
    """One run and its record."""
    recipe = job.recipe(study)
    usual = pretraining(recipe)
    variant = study.contestants[job.contestant].variant
    named = {"name": variant} if variant else None
    model = build(usual.model.config, named, recipe.train.seed, study.variants)
    part = validation(study, job, usual)
    run = TrainingRun(recipe, replace(usual, model=model, val={}))
    ids, targets = part.all(run.device)
    record: dict[str, Any] = {
        "key": job.key(study), "study": study.name, "contestant": job.contestant, "purpose": job.purpose,
        "seed": job.seed, "rate": job.rate, "share": job.share, "lr": recipe.optim.lr, "steps": recipe.train.steps,
        "tokens": recipe.train.steps * recipe.train.batch_size * run.context, "diverged_at": None, "looks": [],
    }  # fmt: skip
    started, losses = time.perf_counter(), list[float]()
    for number in range(recipe.train.steps):
        if number in looks:
            record["looks"].append({"step": number, **positions_alike(model, ids, targets)})
        losses.append(run.step(number)["loss"])
        run.steps_done = number + 1
    if recipe.train.steps in looks:
        record["looks"].append({"step": recipe.train.steps, **positions_alike(model, ids, targets)})
    run.check_weights()
    model.eval()
    last = max(1, recipe.train.steps // 10)
    seen = [usual.batches.batch(k) for k in range(recipe.train.steps - last, recipe.train.steps)]
    seen_ids, seen_targets = (torch.cat([pair[k] for pair in seen]) for k in (0, 1))
    record |= {
        "train_loss": sum(losses[-last:]) / last,
        "train_loss_eval": mean(position_losses(model, seen_ids, seen_targets)),
        "val_loss": mean(position_losses(model, ids, targets)),
        "seconds": time.perf_counter() - started,
    }
    if study.name == "dropout":
        record["neurons"] = neurons_off(model, ids[:32], targets[:32])
    return plain(brief(record | {"environment": describe(run.device)}))


def mean(values: list[float]) -> float:
    """The mean."""
    return sum(values) / len(values)


def counting(study: Study) -> dict[str, Any]:
    """What counting tokens gives on the validation text of the report: a record with the losses of two counts."""
    job = Job("baseline", "report", study.seeds[0])
    task = pretraining(job.recipe(study))
    part: Part = validation(study, job, task)
    ids, targets = part.all(torch.device("cpu"))
    found = counted_losses(training_tokens(study), ids, targets, task.model.config.vocab_size)
    key = f"counts{job.key(study)[6:]}"
    return {
        "key": key, "study": study.name, "contestant": "counts", "purpose": "report", "seed": 0, "rate": 1.0,
        "share": 1.0, "diverged_at": None, **found,
    }  # fmt: skip


def training_tokens(study: Study) -> Tensor:
    """The whole training text, in rows of the context: [N, T + 1]."""
    recipe = study.recipe("baseline")
    T = recipe.model.n_positions
    tokens = torch.cat([torch.from_numpy(TokenShards(path)[:].astype("int64")) for path in recipe.data.train])
    return tokens[: (len(tokens) - 1) // T * T + 1].unfold(0, T + 1, T)


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(prog="python -m scripts.guides.train", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(LOOKS))
    parser.add_argument("--seeds", type=int, nargs="*", help="these seeds alone")
    parser.add_argument("--rate", type=float, default=1.0, help="a factor of the study's rate of learning")
    parser.add_argument("--contestants", nargs="*", help="these contestants alone")
    options = parser.parse_args()
    study = load_study(ROOT / "recipes" / "ablation" / f"{options.name}.toml")
    with writing(ROOT / "results" / "ablation" / f"{options.name}.jsonl") as results:
        if options.name == "collapse" and not any(r["contestant"] == "counts" for r in results.records.values()):
            results.append(plain(counting(study)))
        for seed in options.seeds or study.seeds:
            for name in options.contestants or study.contestants:
                job = Job(name, "report", seed, options.rate)
                if job.key(study) in results.records:
                    continue
                results.append(record := train(study, job, LOOKS[study.name]))
                shown = {k: record[k] for k in ("contestant", "seed", "val_loss", "train_loss_eval", "seconds")}
                print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
