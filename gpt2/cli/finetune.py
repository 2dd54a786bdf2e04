"""`gpt2 finetune`: a model and a user's text in, the model that writes like it out."""

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from gpt2.base.costs import n_params
from gpt2.base.counted import millions
from gpt2.base.errors import UsageError
from gpt2.cli.common import ActivationName, Device, Flag, TokenizerName, console, print_json

if TYPE_CHECKING:
    from gpt2.training.finetune.finetune import FineTune, Result

CHOSEN = "(default: by the data)"


@dataclass
class Command:
    """Go on training a model on a text of yours, or on prompts with completions.

    A text is any file that `gpt2 prepare` takes. Of rows of {"prompt": ..., "completion": ...} only the completions are
    learned; of {"messages": [{"role": ..., "content": ...}, ...]} only what the assistant says; of {"instruction": ...,
    "input": ..., "output": ...} only the outputs. The latter two are written by the model's chat template, or a plain
    one. A tenth is held out; the weights with the lowest loss on it are kept, and training ends early when it rises.

    examples:
      gpt2 finetune poems.txt --out runs/poems
      gpt2 finetune chats.jsonl --model openai-community/gpt2
    """

    files: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE ...", help_behavior_hint="")
    ] = ()
    """Texts or rows (.txt, .md, .jsonl, .json, .csv, .parquet, also .gz and .zst), or directories of them."""
    model: Annotated[str, tyro.conf.arg(metavar="MODEL")] = "storyteller"
    """Where to start: the bundled model, a directory, a Hugging Face id, or a file of nanoGPT or llm.c."""
    tokenizer: TokenizerName = None
    """Read text with the tokenizer in this directory, prepared data set or model."""
    activation: ActivationName = None
    """Take this activation function, such as gelu_new, where the file does not say which."""
    out: Annotated[
        str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="(default: runs/ and the file's name)")
    ] = None
    """Directory of the run; RUN/model is the result."""
    val: Annotated[str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: a tenth of FILE)")] = None
    """A file to validate on."""
    lora: Annotated[int | None, tyro.conf.arg(metavar="RANK", help_behavior_hint="(default: off, all weights)")] = None
    """Train an adapter of this rank, such as 16, and leave the model as it is."""
    lora_alpha: Annotated[float | None, tyro.conf.arg(metavar="A", help_behavior_hint="(default: twice the rank)")] = (
        None
    )
    """The adapter is scaled by A over its rank."""
    lora_dropout: Annotated[float, tyro.conf.arg(metavar="P", help_behavior_hint="(default: 0)")] = 0.0
    """Rate of dropout before the adapter."""
    merge: Flag = False
    """Also write RUN/merged: base and adapter as one plain checkpoint."""
    epochs: Annotated[
        float | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 3, more for a short text)")
    ] = None
    """The most passes over the text."""
    lr: Annotated[float | None, tyro.conf.arg(metavar="RATE", help_behavior_hint="(default: by model and method)")] = (
        None
    )
    """Peak learning rate."""
    batch_size: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=CHOSEN)] = None
    """Rows per step."""
    micro_batch_size: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Rows computed at once; lower it when memory runs out."""
    context: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the model's limit)")] = None
    """The most tokens per row."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Seed of the order, of what is held out, and of the adapter's start."""
    field: Annotated[str, tyro.conf.arg(metavar="NAME")] = "text"
    """The field of a row, or the column, that holds a text."""
    allow_special: Flag = False
    """Read a special token that a text spells, such as <|endoftext|>, as the token; else it is ordinary text."""
    split_inline: Flag = False
    """End a text at every <|endoftext|>, also within a line."""
    prompt: Annotated[
        str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: from what is held out)")
    ] = None
    """What the samples before and after continue."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """Go on with a fine-tune that was stopped; its settings are kept."""
    overwrite: Flag = False
    """Replace a run that is already there."""
    device: Device = "auto"
    """Where to train: auto (cuda where there is one, else cpu), cpu, cuda, cuda:N, or mps (Apple's GPU, untested)."""
    json: Flag = False
    """Print one JSON document at the end."""

    SPELLED: ClassVar[dict[str, str]] = {  # settings of the training loop that are options here (gpt2/cli/errors.py)
        "optim.lr": "--lr",
        "train.batch_size": "--batch-size",
        "train.micro_batch_size": "--micro-batch-size",
        "train.context": "--context",
    }

    def run(self) -> None:
        """Check, train, and show what has changed."""
        out = self._out()
        if self.lora == 0:
            raise UsageError(
                "--lora is 0: choose a rank of 1 or more, such as 16, or leave it out to train all weights."
            )
        from gpt2.base.device import pick_device
        from gpt2.checkpoint.files import load, save
        from gpt2.training.finetune.finetune import FineTune, Settings, read_settings
        from gpt2.training.run.directory import MERGED, check_resumed, check_run
        from gpt2.training.run.interrupts import StopSignals

        pick_device(self.device)
        if self.resume is None:
            check_run(out, self.overwrite)
        else:
            check_resumed(out)
        names = [field.name for field in dataclasses.fields(Settings)]
        settings = Settings(**{name: getattr(self, name) for name in names} | {"lora": self.lora or 0})
        tuning = FineTune(read_settings(out) if self.resume is not None else settings)
        if self.merge and not tuning.settings.lora:
            raise UsageError("--merge belongs to --lora RANK: a full fine-tune is one plain checkpoint already.")
        prompt = tuning.prompt(self.prompt)
        show = Report(tuning, quiet=self.json)
        samples = {"prompt": tuning.tokenizer.decode(prompt), "before": tuning.sample(tuning.model, prompt)}
        with show, StopSignals(show.say) as signals:
            stop, go_on = (lambda: signals.requested), self.resume is not None
            result = tuning.run(out, show, stop, go_on, self.device)
        kept = load(str(result.model)).model
        samples["after"] = tuning.sample(kept, prompt)
        merged = None
        if self.merge and result.finished:
            merged = str(save(kept, tuning.tokenizer, out / MERGED, overwrite=True))
        if self.json:
            print_json(as_json(tuning, result) | {"merged": merged, "samples": samples})
        else:
            show.finish(result, out, samples, merged, tuning.hint(prompt))
        if not result.finished:
            raise SystemExit(130)

    def _out(self) -> Path:
        """The run directory. UsageError when it may not be used so."""
        if self.resume is not None:
            if self.files or self.out is not None:
                raise UsageError(f"--resume {self.resume} goes on as it began: leave out the files and --out.")
            return Path(self.resume)
        if not self.files:
            raise UsageError("name the text to fine-tune on: gpt2 finetune FILE, for example poems.txt.")
        return Path(self.out or Path("runs") / Path(self.files[0]).name.partition(".")[0])


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
        "lr": tuning.recipe.optim.lr,
        "batch_size": tuning.recipe.train.batch_size,
        **dataclasses.asdict(result),
        "model": str(result.model),
    }


