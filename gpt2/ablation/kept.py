"""Where the baseline's trained weights are kept: under their name when their run is in the results, never before.

In: the directory that `keep` names. Out: places to write. Read next: conduct.py, switched_off.py.

A run writes its weights under a hidden name that holds its key. They get their own name when its result is written
down; a study that was stopped between the two does it in its next sitting.
"""

import os
import re
from pathlib import Path

from gpt2.ablation.results import Records
from gpt2.ablation.study import BASELINE, Job, Study
from gpt2.base.ours import check_directory, remove
from gpt2.checkpoint.target import CHECKPOINT, HALF, litter

HIDDEN = rf"\.({BASELINE}--?\d+)\.([0-9a-f]{{16}})"


def place(keep: Path, seed: int) -> Path:
    """Where the weights of the baseline with this seed are kept."""
    return keep / f"{BASELINE}-{seed}"


def hidden(keep: Path, study: Study, job: Job) -> Path:
    """Where a run writes its weights."""
    return keep / f".{place(keep, job.seed).name}.{job.key(study)}"


def check_places(keep: Path, study: Study, records: Records, rate: float | None) -> None:
    """Raise UsageError, before anything is trained, where weights that are to be kept would replace others."""
    for seed in study.seeds_of(BASELINE):
        if rate is None or Job(BASELINE, "report", seed, rate).key(study) not in records:
            mend = "choose another {keep}, or move it to another place."
            check_directory(place(keep, seed), CHECKPOINT, False, "keep", mend)


def settle(keep: Path, records: Records) -> None:
    """Give the weights of every run that is in the results their name."""
    for path, name, key in _hidden(keep):
        if key in records and not (keep / name).exists():
            os.rename(path, keep / name)


def clear(keep: Path, records: Records) -> None:
    """Delete what a study that was killed left: half-written weights, and those of runs that are due again."""
    for path, _, key in _hidden(keep):
        if key not in records:
            remove(path, CHECKPOINT)
    for path in keep.glob(f"..{BASELINE}-*"):
        if re.fullmatch(litter(HIDDEN), path.name):
            remove(path, HALF)


def _hidden(keep: Path) -> list[tuple[Path, str, str]]:
    """Weights under hidden names: path, name to have, key of their run."""
    found = [(path, re.fullmatch(HIDDEN, path.name)) for path in keep.glob(f".{BASELINE}-*")]
    return [(path, match[1], match[2]) for path, match in found if match]
