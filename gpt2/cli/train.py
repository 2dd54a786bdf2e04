"""`gpt2 train`: a recipe in, a trained checkpoint out."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from gpt2.cli.common import print_json
from gpt2.errors import UsageError
from gpt2.training.recipe import Recipe
from gpt2.training.recipe_file import load_recipe

USAGE = """usage: gpt2 train RECIPE.toml [--out DIR] [--json] [--SECTION.SETTING VALUE ...]

Trains a model from a recipe and writes a checkpoint directory, for --model.

example:
  gpt2 prepare stories.txt --out data/stories --vocab-size 4096
  gpt2 train recipes/storyteller.toml --data.train data/stories \\
    --data.repeat 1 --data.val data/stories --train.steps 200

All settings, with a recipe's values: gpt2 train RECIPE.toml --help
"""


def parse(argv: list[str]) -> "Command":
    """Read the recipe first, so that its values are the defaults of the options that follow it."""
    if not argv or argv[0].startswith("-"):
        if argv and argv[0] not in ("-h", "--help"):
            raise UsageError("name the recipe first: gpt2 train RECIPE.toml [options].")
        print(USAGE, end="")
        raise SystemExit(0 if argv else 2)
    default = Command(recipe=load_recipe(argv[0]), out=str(Path("runs") / Path(argv[0]).stem))
    return tyro.cli(Command, args=argv[1:], default=default, prog=f"gpt2 train {argv[0]}")


@dataclass
class Command:
    """Train a model from a recipe; every setting of it can be overridden here."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = field(default_factory=Recipe)
    out: str = "runs/run"
    """Directory of the run: model/ (the checkpoint), recipe.json, metrics.jsonl."""
    overwrite: bool = False
    """Replace a run that is already there."""
    json: bool = False
    """Print one JSON line a logged step instead of the progress bar."""

    def run(self) -> None:
        """Check everything, train, and say how to use the result."""
        out = Path(self.out)
        recipe = self.recipe.check()
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file: choose another directory with --out.")
        if (out / "metrics.jsonl").exists() and not self.overwrite:
            raise UsageError(f"{out} already holds a run: choose another --out, or add --overwrite.")
        from gpt2.checkpoint import check_target
        from gpt2.training.loop import TrainingRun

        check_target(out / "model", overwrite=self.overwrite)

        training = TrainingRun(recipe)
        report = JsonReport(recipe) if self.json else ProgressReport(recipe, training)
        with report:
            directory = training.run(out, report)
        if not self.json:
            print(f'\nsaved {directory}\ntry: gpt2 generate "Once upon a time" --model {directory}')


class JsonReport:
    """One JSON line a logged step."""

    def __init__(self, recipe: Recipe) -> None:
        self.every = recipe.train.log_every

    def __enter__(self) -> "JsonReport":
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __call__(self, event: dict[str, Any]) -> None:
        if "val" in event or event["step"] % self.every == 0:
            print_json(event)
            sys.stdout.flush()


class ProgressReport:
    """A progress bar with the time left, and a line a logged step."""

    def __init__(self, recipe: Recipe, training: Any) -> None:
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
        self.progress = Progress(*columns, console=self.console, transient=True)
        self.task = self.progress.add_task("train", total=recipe.train.steps)
        config, dtype = training.model.config, str(training.dtype).removeprefix("torch.")
        self.console.print(
            f"{config.n_params / 1e6:.1f}M parameters, {recipe.train.batch_size * training.context:,} tokens a step, "
            f"{dtype} on {training.device.type}, {training.mode}; "
            f"one pass over the mix is {training.task.batches.steps_per_pass:,.0f} steps"
        )

    def __enter__(self) -> "ProgressReport":
        self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        self.progress.update(self.task, completed=event["step"] + 1)
        if event["step"] % self.recipe.train.log_every == 0 or "val" in event:
            self.console.print(
                f"step {event['step']:>6,}  loss {event['loss']:.4f}  grad norm {event['grad_norm']:.3f}  "
                f"lr {event['lr']:.2e}  {event['tokens_per_s']:,.0f} tokens/s"
            )
        for path, loss in event.get("val", {}).items():
            self.console.print(f"             validation loss {loss:.4f} on {path}")
