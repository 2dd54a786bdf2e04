"""The directory of a run: where things lie in it, which checkpoint is the latest and the best, who is at work in it.

In: the directory's path. Out: paths of complete checkpoints. Read next: state.py, which writes and reads them.

    RUN/recipe.json         the resolved recipe
    RUN/environment.json    versions, processor, commit (environment.py)
    RUN/metrics.jsonl       a line per step, and a line per evaluation (metrics.py)
    RUN/checkpoints/step-000123/    after 123 steps: model/, and what resuming needs
    RUN/snapshots/, RUN/tensorboard/    where the recipe asks for them
    RUN/model/              the result, a model to load

A checkpoint has its name only when all of it is on the disk: what a process that was killed left half-written begins
with a dot. Whatever else is there is the user's, and is never deleted. Nothing here imports torch.
"""

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpt2.base.errors import UsageError
from gpt2.base.foreign import parse_json
from gpt2.base.lock import lock
from gpt2.base.ours import Folder, always, check_directory, remove, stranger
from gpt2.base.sealed import kind_of, read_text
from gpt2.base.visible import quoted
from gpt2.checkpoint.target import CHECKPOINT, HALF, TENSORS, litter
from gpt2.training.run.metrics import METRICS, mean_validation, read_metrics

CHECKPOINTS, SNAPSHOTS, TENSORBOARD, LOCK = "checkpoints", "snapshots", "tensorboard", ".lock"
RECIPE, ENVIRONMENT = "recipe.json", "environment.json"
FINETUNE = "finetune.json"  # the settings of a fine-tune: only its runs hold them
ROWS = "rows.jsonl"  # what a fine-tune from Python was given in place of files
MERGED = "merged"  # a fine-tune's adapter merged into its base
STEP = r"step-(?:[0-9]{6}|[1-9][0-9]{6,})"
NAME = re.compile(STEP)


def _is_run(run: Path) -> bool:
    """Whether a recipe, settings, or steps of ours lie there; or the lock alone of a run that ended at once."""
    for name, fields in ((RECIPE, {"model", "data", "optim", "train"}), (FINETUNE, {"files", "model", "lora"})):
        try:
            found = parse_json(read_text(run / name), own=True)
        except (OSError, ValueError):
            continue
        return isinstance(found, dict) and fields <= found.keys()
    return _has_steps(run) or all(path.name in (f".{RECIPE}", ROWS) or _is_nothing(path.name) for path in run.iterdir())


def _is_nothing(name: str) -> bool:
    """Whether it is what a run leaves that ends before its first whole file: the lock, or half of a file."""
    return name == LOCK or HALF_FILE.fullmatch(name) is not None


def _has_steps(run: Path) -> bool:
    """Whether a run's log or checkpoint lies there: also one whose recipe is damaged or lost is a run."""
    if any((path / name).is_file() for path in checkpoints(run).values() for name in OF_STEP):
        return True
    try:
        return any("loss" in event and "tokens" in event for event in read_metrics(run / METRICS))
    except (OSError, ValueError):
        return False


OF_STEP = ("model", "training.json", "training.safetensors")
STATE = {r"training\.json": always, r"training\.safetensors": always}
ASIDE = r"\.aside(-\d+)?"  # what is damaged, or later than the checkpoint that a run goes on from
# names alone: a damaged checkpoint, which may lack any of them, is ours still
DAMAGED: dict[str, Folder | Callable[[Path], bool]] = {"model": HALF, **STATE}
STEP_OF_RUN = Folder("a checkpoint of a run", DAMAGED, lambda path: any((path / name).exists() for name in OF_STEP))
HALF_STEP = Folder("a half-written checkpoint", {"model": HALF, rf"{litter('model')}": HALF, **STATE, **TENSORS})
FILES = "|".join(re.escape(name) for name in (RECIPE, ENVIRONMENT, METRICS, FINETUNE, ROWS))
HALF_FILE = re.compile(litter(f"({FILES})"))
RUN = Folder(
    "a run",
    {
        FILES: always,
        HALF_FILE.pattern: always,
        r"\.recipe\.json|\.environment\.json|\.finetune\.json": always,
        re.escape(LOCK): lambda path: path.stat().st_size == 0,
        f"({FILES}){ASIDE}": always,
        CHECKPOINTS: Folder(
            "the checkpoints of a run", {STEP: STEP_OF_RUN, litter(STEP): HALF_STEP, STEP + ASIDE: HALF_STEP}
        ),
        SNAPSHOTS: Folder("the snapshots of a run", {STEP: CHECKPOINT, litter(STEP) + "|" + STEP + ASIDE: HALF}),
        TENSORBOARD: Folder("what TensorBoard shows", {r"events\.out\.tfevents\..+": always}),
        f"model|{MERGED}": CHECKPOINT,
        litter(f"(model|{MERGED})") + "|" + f"(model|{MERGED})" + ASIDE: HALF,
    },
    _is_run,
)
"""A run directory: all that the program writes there."""


def check_run(run: Path | str, overwrite: bool, existing: str = "") -> Path:
    """The path of a directory that a new run may write: new, empty, or with `overwrite` an earlier run's alone.

    Raises UsageError naming what stands there otherwise; `existing` is the mend for a run without `overwrite`.
    """
    path = Path(run).expanduser()
    found = check_directory(path, RUN, True, "out")
    if not overwrite and found.is_dir() and not all(_is_nothing(entry.name) for entry in found.iterdir()):
        mend = existing or "choose another {out}, or replace it with {overwrite}."
        resume: dict[str, Any] = {"resume": path} if "{resume}" in mend else {}
        raise UsageError(f"{path} already holds a run", mend, out=None, overwrite=True, **resume)
    return path


