"""A run while it goes: step after step, what is logged, saved, evaluated and sampled.

In: a `TrainingRun` that stands at its first step, or at that of a checkpoint. Out: its run directory (directory.py) and
an `Outcome`. A step's order: train, log, save, then evaluate, so that nothing that evaluation does can cost what was
learned. runner.py begins it and says how it ended. Read next: state.py, metrics.py.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpt2 import Sampling, generate
from gpt2.base.disk import naming
from gpt2.base.errors import Failure
from gpt2.training.loop import TrainingRun
from gpt2.training.machine.distributed import whole_model
from gpt2.training.run.directory import SNAPSHOTS, Held, best, checkpoint_path, checkpoints
from gpt2.training.run.environment import describe
from gpt2.training.run.metrics import MetricsLog, mfu, peak_flops, peak_memory
from gpt2.training.run.resume import Facts
from gpt2.training.run.state import save_checkpoint

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


class Session:
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
        facts = facts_of(run, run.steps_done, self.log)
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


def facts_of(run: TrainingRun, step: int, log: MetricsLog | None = None) -> Facts:
    """What a checkpoint of the run at this step says beside its tensors, with the seal of `log`."""
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
