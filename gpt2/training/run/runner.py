"""How a run begins, goes on where it was stopped, and ends.

In: a `TrainingRun`. Out: its run directory (directory.py), and an `Outcome`; or an error that names the last good
checkpoint. Read next: session.py, which does the steps.
"""

import json
import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpt2.base.disk import naming, refusal, whole_file
from gpt2.base.errors import DiskFailure
from gpt2.base.ours import stranger
from gpt2.base.sealed import kind_of, read_file
from gpt2.checkpoint.target import CHECKPOINT
from gpt2.training.guards import Diverged
from gpt2.training.loop import TrainingRun
from gpt2.training.run.beside import MISSING
from gpt2.training.run.directory import (
    RECIPE,
    check_resumed,
    check_run,
    checkpoints,
    forget,
    hold,
    results,
)
from gpt2.training.run.environment import describe, write_environment
from gpt2.training.run.going_on import find_start, newest_good, run_of
from gpt2.training.run.interrupts import explain_out_of_memory
from gpt2.training.run.metrics import METRICS, good_lines
from gpt2.training.run.resume import check_resume
from gpt2.training.run.session import Outcome, Report, Session, facts_of
from gpt2.training.run.start import said, set_aside
from gpt2.training.run.state import restore

__all__ = ["Outcome", "Report", "resume", "train"]


def resume(run: TrainingRun, out: Path, override: bool = False) -> list[str]:
    """Put the run where the last checkpoint in `out` stands; returns what the user should know of the differences.

    out   the run, or one of its checkpoints: then what is damaged or later is set aside when training goes on

    Raises UsageError when there is none or the recipe was changed without `override`, ValueError for other data, and
    for damage, with what goes on from the newest good checkpoint.
    """
    path, start = find_start(*run_of(out))
    before = start.facts
    notes = said(path, start) + check_resume(before, facts_of(run, before.step), override)
    restore(path, run.model, run.optimizers)
    if run.world.is_main:
        wrong = (path.absolute().parents[1] / name for name, why in start.wrong.items() if why != MISSING)
        for odd in (*start.odd, *wrong):
            set_aside(odd)
    run.world.barrier()
    run.load_carried(before.carried)
    run.steps_done, run.start = before.step, start
    return notes


def train(
    run: TrainingRun,
    out: Path,
    report: Report = lambda event: None,
    *,
    stop: Callable[[], bool] = lambda: False,
    max_seconds: float | None = None,
) -> Outcome:
    """Train from where the run stands to the end of its recipe.

    out          the run directory; what another run left there is replaced, unless `resume` continued it
    report       is given each event that is logged (metrics.py), on the main process; and, in a process that compiles,
                 {"step", "compiling"} before its first step and {"step", "compiled_s"} after it, which are not logged
    stop         asked after each step: whether to save and end here
    max_seconds  save and end after the step in which so much time has passed

    Raises UsageError for an `out` in which something is not a run's, so that nothing of the user's is deleted;
    Diverged, naming the last good checkpoint; OSError when the disk is full, naming it too. What `report` and `stop`
    raise ends the run as it is.
    """
    if run.world.is_main:
        check_resumed(out) if run.steps_done else check_run(out, overwrite=True)
    with hold(out) if run.world.is_main else nullcontext() as held:
        session, theirs = None, list[OSError]()
        try:
            if run.world.is_main:
                _set_aside(run, out)
                _describe(run, out)
            run.world.barrier()
            session = Session(run, out, _noting(report, theirs))
            session.held = held
            with explain_out_of_memory(run.memory_savers):
                outcome = session.go(_noting(stop, theirs), max_seconds)
            session.close()
            return outcome
        except Diverged as error:
            if session is not None and session.log is not None:
                with suppress(OSError):
                    session.log.write({"step": run.steps_done, "diverged": str(error)})
            lower = float(f"{run.recipe.optim.lr / 3:.2g}")
            where, named = _last_good(run, out, {"override": True, "optim.lr": lower})
            raise Diverged(error.problem, f"{error.mend} {where}", **named) from None
        except OSError as error:
            disk = refusal(error)
            if isinstance(error, DiskFailure) or error in theirs or disk is None:
                raise
            where, named = _last_good(run, out, {}, f"{disk.mend}, then ")
            what = f"{disk.file or out}: {disk.why}, at step {run.steps_done}."
            raise DiskFailure(what, where, **named) from None
        finally:
            if session is not None:
                with suppress(OSError):  # the first error is the one to tell
                    session.close()


def _noting(function: Callable[..., Any], errors: list[OSError]) -> Callable[..., Any]:
    """The same function; an OSError that it raises is noted: a disk that it meets is not the run's."""

    def call(*given: Any) -> Any:
        try:
            return function(*given)
        except OSError as error:
            errors.append(error)
            raise

    return call


def _set_aside(run: TrainingRun, out: Path) -> None:
    """Put what is damaged, or later than the checkpoint that was named, where nothing reads it."""
    if run.start is None:
        return
    damaged = [path for path in results(out) if path.is_dir() and stranger(path, CHECKPOINT) == path]
    for path in (*run.start.aside, *damaged):  # what is damaged looks like no model of ours, and would not be replaced
        set_aside(path)
    if run.start.mend and os.path.lexists(out / METRICS):
        damaged_log = set_aside(out / METRICS)
        content = b"" if kind_of(damaged_log) else read_file(damaged_log)
        with whole_file(out / METRICS) as temporary:
            temporary.write_bytes(good_lines(content, run.steps_done))


def _describe(run: TrainingRun, out: Path) -> None:
    """Write what the run is; a fresh one forgets what lay there."""
    if run.steps_done == 0:
        forget(out)
    temporary = out / f".{RECIPE}"
    with naming(out / RECIPE):
        temporary.write_text(json.dumps(asdict(run.recipe), indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, out / RECIPE)
    write_environment(out, describe(run.device))


def _last_good(run: TrainingRun, out: Path, changed: dict[str, Any], first: str = "") -> tuple[str, dict[str, Any]]:
    """Where to go on, with which changed settings: a mend, and what it names (gpt2/base/errors.py).

    Never from a checkpoint of a run that was lost by then, though its numbers are finite, nor from a damaged one.
    first   what is to be done before
    """
    good = newest_good(out, run.steps_done - run.guard.lost)
    if good is None:
        what = "There is no checkpoint from before it went wrong"
        return f"{what}: {first}start again with {{overwrite}}.", {"overwrite": True}
    is_last = good == list(checkpoints(out).values())[-1]
    go_on = f"{first}go on with {{again}}"
    step = int(good.name.removeprefix("step-"))
    again = {"resume": out if is_last else good, **changed}
    return f"The last good checkpoint is that of step {step}, {good}: {go_on}", {"again": again}
