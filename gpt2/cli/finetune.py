"""`gpt2 finetune`: a model and a user's text in, the model that writes like it out."""

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from gpt2.base.errors import UsageError
from gpt2.cli.common import ActivationName, Device, Flag, TokenizerName, print_json
from gpt2.cli.console import of_steps
from gpt2.cli.terminal import outlasting
from gpt2.training.finetune.optim import TuneOptim
from gpt2.training.run.going_on import check_lost, run_of

if TYPE_CHECKING:
    from gpt2.training.finetune.settings import Settings

CHOSEN = "(default: by the data)"


@dataclass(frozen=True)
class Optim(TuneOptim):
    """The optimiser and its learning rate, as in a recipe of gpt2 train."""

    lr: Annotated[
        float | None,
        tyro.conf.arg(metavar="RATE", aliases=["--lr"], help_behavior_hint="(default: by model and method)"),
    ] = None
    """Peak rate of AdamW."""
    warmup_steps: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: a tenth of the steps, at most 20)")
    ] = None
    """Steps of linear warm-up."""


@dataclass
class Command:
    """Go on training a model on a text of yours, or on prompts with completions.

    A text is any file that `gpt2 prepare` takes. Of rows of {"prompt": ..., "completion": ...} only the completions are
    learned; of {"messages": [{"role": ..., "content": ...}, ...]} only what the assistant says; of {"instruction": ...,
    "input": ..., "output": ...} only the outputs. The latter two are written by the model's chat template, or a plain
    one. A tenth is held out; the weights with the lowest loss on it are kept, and training ends early when it rises.

    examples:
      gpt2 finetune poems.txt --out runs/poems
      gpt2 finetune chats.jsonl --model openai-community/gpt2 --lora 16
      gpt2 finetune more.txt --model runs/chats/model --lora 16
    """

    files: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE ...", help_behavior_hint="")
    ] = ()
    """Texts or rows (.txt, .md, .jsonl, .json, .csv, .tsv, .parquet, also .gz, .zst), or directories of them."""
    model: Annotated[str, tyro.conf.arg(metavar="MODEL")] = "storyteller"
    """Where to start: the bundled model, a directory, a Hugging Face id, or a file of nanoGPT or llm.c. An adapter is
    trained on with --lora, and merged into its base without it."""
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
    lora_dropout: Annotated[float | None, tyro.conf.arg(metavar="P", help_behavior_hint="(default: 0)")] = None
    """Rate of dropout before the adapter."""
    lora_targets: Annotated[
        tuple[str, ...],
        tyro.conf.arg(metavar="NAME ...", help_behavior_hint="(default: c_attn c_proj c_fc)"),
    ] = ()
    """The projections to adapt, named as peft's target_modules names them, such as c_attn or mlp.c_proj."""
    merge: Flag = False
    """Also write RUN/merged: base and adapter as one plain checkpoint."""
    epochs: Annotated[
        float | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 3, more for a short text)")
    ] = None
    """The most passes over the text."""
    optim: Optim = field(default_factory=Optim)
    dropout: Annotated[float, tyro.conf.arg(metavar="P")] = 0.0
    """Rate of the model's own dropouts while it trains."""
    batch_size: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=CHOSEN)] = None
    """Rows per step."""
    micro_batch_size: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Rows computed at once; lower it when memory runs out."""
    context: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the model's limit)")] = None
    """The most tokens per row."""
    eval_every: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: an eighth)")] = None
    """Steps between two validations, each of which saves the weights."""
    patience: Annotated[int, tyro.conf.arg(metavar="N")] = 2
    """Validations in a row without improvement that end the run early; 0 never ends it early."""
    sample_every: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Steps between two samples of the model's text; 0: none between the first and the last."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Seed of the order, of what is held out, of dropout, and of the adapter's start."""
    field: Annotated[str, tyro.conf.arg(metavar="NAME")] = "text"
    """The field of a row, or the column, that holds a text."""
    allow_special: Flag = False
    """Read a special token that a text spells, such as <|endoftext|>, as the token; else it is ordinary text."""
    split_inline: Flag = False
    """End a text at every <|endoftext|>, also within a line."""
    skip_long: Flag = False
    """Leave out rows whose answer would begin past the context, and count them; else such a row is refused."""
    prompt: Annotated[
        str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: from what is held out)")
    ] = None
    """What the samples continue."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """Go on with a fine-tune that was stopped, or from RUN/checkpoints/step-000010; its settings are kept. With
    --overwrite one without a good checkpoint starts again."""
    overwrite: Flag = False
    """Replace a run that is already there."""
    device: Device = "auto"
    """Where to train: auto (cuda where there is one, else cpu), cpu, cuda, cuda:N, or mps (Apple's GPU, untested)."""
    json: Flag = False
    """Print one JSON document at the end."""

    SPELLED: ClassVar[dict[str, str]] = {  # settings of the training loop that are options here (gpt2/cli/errors.py)
        "lr": "--lr",
        "optim.lr": "--lr",
        "train.batch_size": "--batch-size",
        "train.micro_batch_size": "--micro-batch-size",
        "train.context": "--context",
    }

    @outlasting()
    def run(self) -> None:
        """Check, train, and show what has changed."""
        out = self._out()
        if self.lora == 0:
            raise UsageError(
                "--lora is 0: choose a rank of 1 or more, such as 16, or leave it out to train all weights."
            )
        from gpt2.base.device import pick_device
        from gpt2.checkpoint.files import load
        from gpt2.checkpoint.layout import BUNDLED
        from gpt2.cli.finetune_report import Report, as_json, next_command
        from gpt2.training.finetune.finetune import FineTune
        from gpt2.training.run.directory import check_resumed, check_run
        from gpt2.training.run.interrupts import StopSignals

        pick_device(self.device)
        settings = self._settings(out)
        if self.resume is None:
            check_run(out, self.overwrite)
        elif self.overwrite:
            check_lost(out)
            check_run(out, True)
        else:
            check_resumed(out)
        try:
            tuning = FineTune(settings)
        except UsageError as error:
            if self.resume is None or settings.model == BUNDLED or Path(settings.model).expanduser().exists():
                raise
            what = f"{out} began with the model {settings.model}, which is not there now"
            raise UsageError(what, "put it back under that name, then type the same command again.") from error
        prompt = tuning.prompt = tuning.samples.prompt(self.prompt)
        show = Report(tuning, quiet=self.json)
        samples = {"prompt": tuning.tokenizer.decode(prompt), "before": tuning.samples.take(tuning.model, prompt)}
        unseen = self.json or not sys.stdout.isatty()
        with show, StopSignals(show.say) as signals, of_steps(show.steps, unseen) as tell:

            def told(event: dict[str, Any]) -> None:
                tell(event["step"] + 1)
                show(event)

            stop, go_on = (lambda: signals.requested), self.resume is not None and not self.overwrite
            place = Path(self.resume) if self.resume and go_on else out
            result = tuning.run(place, told, stop, go_on, self.device)
        samples["after"] = tuning.samples.take(load(str(result.model)).model, prompt)
        if self.json:
            print_json(as_json(tuning, result) | {"samples": samples})
        else:
            show.finish(result, out, samples, next_command(tuning, result.model, prompt))
        if not result.finished:
            raise SystemExit(signals.code or 130)

    def _out(self) -> Path:
        """The run directory. UsageError when it may not be used so."""
        if self.resume is not None:
            if self.files or self.out is not None:
                raise UsageError(f"--resume {self.resume} goes on as it began: leave out the files and --out.")
            return run_of(Path(self.resume))[0]
        if not self.files:
            raise UsageError("name the text to fine-tune on: gpt2 finetune FILE, for example poems.txt.")
        return Path(self.out or Path("runs") / Path(self.files[0]).name.partition(".")[0])

    def _settings(self, out: Path) -> "Settings":
        """What the options say; for a resumed run what it began with, and --merge."""
        from gpt2.cli.spelling import option
        from gpt2.training.finetune.settings import Settings, changed, read_settings

        names = {f.name for f in dataclasses.fields(Settings)} - {"lr", "lora", "optim"}
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        optim = TuneOptim(**dataclasses.asdict(self.optim))
        settings = Settings(**given, lora=self.lora or 0, optim=optim)
        if self.resume is None:
            return settings
        began = read_settings(Path(self.resume), lost=self.overwrite)
        others = [name for name in changed(settings) if name != "merge"]
        if others:
            named = self.SPELLED.get(others[0], option(others[0]))
            raise UsageError(f"--resume {self.resume} keeps the settings that it began with: leave out {named}.")
        return dataclasses.replace(began, merge=began.merge or self.merge)
