"""What a user says of a fine-tune, and what the data and the model decide where that is left open.

In: `Settings`. Out: the `Recipe` that the usual loop trains. Read next: finetune.py.
"""

import dataclasses
import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from gpt2.base.errors import Failure, UsageError
from gpt2.base.foreign import parse_json
from gpt2.base.sealed import read_text
from gpt2.checkpoint.foreign import foreign_file
from gpt2.checkpoint.layout import BUNDLED
from gpt2.config import GPT2Config
from gpt2.data.examples import Examples
from gpt2.training.finetune.optim import TuneOptim
from gpt2.training.recipe import DataRecipe, ModelRecipe, Recipe, TrainRecipe
from gpt2.training.recipe_file import build
from gpt2.training.run.directory import FINETUNE, checkpoints
from gpt2.training.run.going_on import facts_of, is_finetune, last_facts, run_of

T = TypeVar("T")

BATCH_TOKENS = 4096  # about so many in a step, where the text has them
PASSES, FEWEST_STEPS = 3.0, 60  # of a short text, which has fewer steps then, more passes are made
EVALUATIONS = 8  # in the whole run
BY_ITSELF = TuneOptim()
FULL_RATE, LORA_RATE = 0.14, 1.2  # peak learning rate times the width; half of it for a short text


@dataclass(frozen=True)
class Settings:
    """What a user says of a fine-tune; None is chosen by the data or the model.

    files         text, or rows with prompt and completion, messages, or instruction and output, or directories of these
    model         as `gpt2.load` takes it; an adapter with `lora` is trained on, without `lora` merged into its base
    tokenizer     as `gpt2.load` takes it, and so is `activation`
    val           a file to validate on (None: a tenth of `files` is held out)
    lora          the rank of the adapter; 0 trains all weights
    lora_alpha    None: twice the rank
    lora_dropout  rate of dropout before the adapter (None: 0, or that of the adapter to go on with)
    lora_targets  the projections to adapt, as `target_modules` of peft names them (none: all four of a block)
    merge         also write OUT/merged, base and adapter as one checkpoint
    dropout       rate of the model's own four dropouts
    lr            short for `optim.lr`
    eval_every    steps between two validations (None: an eighth of all)
    patience      validations in a row without improvement that end the run; 0 never ends it early
    sample_every  steps between two samples; 0 takes none
    skip_long     leave out rows whose answer would begin past the context, which are refused otherwise

    allow_special and split_inline are those of `prepare` (gpt2/data/prepare.py).
    """

    files: tuple[str, ...]
    model: str = BUNDLED
    tokenizer: str | None = None
    activation: str | None = None
    val: str | None = None
    field: str = "text"
    lora: int = 0
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    lora_targets: tuple[str, ...] = ()
    merge: bool = False
    dropout: float = 0.0
    epochs: float | None = None
    lr: float | None = None
    optim: TuneOptim = BY_ITSELF
    batch_size: int | None = None
    micro_batch_size: int | None = None
    context: int | None = None
    eval_every: int | None = None
    patience: int = 2
    sample_every: int = 0
    seed: int = 0
    allow_special: bool = False
    split_inline: bool = False
    skip_long: bool = False

    def check(self) -> "Settings":
        """Raise UsageError, naming the argument, for what makes no sense whatever the data and the model; else self."""
        if not self.files:
            raise UsageError("no files: name a text (.txt, .jsonl, ...) or a .jsonl file with prompts and completions.")
        if self.val is not None and re.fullmatch(r"[\d.]+%?", self.val) and not Path(self.val).exists():
            mend = "it is the name of a file; a tenth of the text is held out without it, so leave it out."
            raise UsageError(argument="val", value=self.val, mend=mend)
        if self.epochs is not None and not 0 < self.epochs < 1e6:
            raise UsageError(argument="epochs", value=self.epochs, mend="it must be above 0, such as 3.")
        for name in ("batch_size", "eval_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(argument=name, value=value, mend="it must be at least 1.")
        for name in ("patience", "sample_every"):
            if getattr(self, name) < 0:
                mend = "it must be at least 0, which turns it off."
                raise UsageError(argument=name, value=getattr(self, name), mend=mend)
        if not 0 <= self.dropout < 1:
            raise UsageError(argument="dropout", value=self.dropout, mend="it must be at least 0 and below 1.")
        if None not in (self.lr, self.optim.lr) and self.lr != self.optim.lr:
            what = f"the rate is given twice, as {self.lr} and as {self.optim.lr}"
            twice: dict[str, Any] = {"lr": None, "optim.lr": None}
            raise UsageError(what, "leave out one of {lr} and {optim.lr}.", **twice)
        if self.lora < 0:
            raise UsageError(argument="lora", value=self.lora, mend="choose a rank of 1 or more, such as 16.")
        given = [name for name in ("lora_alpha", "lora_dropout", "lora_targets") if getattr(self, name)]
        if given and not self.lora:
            mend = "it belongs to an adapter, so give its rank too, such as {lora}."
            raise UsageError(argument=given[0], value=getattr(self, given[0]), mend=mend, lora=16)
        if self.merge and not self.lora:
            what = "a full fine-tune is one plain checkpoint already"
            raise UsageError(what, "leave out {merge}, or give the rank of an adapter, {lora}.", merge=None, lora=16)
        if self.lora and (self.tokenizer or self.activation or foreign_file(Path(self.model).expanduser())):
            raise UsageError(
                f"an adapter names its base, and {self.model} is none that others find as it is: write it as a "
                f"checkpoint first, gpt2 export {self.model} DIR, then use DIR."
            )
        return self


def recipe_of(settings: Settings, config: GPT2Config, train: Examples, base: str) -> Recipe:
    """The settings, and what the data and the model decide where these leave it open. Raises as `Recipe.check`."""
    rows = len(train)
    mean = sum(len(example.ids) for example in train.examples) / rows
    batch = chosen(settings.batch_size, min(max(1, round(BATCH_TOKENS / mean)), max(1, rows // 8), 32))
    enough = FEWEST_STEPS * batch / rows  # passes
    epochs = chosen(settings.epochs, max(PASSES, enough))
    steps = max(1, math.ceil(epochs * rows / batch))
    # Wider models and short texts want smaller rates; an adapter, which starts at zero, larger ones (docs/finetune.md).
    usual = (LORA_RATE if settings.lora else FULL_RATE) / config.n_embd / (2 if enough > PASSES else 1)
    return Recipe(
        model=ModelRecipe(
            config.n_layer, config.n_head, config.n_embd, n_positions=config.n_positions, dropout=settings.dropout
        ),
        data=DataRecipe(train=settings.files, val=() if settings.val is None else (settings.val,)),
        optim=settings.optim.completed(chosen(settings.lr, usual), min(20, steps // 10)),
        train=TrainRecipe(
            steps=steps, batch_size=batch, micro_batch_size=settings.micro_batch_size, context=train.longest,
            init=base, seed=settings.seed, compile=False, keep_last=1, sample_every=settings.sample_every,
            eval_every=chosen(settings.eval_every, max(1, round(steps / EVALUATIONS))),
        ),
    ).check()  # fmt: skip


def read_settings(named: Path, lost: bool = False) -> Settings:
    """The settings of the fine-tune in a run directory, with the rate at which it began, whatever the default is now.

    named   the run, or one of its checkpoints. What a checkpoint holds counts, and finetune.json where none holds it
    lost    whether no checkpoint is good, so that finetune.json alone counts

    Raises UsageError when there is none, or it has come to its end; Failure, with what to do, for a damaged file.
    """
    run, chosen = run_of(named)
    path = run / FINETUNE
    if not is_finetune(run):
        raise UsageError(f"{run} holds no fine-tune: name a directory that gpt2 finetune wrote.")
    saved = checkpoints(run)
    if (run / "model").is_dir() and not saved:
        mend = "its result is {model}; gpt2 finetune FILE {model} {out} trains that further."
        again = run.with_name(f"{run.name}-more")
        raise UsageError(f"the fine-tune in {run} is finished", mend, model=run / "model", out=again)
    facts = facts_of(run, chosen or saved[max(saved)]) if saved and not lost else None
    try:
        fields = facts.settings if facts is not None and facts.settings is not None else _kept_settings(run)
        settings = build(Settings, fields, str(path))  # what another version did not write is as it was there
    except (OSError, TypeError, ValueError):
        what = f"{path} is damaged, and no checkpoint holds what stood in it"
        raise Failure(what, "start again with gpt2 finetune FILE {out} {overwrite}", out=run, overwrite=True) from None
    if facts is None:
        return settings
    return replace(settings, lr=None, optim=replace(settings.optim, lr=facts.recipe["optim"]["lr"]))


def _kept_settings(run: Path) -> Any:
    """What finetune.json holds, or else a checkpoint whose tensors are damaged. OSError or ValueError for neither."""
    try:
        return parse_json(read_text(run / FINETUNE), own=True)
    except (OSError, ValueError):
        facts = last_facts(run)
        if facts is None or facts.settings is None:
            raise
        return facts.settings


def changed(settings: Settings) -> list[str]:
    """The names of the settings that are not as they are by default, those of the optimiser as `optim.lr`."""
    names: list[str] = []
    for f in dataclasses.fields(Settings):
        value = getattr(settings, f.name)
        if isinstance(value, TuneOptim):
            plain = asdict(BY_ITSELF)
            names += [f"optim.{name}" for name, given in asdict(value).items() if given != plain[name]]
        elif f.default is not dataclasses.MISSING and value != f.default:
            names.append(f.name)
    return names


def chosen(given: T | None, otherwise: T) -> T:
    """What was given, else the other."""
    return otherwise if given is None else given