def check_resumed(run: Path) -> None:
    """Raise UsageError where going on with the run would replace a directory in which something is the user's."""
    for path in results(run):
        found = stranger(path, CHECKPOINT) if os.path.lexists(path) else None
        if found is not None and (found != path or path.is_symlink()):
            what = f"{run} holds {found.relative_to(run)}, which is not part of a run"
            raise UsageError(what, "move it to another place.")


def results(run: Path) -> list[Path]:
    """Where a run writes models, beside its checkpoints."""
    return [
        run / "model",
        run / MERGED,
        *(path for path in (run / SNAPSHOTS).glob("step-*") if NAME.fullmatch(path.name)),
    ]


def checkpoint_path(run: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lies."""
    return run / CHECKPOINTS / f"step-{step:06d}"


def checkpoints(run: Path) -> dict[int, Path]:
    """Steps and directories of the run's complete checkpoints, the earliest first."""
    folder = run / CHECKPOINTS
    found = [(step_of(path), path) for path in folder.iterdir()] if folder.is_dir() else []
    return dict(sorted((step, path) for step, path in found if step is not None))


def step_of(checkpoint: Path) -> int | None:
    """After how many steps a checkpoint was saved, by its name; None where it has no name of one."""
    return int(checkpoint.name.removeprefix("step-")) if NAME.fullmatch(checkpoint.name) else None


def latest(run: Path) -> Path:
    """The last complete checkpoint. UsageError when there is none."""
    found = checkpoints(run)
    command = "finetune" if (run / FINETUNE).is_file() else "train"
    if os.path.lexists(run / CHECKPOINTS) and not (run / CHECKPOINTS).is_dir():
        what = f"{run / CHECKPOINTS} is no directory, so {run} has no checkpoint"
        place = quoted(str(run / CHECKPOINTS))
        mend = f"move it to another place (mv {place} {place}.aside), then start again with gpt2 {command}"
        mend = f"{mend} {{resume}} {{overwrite}}"
        raise UsageError(what, mend, resume=run, overwrite=True)
    if not found and (run / METRICS).exists():
        what = f"{run} has no checkpoint, since it ended too early"
        mend = f"start it again with gpt2 {command} {{resume}} {{overwrite}}"
        raise UsageError(what, mend, resume=run, overwrite=True)
    if not found:
        raise UsageError(f"{run} is not a training run: name a directory that gpt2 train wrote.")
    return found[max(found)]


def best(run: Path) -> Path | None:
    """The complete checkpoint with the lowest validation loss (the mean over the sets); None when none has one."""
    losses = mean_validation(read_metrics(run / METRICS)) if (run / METRICS).is_file() else {}
    found = checkpoints(run)
    scored = [(losses[step], step) for step in found if step in losses]
    return found[min(scored)[1]] if scored else None


def prune(run: Path, keep_last: int) -> None:
    """Delete all checkpoints but the last `keep_last` and the best; only the process that holds the run may do so.

    One in which something is the user's stays whole.
    """
    found = checkpoints(run)
    keep = {*sorted(found)[-keep_last:]}
    top = best(run)
    for step, path in found.items():
        if step not in keep and path != top and stranger(path, STEP_OF_RUN) is None:
            doomed = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
            os.rename(path, doomed)  # first it loses its name: half of it must not look whole
    _clear(run)


def _clear(run: Path) -> None:
    """Delete what a process that was killed left half-written or half-deleted; only who holds the run may do so."""
    for path in (run / CHECKPOINTS).glob(".step-*"):
        if re.fullmatch(litter(STEP), path.name):
            remove(path, HALF_STEP)
    for path in run.glob(".*"):
        if HALF_FILE.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink()


def forget(run: Path) -> None:
    """Delete what an earlier run left here, which is to be replaced: half of it beside the new one would mislead."""
    for name in (CHECKPOINTS, SNAPSHOTS, TENSORBOARD, "model", MERGED, METRICS):
        kind = RUN.kind(name)
        if kind is not None:
            remove(run / name, kind)


def forget_checkpoints(run: Path) -> None:
    """Delete the checkpoints of a run that has come to its end: nothing is left to resume."""
    remove(run / CHECKPOINTS, RUN.holds[CHECKPOINTS])


class Held:
    """A run's directory that this process trains in, known by its lock, wherever it is moved."""

    def __init__(self, run: Path, handle: int) -> None:
        self._lock, self._handle = run / LOCK, handle

    def is_here(self) -> bool:
        """Whether the directory still has the path that it had."""
        try:
            found, ours = self._lock.stat(), os.fstat(self._handle)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def where(self) -> Path | None:
        """Where it was moved; None where the system does not tell (all but Linux), or it was deleted."""
        try:
            path = Path(os.readlink(f"/proc/self/fd/{self._handle}"))
        except OSError:
            return None
        return path.parent if path.is_file() else None


@contextmanager
def hold(run: Path) -> Iterator[Held]:
    """Be the one process that trains in this directory, until the block ends or the process dies.

    Raises UsageError when another process is at work there. Where files cannot be locked nothing is held.
    """
    run.mkdir(parents=True, exist_ok=True)
    if kind := kind_of(run / LOCK):
        raise UsageError(f"{run / LOCK} is {kind}, where a file of the run belongs", "move it to another place.")
    with open(run / LOCK, "a") as file:
        for _ in range(10):
            if lock(file.fileno()):
                break
            time.sleep(0.05)  # `is_running` has the lock for a moment
        else:
            what = f"another process is training in {run}"
            raise UsageError(what, "wait for it, or choose another {out}.", out=None)
        _clear(run)
        yield Held(run, file.fileno())


def is_running(run: Path) -> bool:
    """Whether a process holds the run now."""
    if not (run / LOCK).is_file():
        return False
    with open(run / LOCK) as file:
        return not lock(file.fileno())
