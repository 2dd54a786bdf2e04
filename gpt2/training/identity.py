"""What a recipe is, whatever settings later versions add: its settings of version 0.1, and what else is set.

In: a `Recipe`. Out: plain tables that are hashed or compared. Read next: the key of a study's run in
gpt2/ablation/study.py, and the comparison on resume in gpt2/training/run/resume.py.

Results are found again by a hash over their recipe, and the committed results were hashed with all settings of version
0.1. A setting that a later version adds must not change that hash as long as it stands at its default, and its default
must leave a run as it was without the setting. So these settings are always counted, and a later one only where it
differs from its default. Neither the names nor the values here ever change, and nothing is added.
"""

from dataclasses import asdict
from typing import Any

from gpt2.training.recipe import Recipe

Tables = dict[str, dict[str, Any]]  # settings by section and name, as `dataclasses.asdict` gives them

VERSION_0_1: Tables = {
    "model": {
        "n_layer": 12, "n_head": 12, "n_embd": 768, "n_inner": None, "n_positions": 1024, "dropout": 0.0,
    },
    "data": {
        "train": (), "repeat": (), "val": (), "verify": True, "document_mask": False,
    },
    "optim": {
        "name": "adamw", "lr": 6e-4, "muon_lr": 0.02, "weight_decay": 0.1, "muon_weight_decay": 0.01, "beta1": 0.9,
        "beta2": 0.95, "eps": 1e-8, "clip": 1.0, "schedule": "cosine", "warmup_steps": 100, "floor": 0.1, "decay": 0.2,
    },
    "train": {
        "steps": 1000, "batch_size": 32, "micro_batch_size": None, "context": None, "init": None, "seed": 0,
        "dtype": "auto", "compile": True, "activation_checkpointing": False, "parallel": "ddp", "deterministic": True,
        "log_every": 10, "eval_every": 250, "eval_tokens": 65536, "save_every": None, "keep_last": 2,
        "sample_every": 0, "sample_prompt": "Once upon a time", "snapshots": False, "tensorboard": False,
        "skip_outliers": 0.0,
    },
}  # fmt: skip


def identity(recipe: Recipe) -> Tables:
    """The settings of version 0.1, all of them, and each later setting that differs from its default."""
    default = asdict(type(recipe)())
    tables = {section: dict(settings) for section, settings in VERSION_0_1.items()}
    for section, settings in asdict(recipe).items():
        first = VERSION_0_1.get(section, {})
        counted = {name: value for name, value in settings.items() if name in first or value != default[section][name]}
        if counted:
            tables[section] = tables.get(section, {}) | counted
    return tables
