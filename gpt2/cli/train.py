"""`gpt2 train`: a recipe in, a trained checkpoint out; or a stopped run, to go on."""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from gpt2.base.costs import n_params
from gpt2.base.counted import counted, millions
from gpt2.base.errors import UsageError
from gpt2.cli.common import Device, Flag, print_json
from gpt2.cli.console import of_steps
from gpt2.cli.terminal import outlasting
from gpt2.cli.train_inputs import refuse_epochs, refuse_no_recipe, refuse_texts
from gpt2.training.recipe import Recipe
from gpt2.training.recipe_file import load_recipe
from gpt2.training.run.going_on import first_recipe, resumed_recipe, run_of

if TYPE_CHECKING:
    from gpt2.training.loop import TrainingRun
    from gpt2.training.run.runner import Outcome

USAGE = """usage: gpt2 train RECIPE.toml [--out RUN] [options] [--SECTION.SETTING VALUE]
       gpt2 train --resume RUN [options]

Trains a model from a recipe and writes a run directory; RUN/model is what
--model takes. A recipe is a TOML file, yours or one from recipes/ in the
repository. With several processes:
  torchrun --nproc-per-node 2 -m gpt2 train RECIPE.toml

example, in a clone of the repository:
  gpt2 prepare stories.txt --out data/stories --vocab-size 4096
  gpt2 train recipes/storyteller.toml --data.train data/stories \\
    --data.repeat 1 --data.val data/stories --train.steps 200

All options, with a recipe's values: gpt2 train RECIPE.toml --help
"""


def parse(argv: list[str]) -> "Command":
    """Read the recipe, or the resumed run's, first: its values are the defaults of the options that follow it."""
    named = bool(argv) and not argv[0].startswith("-")
    run = next((word for word, before in zip(argv[1:], argv) if before == "--resume"), None)
    run = next((word.partition("=")[2] for word in argv if word.startswith("--resume=")), run)
    if run is None and not named:
        if argv and argv[0] not in ("-h", "--help"):
            raise UsageError("name the recipe first, gpt2 train RECIPE.toml [options], or a run with --resume RUN.")
        print(USAGE, end="")
        raise SystemExit(0 if argv else 2)
    from gpt2.cli.main import parsed

    if run is not None:
        recipe = first_recipe(Path(run)) if "--overwrite" in argv else resumed_recipe(Path(run))
    else:
        refuse_no_recipe(argv[0])
        recipe = load_recipe(argv[0])
    out = str(run_of(Path(run))[0]) if run is not None else str(Path("runs") / Path(argv[0]).stem)
    prog = f"gpt2 train {argv[0]}" if named else "gpt2 train"

    def made(options: list[str]) -> Command:
        return parsed(Command, options, prog, default=Command(recipe=recipe, out=out))

    options = argv[1:] if named else argv
    refuse_epochs(options, lambda others: made(others).recipe)
    return made(options)


