"""Around the steps: what is logged, saved, evaluated, sampled, and how a run ends.

In: a `TrainingRun`. Out: its run directory (directory.py), and an `Outcome`. A step's order: train, log, save, then
evaluate, so that nothing that evaluation does can cost what was learned. Read next: state.py, metrics.py.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpt2 import Sampling, generate
from gpt2.base.disk import naming, refusal, whole_file
from gpt2.base.errors import DiskFailure, Failure
from gpt2.base.ours import stranger
from gpt2.base.sealed import kind_of, read_file
from gpt2.checkpoint.target import CHECKPOINT
from gpt2.training.guards import Diverged
from gpt2.training.loop import TrainingRun
from gpt2.training.machine.distributed import whole_model
from gpt2.training.run.directory import (
    RECIPE,
    SNAPSHOTS,
    Held,
    best,
    check_resumed,
    check_run,
    checkpoint_path,
    checkpoints,
    forget,
    hold,
    results,
)
from gpt2.training.run.environment import describe, write_environment
from gpt2.training.run.going_on import find_start, newest_good, run_of, said, set_aside
from gpt2.training.run.interrupts import explain_out_of_memory
from gpt2.training.run.metrics import METRICS, MetricsLog, good_lines, mfu, peak_flops, peak_memory
from gpt2.training.run.resume import Facts, check_resume
from gpt2.training.run.state import restore, save_checkpoint

Report = Callable[[dict[str, Any]], None]
SAMPLED_TOKENS = 100


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    steps   steps done
    done    whether these are all of them
    model   the weights as they are now, a model to load
    best    the checkpoint with the lowest validation loss, where it is not the last
    """

    steps: int
    done: bool
    model: Path
    best: Path | None


