"""Records of a made-up study, with differences that are planted: what the report must find in them is known."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpt2.ablation.conduct import Records, due
from gpt2.ablation.study import Job, Study, load_study

STUDY = """# A study for tests.
#
#   gpt2 prepare some.txt --out data/some

[study]
seeds = [0, 1, 2, 3]
exploratory = 3
tune_seeds = [100]
budgets = [0.5, 2.0]
[baseline]
model = { n_layer = 2, n_head = 2, n_embd = 16, n_positions = 16 }
data = { train = ["data/some"], val = ["data/val"] }
optim = { lr = 0.01, warmup_steps = 1 }
train = { steps = 4, batch_size = 2, compile = false, dtype = "float32" }
[contestants.no-positions]
variant = "no-positions"
kind = "primary"
expect = ">= 0.1"
why = "planted"
[contestants.no-residuals]
variant = "no-residuals"
kind = "primary"
expect = ">= 0.5"
[contestants.no-mask]
variant = "no-mask"
expect = "<= -0.5"
[contestants.wide]
set.model.n_embd = 32
expect = "<= -0.01"
[contestants.dropout]
set.model.dropout = 0.1
set.data.train = ["data/small"]
expect = "within 0.5"
"""
BASE = 3.0
EFFECTS = {"baseline": 0.0, "no-positions": 0.3, "no-residuals": 0.2, "no-mask": -2.0, "wide": 0.0, "dropout": 0.1}
NOISE = (0.01, -0.01, 0.004, -0.004)  # of a difference, by seed: its mean is 0 over any two neighbours from the first


def study(folder: Path, text: str = STUDY) -> Study:
    """The study, read from a file in `folder`."""
    (folder / "made.toml").write_text(text)
    return load_study(folder / "made.toml")


def planted(job: Job) -> float | None:
    """The loss of a run: a seed's own part, the effect, a little noise; the fewer tokens, the higher."""
    if job.purpose == "tune":
        return 3.5 + abs(math.log2(job.rate))
    noise = 0.0 if job.contestant == "baseline" else NOISE[job.seed]
    return BASE + 0.05 * job.seed + EFFECTS[job.contestant] + noise - 0.4 * math.log2(job.share)


def records(s: Study, loss: Callable[[Job], float | None] = planted) -> Records:
    """Every record of a study, run by run as they become due; a loss of None is a run that diverged."""
    found: Records = {}
    while jobs := due(s, found):
        for job in jobs:
            found[job.key(s)] = record(s, job, loss(job))
    return found


def record(s: Study, job: Job, loss: float | None) -> dict[str, Any]:
    """One record with every field that the report reads."""
    recipe = job.recipe(s)
    layers, T = recipe.model.n_layer, 16
    made: dict[str, Any] = {
        "key": job.key(s), "study": s.name, **vars(job), "variant": s.contestants[job.contestant].variant,
        "lr": recipe.optim.lr, "steps": recipe.train.steps, "tokens": recipe.train.steps * 2 * T, "parameters": 7616,
        "diverged_at": 2 if loss is None else None, "curve": [], "train_loss": 3.1, "tokens_per_s": 1000.0,
        "seconds": 36.0, "peak_memory_bytes": 300 * 2**20, "ended": f"2026-01-02T03:04:{job.seed % 60:02d}+00:00",
        "environment": {
            "gpt2": "0", "torch": "2", "python": "3", "processor": "a processor", "threads": 1, "gpu": None,
            "commit": "0123456789abcdef", "uncommitted_changes": False,
        },
    }  # fmt: skip
    if loss is None:
        return made
    made |= {"val_loss": loss}
    if job.purpose == "tune":
        return made
    steps = recipe.train.steps
    made |= {
        "val_bits_per_byte": loss / 2,
        "curve": [{"steps": k, "val_loss": loss + 1 / k, "induction": 0.1 * k} for k in range(1, steps)],
    }
    if job.purpose == "budget":
        return made
    grown = {"activation_rms": [0.1 * 2**l for l in range(layers + 1)], "gradient_norm": [1.0] * (layers + 1)}
    return made | {
        "position_losses": [loss + 0.1 - 0.2 * t / (T - 1) for t in range(T)], "in_context_score": -0.15,
        "induction": 0.5, "dead_neurons": 0.25, "at_start": grown, "at_end": grown,
        "longer_losses": [loss, loss + 1, loss + 2, loss + 3] if job.contestant == "no-positions" else None,
        "val_loss_with_mask": 6.5 if job.contestant == "no-mask" else None,
    }  # fmt: skip
