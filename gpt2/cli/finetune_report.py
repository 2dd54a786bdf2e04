"""What `gpt2 finetune` says: how it begins, what the validations give, how it ends; and its JSON.

In: a `FineTune`, the events of its run, its `Result`. Out: lines on standard output.
"""

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.costs import n_params
from gpt2.base.counted import counted, millions
from gpt2.cli.common import console

if TYPE_CHECKING:
    from gpt2.training.finetune.finetune import FineTune, Result


def as_json(tuning: "FineTune", result: "Result") -> dict[str, Any]:
    """The result as the JSON output has it."""
    settings = tuning.settings
    return {
        "base": settings.model,
        "files": list(settings.files),
        "method": "lora" if settings.lora else "full",
        "trainable": tuning.trainable,
        "train_tokens": tuning.train.tokens,
        "val_tokens": tuning.val.tokens,
        "skipped": tuning.skipped,
        "lr": tuning.recipe.optim.lr,
        "batch_size": tuning.recipe.train.batch_size,
        **dataclasses.asdict(result),
        "model": str(result.model),
        "merged": None if result.merged is None else str(result.merged),
    }


class Report:
    """What a terminal sees: how it begins, a bar with the time left, a line per evaluation, how it ends."""

    def __init__(self, tuning: "FineTune", quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(quiet=True) if quiet else console()
        columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("left"))
        self.progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.steps, self.tuning = tuning.recipe.train.steps, tuning
        self.task = self.progress.add_task("train", total=self.steps)
        self.loss: float | None = None  # of no step yet: a resumed run validates before its first
        self._begin(tuning)

    def _begin(self, tuning: "FineTune") -> None:
        settings, train, total = tuning.settings, tuning.train, n_params(tuning.model.config)
        how = f"adapter of rank {settings.lora}, {tuning.trainable:,} parameters" if settings.lora else "all weights"
        of = settings.model
        if tuning.begun is not None:
            of, how = tuning.begun.adapter.base, f"going on with the {how}, in {settings.model}"
        what = f"{train.tokens:,} tokens"
        if tuning.kind != "text":
            what = f"{len(train):,} {tuning.kind}, {what}"
        if tuning.kind == "conversations":
            what += " of answers"
        self.print(f"{of} ({millions(total)} parameters), {how}")
        if tuning.merged_rank is not None:
            self.print(
                f"note: {of} is an adapter: it is merged into its base, and all weights are trained; --lora "
                f"{tuning.merged_rank} goes on with the adapter itself"
            )
        self.print(f"{what} to learn from, {tuning.val.tokens:,} to validate on; at most {counted(self.steps, 'step')}")
        if tuning.cut:
            context = tuning.context
            self.print(f"note: {tuning.cut:,} {tuning.kind} run past the context of {context} tokens and are cut there")
        if tuning.skipped:
            rows = counted(tuning.skipped, "row")
            self.print(f"note: left out {rows} whose answer would begin past the context of {tuning.context} tokens")

    def __enter__(self) -> "Report":
        self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """An event of the run."""
        step = event["step"] + 1
        self.progress.update(self.task, completed=step)
        self.loss = event.get("loss", self.loss)
        if event.get("interval"):
            self.print(self._few(event["interval"]))
        for loss in event.get("val", {}).values():
            training = "" if self.loss is None else f"  training loss {self.loss:.4f}"
            self.print(f"step {step:>6,}  validation loss {loss:.4f}{training}")
        if "sample" in event:
            self.print(f"step {step:>6,}  " + " ".join(event["sample"].split()))

    def _few(self, interval: float) -> str:
        settings = self.tuning.settings
        decided = "which weights are kept" + (" and when the run ends early" if settings.patience else "")
        mend = "a longer file for --val" if settings.val else "another file, with --val FILE"
        return (
            f"note: {self.tuning.val.tokens:,} tokens are few to validate on: they decide {decided}, but their loss is "
            f"uncertain by {interval:.2f} either way (95%); better is {mend}"
        )

    def print(self, text: str) -> None:
        """A line; what a model says must not steer the terminal."""
        from rich.text import Text

        self.console.print(Text("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)))

    def say(self, sentence: str) -> None:
        """A sentence in between."""
        self.print(sentence)

    def finish(self, result: "Result", out: Path, samples: dict[str, str], command: str) -> None:
        """What has changed, and what to type next."""
        if not result.finished:
            self.print(f"\nstopped after {result.steps:,} of {self.steps:,} steps, all saved in {out}")
            self.print(f"go on: gpt2 finetune --resume {shlex.quote(str(out))}")
            return
        change = result.after / result.before - 1
        end = f"after {result.best_step:,} of {result.steps:,} steps"
        if result.steps < self.steps:
            patience = counted(self.tuning.settings.patience, "validation")
            end += f", ended early: no better for {patience}"
        self.print(
            f"validation loss {result.before:.4f} -> {result.after:.4f} ({change:+.1%}), {end}; {clock(result.seconds)}"
        )
        if change >= 0:
            self.print("note: the fine-tune did not help on what was held out; try a lower --lr, or more text")
        for when in ("before", "after"):
            self.print(f"\n{when}: {samples['prompt']}{samples[when]}")
        self.print(f"\nsaved {result.model}" + (f" and {result.merged}" if result.merged else ""))
        self.print(f"try: {command}")


def next_command(tuning: "FineTune", model: Path, prompt: list[int]) -> str:
    """What to type after a fine-tune: to talk with what has learned conversations, else to continue a prompt."""
    where = f"--model {shlex.quote(str(model))}"
    if tuning.chat is not None:
        return f"gpt2 chat {where}" + (" --allow-special" if tuning.settings.allow_special else "")
    text, special = tuning.samples.hint(prompt)
    return f"gpt2 generate {shlex.quote(text)} {where}" + (" --allow-special" if special else "")


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, such as 3:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