@dataclass
class Command:
    """Train a model from a recipe; every setting of it can be overridden here."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = field(default_factory=Recipe)
    out: Annotated[str, tyro.conf.arg(metavar="RUN")] = "runs/run"
    """Directory of the run: model/ (the result), checkpoints/, recipe.json, metrics.jsonl."""
    overwrite: Flag = False
    """Replace a run that is already there."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """Go on with the run in this directory, from its last checkpoint, or with RUN/checkpoints/step-000100 from
    that one; with --overwrite a run without a good checkpoint starts again."""
    override: Flag = False
    """Resume although settings of the recipe were changed."""
    max_time: Annotated[str | None, tyro.conf.arg(metavar="TIME", help_behavior_hint="")] = None
    """Save and end after so much time: 90s, 15m, 2h (default: when all steps are done)."""
    device: Device = "auto"
    """Where to train: auto (cuda where there is one, else cpu), cpu, cuda, cuda:N, or mps (Apple's GPU, untested)."""
    SPELLED: ClassVar[dict[str, str]] = {"model": "--train.init"}

    json: Flag = False
    """Print one JSON line per logged step instead of the progress bar."""

    def run(self) -> None:
        """Check everything, train, and say how to use the result or to go on."""
        out = run_of(Path(self.resume))[0] if self.resume is not None else Path(self.out)
        refuse_texts(self.recipe.data.train, "--data.train")
        refuse_texts(self.recipe.data.val, "--data.val")
        recipe = self.recipe.check()
        seconds = None if self.max_time is None else parse_duration(self.max_time)
        if self.resume is not None and Path(self.out) != out:
            raise UsageError(f"--resume {out} goes on in its own directory: leave out --out {self.out}.")
        if self.resume is None and self.override:
            raise UsageError("--override belongs to --resume RUN: a new run has nothing to override.")
        from gpt2.training.machine.distributed import join_world, leave_world
        from gpt2.training.run.directory import check_resumed, check_run

        if self.resume is None or self.overwrite:
            check_run(out, self.overwrite, "go on with it ({resume}), choose another {out}, or add {overwrite}.")
        else:
            check_resumed(out)
        world = join_world(self.device)
        try:
            self._train(recipe, out, seconds, world)
        finally:
            leave_world()

    @outlasting()
    def _train(self, recipe: Recipe, out: Path, seconds: float | None, world: Any) -> None:
        from gpt2.training.loop import TrainingRun
        from gpt2.training.run.interrupts import StopSignals
        from gpt2.training.run.runner import resume, train

        training = TrainingRun(recipe, world=world)
        going_on = self.resume is not None and not self.overwrite
        notes = resume(training, Path(str(self.resume)), self.override) if going_on else []
        report = Quiet() if not world.is_main else JsonReport(recipe) if self.json else ProgressReport(recipe, training)
        report.notes(notes)
        unseen = world.is_main and (self.json or not sys.stdout.isatty())
        with report, StopSignals(report.say) as signals, of_steps(recipe.train.steps, unseen) as tell:

            def told(event: dict[str, Any]) -> None:
                tell(event["step"] + 1)
                report(event)

            outcome = train(training, out, told, stop=lambda: signals.requested, max_seconds=seconds)
        report.finish(outcome, out)
        if signals.requested:
            raise SystemExit(signals.code)


def parse_duration(text: str) -> float:
    """Seconds of 90, 90s, 15m, 2h or 1.5h. UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or float(match[1]) == 0:
        raise UsageError(f"--max-time is {text!r}: write a time, such as 90s, 15m or 2h.")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


class Quiet:
    """Says nothing: the processes beside the main one."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __call__(self, event: dict[str, Any]) -> None:
        """An event of the run."""

    def notes(self, sentences: list[str]) -> None:
        """What differs from the run that is resumed."""

    def say(self, sentence: str) -> None:
        """A sentence in between."""

    def finish(self, outcome: "Outcome", out: Path) -> None:
        """The end of the run."""


def of_compiling(event: dict[str, Any]) -> str:
    """What to say of torch.compile at an event of a run; empty where it is about something else."""
    if "compiling" in event:
        return "torch.compile compiles the model, which can take minutes; --train.no-compile trains without it"
    return f"compiled: the first step took {event['compiled_s']:.0f} s" if "compiled_s" in event else ""


class JsonReport(Quiet):
    """One JSON line per logged step, evaluation or sample, and one at the end."""

    def __init__(self, recipe: Recipe) -> None:
        self.every = recipe.train.log_every

    def __call__(self, event: dict[str, Any]) -> None:
        if sentence := of_compiling(event):
            self.say(sentence)
        elif "loss" not in event or event["step"] % self.every == 0:
            print_json(event)
            sys.stdout.flush()

    def notes(self, sentences: list[str]) -> None:
        if sentences:
            print_json({"notes": sentences})

    def say(self, sentence: str) -> None:
        print(f"gpt2: {sentence}", file=sys.stderr)

    def finish(self, outcome: "Outcome", out: Path) -> None:
        best = None if outcome.best is None else str(outcome.best / "model")
        print_json({"steps": outcome.steps, "done": outcome.done, "model": str(outcome.model), "best": best})


class ProgressReport(Quiet):
    """A progress bar with the time left, and a line per logged step."""

    def __init__(self, recipe: Recipe, training: "TrainingRun") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from gpt2.cli.common import console

        self.recipe, self.console = recipe, console()
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self.progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        steps, self.resumed_at = recipe.train.steps, training.steps_done
        self.task = self.progress.add_task("train", total=steps, completed=training.steps_done)
        config, dtype, world = training.model.config, str(training.dtype).removeprefix("torch."), training.world
        where = training.device.type if world.size == 1 else f"{world.size} x {training.device.type}"
        per_pass = getattr(training.task.batches, "steps_per_pass", None)
        self.print(
            f"{millions(n_params(config))} parameters, "
            f"{recipe.train.batch_size * training.context:,} tokens per step, "
            f"{dtype} on {where}, {training.mode}"
            + ("" if per_pass is None else f"; one pass over the data is {counted(round(per_pass), 'step')}")
        )
        if self.resumed_at:
            self.print(f"resumed after {self.resumed_at:,} of {counted(steps, 'step')}")

    def __enter__(self) -> "ProgressReport":
        self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        step = event["step"] + 1
        self.progress.update(self.task, completed=step)
        if "loss" in event and (event["step"] % self.recipe.train.log_every == 0 or step == self.recipe.train.steps):
            skipped = f"  {event['skipped']} skipped" if event["skipped"] else ""
            self.print(
                f"step {event['step']:>6,}  loss {event['loss']:.4f}  grad norm {event['grad_norm']:.3f}  "
                f"lr {event['lr']:.2e}  {event['tokens_per_s']:,.0f} tokens/s{skipped}"
            )
        for path, loss in event.get("val", {}).items():
            self.print(f"after {counted(step, 'step')}  validation loss {loss:.4f} on {path}")
        if sentence := of_compiling(event):
            self.print(sentence)
        if "note" in event:
            self.print(f"note: {event['note']}")
        if "sample" in event:
            self.print(f"after {counted(step, 'step')}  " + " ".join(event["sample"].split()))

    def print(self, text: str) -> None:
        """A line; what a model says must not steer the terminal."""
        from rich.text import Text

        self.console.print(Text("".join(c if c.isprintable() else "\ufffd" for c in text)))

    def notes(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self.print(f"note: {sentence}")

    def say(self, sentence: str) -> None:
        self.print(sentence)

    def finish(self, outcome: "Outcome", out: Path) -> None:
        if not outcome.done:
            self.print(
                f"stopped after {outcome.steps:,} of {counted(self.recipe.train.steps, 'step')}, all saved in {out}"
            )
            self.print(f"go on: gpt2 train --resume {out}")
            return
        if outcome.steps == self.resumed_at:
            self.print(
                f"all {outcome.steps:,} steps are done already; more: --override --train.steps {2 * outcome.steps}"
            )
        if outcome.best is not None:
            self.print(f"the validation loss was best in {outcome.best / 'model'}")
        self.print(f"saved {outcome.model}")
        self.print(f'try: gpt2 generate "Once upon a time" --model {outcome.model}')