class Report:
    """What a terminal sees: how it begins, a bar with the time left, a line per evaluation, how it ends."""

    def __init__(self, tuning: "FineTune", quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(quiet=True) if quiet else console()
        columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("left"))
        self.progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.steps = tuning.recipe.train.steps
        self.task = self.progress.add_task("train", total=self.steps)
        self.loss: float | None = None  # of no step yet: a resumed run validates before its first
        self._begin(tuning)

    def _begin(self, tuning: "FineTune") -> None:
        settings, train, total = tuning.settings, tuning.train, n_params(tuning.model.config)
        how = f"adapter of rank {settings.lora}, {tuning.trainable:,} parameters" if settings.lora else "all weights"
        what = f"{train.tokens:,} tokens"
        if tuning.kind != "text":
            what = f"{len(train):,} {tuning.kind}, {what}"
        if tuning.kind == "conversations":
            what += " of answers"
        self.print(f"{settings.model} ({millions(total)} parameters), {how}")
        self.print(f"{what} to learn from, {tuning.val.tokens:,} to validate on; at most {self.steps:,} steps")
        if tuning.cut:
            context = tuning.context
            self.print(f"note: {tuning.cut:,} {tuning.kind} run past the context of {context} tokens and are cut there")

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
        for loss in event.get("val", {}).values():
            training = "" if self.loss is None else f"  training loss {self.loss:.4f}"
            self.print(f"step {step:>6,}  validation loss {loss:.4f}{training}")

    def print(self, text: str) -> None:
        """A line; what a model says must not steer the terminal."""
        from rich.text import Text

        self.console.print(Text("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)))

    def say(self, sentence: str) -> None:
        """A sentence in between."""
        self.print(sentence)

    def finish(
        self, result: "Result", out: Path, samples: dict[str, str], merged: str | None, hint: tuple[str, bool]
    ) -> None:
        """What has changed, and what to type next."""
        if not result.finished:
            self.print(f"\nstopped after {result.steps:,} of {self.steps:,} steps, all saved in {out}")
            self.print(f"go on: gpt2 finetune --resume {shlex.quote(str(out))}")
            return
        change = result.after / result.before - 1
        end = f"after {result.best_step:,} of {result.steps:,} steps"
        if result.steps < self.steps:
            end += ", ended early: it did not fall any more"
        self.print(
            f"validation loss {result.before:.4f} -> {result.after:.4f} ({change:+.1%}), {end}; {clock(result.seconds)}"
        )
        if change >= 0:
            self.print("note: the fine-tune did not help on what was held out; try a lower --lr, or more text")
        for when in ("before", "after"):
            self.print(f"\n{when}: {samples['prompt']}{samples[when]}")
        self.print(f"\nsaved {result.model}" + (f" and {merged}" if merged else ""))
        text, special = hint
        more = " --allow-special" if special else ""
        self.print(f"try: gpt2 generate {shlex.quote(text)} --model {shlex.quote(str(result.model))}{more}")


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, such as 3:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