def resume(run: TrainingRun, out: Path, override: bool = False) -> list[str]:
    """Put the run where the last checkpoint in `out` stands; returns what the user should know of the differences.

    out   the run, or one of its checkpoints: then what is damaged or later is set aside when training goes on

    Raises UsageError when there is none or the recipe was changed without `override`, ValueError for other data, and
    for damage, with what goes on from the newest good checkpoint.
    """
    path, start = find_start(*run_of(out))
    before = start.facts
    notes = check_resume(before, _facts(run, before.step), override)
    restore(path, run.model, run.optimizers)
    for odd in start.odd if run.world.is_main else ():
        set_aside(odd)
    run.world.barrier()
    run.load_carried(before.carried)
    run.steps_done, run.start = before.step, start
    return said(path, start) + notes


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
    Diverged, naming the last good checkpoint; OSError when the disk is full, naming it too.
    """
    if run.world.is_main:
        check_resumed(out) if run.steps_done else check_run(out, overwrite=True)
    with hold(out) if run.world.is_main else nullcontext() as held:
        session = None
        try:
            if run.world.is_main:
                _set_aside(run, out)
                _describe(run, out)
            run.world.barrier()
            session = _Session(run, out, report)
            session.held = held
            with explain_out_of_memory(run.memory_savers):
                outcome = session.go(stop, max_seconds)
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
            if isinstance(error, DiskFailure) or disk is None:
                raise
            where, named = _last_good(run, out, {}, f"{disk.mend}, then ")
            what = f"{disk.file or out}: {disk.why}, at step {run.steps_done}."
            raise DiskFailure(what, where, **named) from None
        finally:
            if session is not None:
                with suppress(OSError):  # the first error is the one to tell
                    session.close()


class _Session:
    """The run while it goes."""

    def __init__(self, run: TrainingRun, out: Path, report: Report) -> None:
        self.run, self.out, self.report = run, out, report
        self.train, self.main = run.recipe.train, run.world.is_main
        self.tokens_a_step = self.train.batch_size * run.context
        self.peak = peak_flops(run.device)
        size = run.start.log if run.start is not None else None
        self.log = MetricsLog(out, run.steps_done, self.train.tensorboard, size) if self.main else None
        self.held: Held | None = None
        self.saved = run.steps_done if run.steps_done else -1

    def go(self, stop: Callable[[], bool], max_seconds: float | None) -> Outcome:
        run, train = self.run, self.train
        if run.steps_done == 0:
            self.snapshot()
        else:
            self.catch_up()
        started = time.monotonic()
        stopped = False
        while run.steps_done < train.steps and not stopped:
            self.stay()
            self.step()
            stopped = self.agreed(stop() or time.monotonic() - started > (max_seconds or float("inf")))
            stopped = stopped and run.steps_done < train.steps  # after the last there is nothing to stop
            if stopped or self.is_due(train.save_every or train.eval_every) or self.is_due(train.eval_every):
                self.save()
            if self.is_due(train.eval_every) and not stopped:
                self.evaluate()
            if self.is_due(train.sample_every) and not stopped:
                self.sample()
            self.snapshot()
        self.write(self.out / "model")
        top = best(self.out)
        is_last = top == checkpoint_path(self.out, run.steps_done)
        return Outcome(run.steps_done, run.steps_done >= train.steps, self.out / "model", None if is_last else top)

    def catch_up(self) -> None:
        """Evaluate and sample where the run was stopped, or killed, between saving and that."""
        done, log = self.run.steps_done, self.log
        if self.is_due(self.train.eval_every) and self.agreed(log is not None and done not in log.validated):
            self.evaluate()
        if self.is_due(self.train.sample_every) and self.agreed(log is not None and done not in log.sampled):
            self.sample()

    def close(self) -> None:
        if self.log is not None:
            self.log.close()

    def stay(self) -> None:
        """Raise Failure when the run's directory was moved or replaced: half of the run must not lie elsewhere."""
        moved = self.agreed(self.held is not None and not self.held.is_here())
        if moved:
            where = self.held.where() if self.held is not None else None
            what = f"{self.out} was moved or replaced while it was trained in, so training ended at step "
            named: dict[str, Any] = {}
            mend = "Move it back, then go on from its last checkpoint."
            if where is not None and checkpoints(where):
                mend, named = "Go on in its new place with {again}", {"again": {"resume": where}}
            raise Failure(f"{what}{self.run.steps_done}.", mend, **named)

    def agreed(self, yes: bool) -> bool:
        """Whether any process says yes: all of them must go the same way."""
        return self.run.world.sum(float(yes))[0] > 0

    def is_due(self, every: int) -> bool:
        """After every so many steps, and after the last; 0: never."""
        return every > 0 and (self.run.steps_done % every == 0 or self.run.steps_done == self.train.steps)

    def tell(self, event: dict[str, Any]) -> None:
        number = self.run.steps_done - 1
        event = {"step": number, "tokens": self.run.steps_done * self.tokens_a_step, **event}
        if self.log is not None:
            self.log.write(event)
            self.report(event)

    def step(self) -> None:
        run = self.run
        began, mode = time.monotonic(), run.mode
        compiling = mode == "compiled" and not run.first_step.done
        if compiling and self.main:
            self.report({"step": run.steps_done - 1, "compiling": True})
        event: dict[str, Any] = run.step(run.steps_done)
        seconds = time.monotonic() - began
        run.steps_done += 1
        run.seconds += seconds
        speed = self.tokens_a_step / seconds
        event["tokens_per_s"] = speed
        event["mfu"] = mfu(speed, run.model.config, run.context, self.peak, run.world.size)
        event["memory"] = peak_memory(run.device)
        event["elapsed_s"] = run.seconds
        self.tell(event)
        if run.mode != mode:
            self.tell({"note": run.mode})
        elif compiling and self.main:
            self.report({"step": run.steps_done - 1, "compiled_s": seconds})

    def save(self) -> None:
        run = self.run
        if self.saved == run.steps_done:
            return
        self.stay()
        run.check_weights()
        if self.log is not None:
            self.log.sync()
        facts = _facts(run, run.steps_done, self.log)
        save_checkpoint(self.out, facts, run.model, run.optimizers, run.task.write, run.world, self.train.keep_last)
        self.saved = run.steps_done

    def evaluate(self) -> None:
        began = time.monotonic()
        losses = self.run.evaluate()
        self.run.seconds += time.monotonic() - began
        if losses:
            self.tell({"val": losses, "elapsed_s": self.run.seconds})

    def sample(self) -> None:
        model, tokenizer = whole_model(self.run.model), self.run.task.tokenizer
        if self.main and self.run.task.sample is not None:
            self.tell({"sample": self.run.task.sample(model)})
        elif self.main:
            prompt = tokenizer.encode(self.train.sample_prompt) or [tokenizer.eot_id]
            ids = prompt[-model.config.n_positions :]
            sampling = Sampling(max_tokens=SAMPLED_TOKENS, seed=self.train.seed)
            [[completion]] = generate(model.eval(), tokenizer, [ids], sampling, on_slide=lambda: None)
            self.tell({"sample": self.train.sample_prompt + completion.text})

    def snapshot(self) -> None:
        """The weights before the first step, after 1, 2, 4, 8 ... steps and after the last."""
        n = self.run.steps_done
        if self.train.snapshots and (n & (n - 1) == 0 or n == self.train.steps):
            self.write(self.out / SNAPSHOTS / f"step-{n:06d}")

    def write(self, directory: Path) -> None:
        model = whole_model(self.run.model)
        if self.main:
            with naming(directory):
                self.run.task.write(model, directory)
        self.run.world.barrier()


def _facts(run: TrainingRun, step: int, log: MetricsLog | None = None) -> Facts:
    return Facts(
        step=step,
        recipe=asdict(run.recipe),
        data=dict(run.task.facts),
        tokenizer=run.task.tokenizer.hash,
        world_size=run.world.size,
        environment=describe(run.device),
        carried=run.carried(),
        settings=run.task.settings,
        log=None if log is None else log.seal(),
    )


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
