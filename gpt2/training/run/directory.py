"""The directory of a run: where things lie in it, which checkpoint is the latest and the best, who is at work in it.

In: the directory's path. Out: paths of complete checkpoints. Read next: state.py, which writes and reads them.

    RUN/recipe.json         the resolved recipe
    RUN/environment.json    versions, processor, commit (environment.py)
    RUN/metrics.jsonl       a line per step, and a line per evaluation (metrics.py)
    RUN/checkpoints/step-000123/    after 123 steps: model/, and what resuming needs
    RUN/snapshots/, RUN/tensorboard/    where the recipe asks for them
    RUN/model/              the result, a model to load

A checkpoint has its name only when all of it is on the disk: whatever else is there begins with a dot and is litter of
a process that was killed. Nothing here imports torch.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpt2.base.errors import UsageError
from gpt2.training.run.metrics import METRICS, mean_validation, read_metrics

CHECKPOINTS, LOCK = "checkpoints", ".lock"
FINETUNE = "finetune.json"  # the settings of a fine-tune: only its runs hold them
NAME = re.compile(r"step-(\d{6,})")


def checkpoint_path(run: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lies."""
    return run / CHECKPOINTS / f"step-{step:06d}"


def checkpoints(run: Path) -> dict[int, Path]:
    """Steps and directories of the run's complete checkpoints, the earliest first."""
    folder = run / CHECKPOINTS
    found = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def latest(run: Path) -> Path:
    """The last complete checkpoint. UsageError when there is none."""
    found = checkpoints(run)
    if not found and (run / METRICS).exists():
        what = f"{run} has no checkpoint, since it ended too early"
        raise UsageError(what, "start it again with {overwrite}.", overwrite=True)
    if not found:
        raise UsageError(f"{run} is not a training run: name a directory that gpt2 train wrote.")
    return found[max(found)]


def best(run: Path) -> Path | None:
    """The complete checkpoint with the lowest validation loss (the mean over the sets); None when none has one."""
    losses = mean_validation(read_metrics(run / METRICS)) if (run / METRICS).exists() else {}
    found = checkpoints(run)
    scored = [(losses[step], step) for step in found if step in losses]
    return found[min(scored)[1]] if scored else None


def prune(run: Path, keep_last: int) -> None:
    """Delete all checkpoints but the last `keep_last` and the best; only the process that holds the run may do so."""
    found = checkpoints(run)
    keep = {*sorted(found)[-keep_last:]}
    top = best(run)
    for step, path in found.items():
        if step not in keep and path != top:
            doomed = path.with_name(f".{path.name}.old")  # first it loses its name: half of it must not look whole
            shutil.rmtree(doomed, ignore_errors=True)
            os.rename(path, doomed)
    _clear(run)


def _clear(run: Path) -> None:
    """Delete what a process that was killed left half-written or half-deleted."""
    for path in (run / CHECKPOINTS).glob(".step-*"):
        shutil.rmtree(path, ignore_errors=True)


def forget(run: Path) -> None:
    """Delete what an earlier run left here, which is to be replaced: half of it beside the new one would mislead."""
    for name in (CHECKPOINTS, "snapshots", "tensorboard", "model"):
        shutil.rmtree(run / name, ignore_errors=True)
    (run / METRICS).unlink(missing_ok=True)


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Be the one process that trains in this directory, until the block ends or the process dies.

    Raises UsageError when another process is at work there. Where files cannot be locked nothing is held.
    """
    run.mkdir(parents=True, exist_ok=True)
    with open(run / LOCK, "a") as file:
        for _ in range(10):
            if _lock(file.fileno()):
                break
            time.sleep(0.05)  # `is_running` has the lock for a moment
        else:
            what = f"another process is training in {run}"
            raise UsageError(what, "wait for it, or choose another {out}.", out=None)
        _clear(run)
        yield


def is_running(run: Path) -> bool:
    """Whether a process holds the run now."""
    if not (run / LOCK).exists():
        return False
    with open(run / LOCK) as file:
        return not _lock(file.fileno())


def _lock(handle: int) -> bool:
    """Take the lock of an open file, which closing it gives back; False when another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
