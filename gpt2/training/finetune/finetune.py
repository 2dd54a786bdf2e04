"""Fine-tuning: a model that exists, a user's text or prompts with completions, and a few minutes.

In: `Settings`. Out: the `Task` and the `Recipe` that the usual loop trains (loop.py, runner.py), and `FineTune.run`,
which measures before and after, ends early when the validation loss rises, and keeps the best weights.
"""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from gpt2 import Sampling, generate
from gpt2.base.errors import Failure, UsageError
from gpt2.checkpoint.adapter import fingerprint, write_adapter
from gpt2.checkpoint.files import load, save
from gpt2.checkpoint.foreign import foreign_file
from gpt2.checkpoint.hf_config import read_json
from gpt2.checkpoint.hub import own_directory
from gpt2.checkpoint.layout import BUNDLED, HUB_IDS, adapter_base
from gpt2.checkpoint.target import whole_directory
from gpt2.data.examples import Shuffled
from gpt2.data.files import sources
from gpt2.model import GPT2
from gpt2.text.spelled import Spelled
from gpt2.text.tokenizer import EOT
from gpt2.training.finetune.lora import adapter_of, add_lora
from gpt2.training.finetune.reading import Reader
from gpt2.training.guards import Diverged
from gpt2.training.loop import TrainingRun
from gpt2.training.machine.distributed import World
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.run.directory import (
    FINETUNE,
    best,
    check_resumed,
    check_run,
    checkpoints,
    forget_checkpoints,
)
from gpt2.training.run.interrupts import explain_out_of_memory
from gpt2.training.run.metrics import METRICS, read_metrics
from gpt2.training.run.runner import Report, resume, train
from gpt2.training.task import Task

T = TypeVar("T")

BATCH_TOKENS = 4096  # about so many in a step, where the text has them
FEWEST_STEPS = 60  # of a short text more passes are made
EVALUATIONS = 8  # in the whole run
PATIENCE = 2  # evaluations in a row without improvement that end it
SEARCHED_TOKENS, PROMPT_WORDS, SAMPLED_TOKENS = 200, 6, 60
FULL_RATE, LORA_RATE = 0.25, 1.2  # peak learning rate times the width


@dataclass(frozen=True)
class Settings:
    """What a user says of a fine-tune; None is chosen by the data or the model.

    files       text, or rows with prompt and completion, messages, or instruction and output, or directories of these
    tokenizer   as `gpt2.load` takes it, and so is `activation`
    val         a file to validate on (None: a tenth of `files` is held out)
    lora        the rank of the adapter; 0 trains all weights
    lora_alpha  None: twice the rank

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
    lora_dropout: float = 0.0
    epochs: float | None = None
    lr: float | None = None
    batch_size: int | None = None
    micro_batch_size: int | None = None
    context: int | None = None
    seed: int = 0
    allow_special: bool = False
    split_inline: bool = False


@dataclass(frozen=True)
class Result:
    """What a fine-tune came to. Losses are means over the tokens held out, in nats.

    model          the directory of the result, to load
    steps          of training that were taken
    before, after  the validation loss of the model it started from, and of the best weights since
    best_step      after how many steps these were reached
    finished       False when it was stopped before its end: `model` holds the last weights then, not the best
    seconds        that training took
    """

    model: Path
    steps: int
    best_step: int
    before: float
    after: float
    finished: bool
    seconds: float


class FineTune:
    """One fine-tune: its data, its task, its recipe.

    Raises UsageError for settings that make no sense, ValueError for files that are no text or too short, prompts that
    do not fit, and whatever `gpt2.checkpoint.files.load` raises.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        _check(settings)
        paths, val_paths = (
            [source.path for source in sources(names)[0]]
            for names in (settings.files, () if settings.val is None else (settings.val,))
        )
        checkpoint = load(settings.model, tokenizer=settings.tokenizer, activation=settings.activation)
        self.tokenizer, self.model = checkpoint.tokenizer, checkpoint.model
        if self.tokenizer.eot_id is None:
            what = f"the tokenizer of {settings.model} has no {EOT} to end a text with"
            mend = "train it on with the program that made it, or use another {model}."
            raise Failure(what, mend, model=None)
        if self.model.settings is not None:
            self.model.settings = self.model.settings.ending_at(self.tokenizer.eot_id)
        self.context = _chosen(settings.context, self.model.config.n_positions)
        if not 1 <= self.context <= self.model.config.n_positions:
            mend = f"this model takes 1 to {self.model.config.n_positions}."
            raise UsageError(argument="context", value=self.context, mend=mend)
        reader = Reader(
            self.tokenizer, self.context, settings.field, settings.allow_special, settings.split_inline, settings.seed
        )
        read = reader.read(paths, val_paths)
        self.train, self.val, self.kind, self.chat = read.train, read.val, read.kind, read.chat
        self.cut = read.cut  # examples that ran past the context
        if self.chat is not None and self.model.settings is not None:
            for token in sorted(self.chat.end_ids()):
                self.model.settings = self.model.settings.ending_at(token)
        self.base = _base_name(settings.model)
        self.alpha = _chosen(settings.lora_alpha, 2.0 * settings.lora)
        marks = {"train": self.train.hash, "val": self.val.hash, "base": fingerprint(self.model)}
        _without_dropout(self.model)
        if settings.lora:
            add_lora(self.model, settings.lora, self.alpha, settings.lora_dropout, settings.seed)
        self.recipe = self._recipe()
        self.task = Task(
            model=self.model,
            tokenizer=self.tokenizer,
            batches=Shuffled(self.train, self.recipe.train.batch_size, settings.seed),
            val={settings.val or f"{self.val.tokens:,} held-out tokens": self.val},
            facts={f"{name} of {', '.join(settings.files)}": mark for name, mark in marks.items()},
            write=self._write,
        )

    @property
    def trainable(self) -> int:
        """Parameters that train."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def _recipe(self) -> Recipe:
        """The settings, and what the data and the model decide where these leave it open."""
        settings, config, rows = self.settings, self.model.config, len(self.train)
        longest = self.train.longest
        mean = sum(len(example.ids) for example in self.train.examples) / rows
        batch = _chosen(settings.batch_size, min(max(1, round(BATCH_TOKENS / mean)), max(1, rows // 8), 32))
        epochs = _chosen(settings.epochs, max(3.0, FEWEST_STEPS * batch / rows))
        steps = max(1, math.ceil(epochs * rows / batch))
        # Wider models want smaller rates; an adapter, which starts at zero, larger ones (docs/finetune.md).
        lr = _chosen(settings.lr, (LORA_RATE if settings.lora else FULL_RATE) / config.n_embd)
        return Recipe(
            model=ModelRecipe(config.n_layer, config.n_head, config.n_embd, config.n_positions),
            data=DataRecipe(train=settings.files, val=() if settings.val is None else (settings.val,)),
            optim=OptimRecipe(lr=lr, weight_decay=0.1, schedule="linear", warmup_steps=min(20, steps // 10), floor=0.0),
            train=TrainRecipe(
                steps=steps, batch_size=batch, micro_batch_size=settings.micro_batch_size, context=longest,
                init=self.base, seed=settings.seed, compile=False, eval_every=max(1, round(steps / EVALUATIONS)),
                keep_last=1,
            ),
        ).check()  # fmt: skip

    def prompt(self, text: str | None) -> list[int]:
        """The ids that a sample continues: those of `text`, or of a prompt or some words of what is held out."""
        example = self.val.examples[0]
        if text is None and self.kind != "text":
            return example.ids[: example.first].tolist()
        if text is None:
            held = max(Spelled(self.tokenizer).without(self.tokenizer.decode(example.ids[:SEARCHED_TOKENS])), key=len)
            line = next((line for line in held.split("\n")[1:-1] if line.strip()), held)  # it may begin in a line
            text = " ".join(line.split()[:PROMPT_WORDS])
        return self.tokenizer.encode(text, self.settings.allow_special) or example.ids[:1].tolist()

    def hint(self, prompt: list[int]) -> tuple[str, bool]:
        """What to type for a prompt, and whether it spells special tokens: its longest part without the end of a text.

        A model that has just read that end begins another text, so a prompt that holds it shows nothing of this one.
        """
        parts: list[list[int]] = [[]]
        for token in prompt:
            if token == self.tokenizer.eot_id:
                parts.append([])
            else:
                parts[-1].append(token)
        spelled = Spelled(self.tokenizer)
        text = max(map(self.tokenizer.decode, parts), key=len)
        if self.tokenizer.eot_id is not None:
            end = self.tokenizer.decode([self.tokenizer.eot_id])
            text = max(text.split(end), key=len)
        return text if text.strip() else "Once upon a time", bool(spelled.count(text))

    def sample(self, model: GPT2, prompt: list[int]) -> str:
        """A short continuation; the same noise for every model."""
        sampling = Sampling(max_tokens=SAMPLED_TOKENS, seed=self.settings.seed)
        ids = prompt[-self.model.config.n_positions :]
        [[completion]] = generate(model.eval(), self.tokenizer, [ids], sampling, on_slide=lambda: None)
        return completion.text

    def _write(self, model: GPT2, directory: Path) -> None:
        """The result, a model to load: a checkpoint, or an adapter."""
        settings = self.settings
        if settings.lora:
            write_adapter(adapter_of(model, self.base, settings.lora, self.alpha), directory, overwrite=True)
        else:
            save(model, self.tokenizer, directory, overwrite=True)
            if self.chat is not None and not self.chat.template.own:
                (directory / "chat_template.jinja").write_text(self.chat.template.source, "utf-8", newline="\n")

    def run(
        self,
        out: Path,
        report: Report = lambda event: None,
        stop: Callable[[], bool] = lambda: False,
        go_on: bool = False,
        device: str = "auto",
    ) -> Result:
        """Train in the run directory `out`; OUT/model holds the best weights at the end, the last if it was stopped.

        report  is given the events of the loop, and the first validation as that of step -1
        stop    asked after each step: whether to save and end here
        go_on   resume what stands in `out`
        device  where to train, as `pick_device` takes it

        Raises what `runner.train` and `runner.resume` raise.
        """
        check_resumed(out) if go_on else check_run(out, overwrite=True)
        run = TrainingRun(self.recipe, self.task, World(wanted=device))
        with explain_out_of_memory(run.memory_savers):
            first = {"step": -1, "val": run.evaluate()}
        patience = _Patience(first)
        if go_on:
            resume(run, out)
            for event in read_metrics(out / METRICS):
                if event["step"] < run.steps_done:
                    patience.see(event)
        else:
            out.mkdir(parents=True, exist_ok=True)
            (out / FINETUNE).write_text(json.dumps(asdict(self.settings), indent=2) + "\n", encoding="utf-8")
        report(first)

        def see(event: dict[str, Any]) -> None:
            patience.see(event)
            report(event)

        try:
            outcome = train(run, out, see, stop=lambda: patience.lost or stop())
        except Diverged as error:
            again: dict[str, Any] = {"lr": float(f"{self.recipe.optim.lr / 3:.2g}"), "overwrite": True}
            raise Diverged(error.problem, "Start again with a lower rate: {lr} {overwrite}.", **again) from None
        finished = outcome.done or patience.lost
        top = best(out)
        if finished and top is not None:
            with whole_directory(out / "model") as temporary:
                shutil.copytree(top / "model", temporary, dirs_exist_ok=True)
            forget_checkpoints(out)
        return Result(
            model=outcome.model,
            steps=outcome.steps,
            best_step=patience.best_step,
            before=patience.start,
            after=patience.best if patience.best_step else patience.start,
            finished=finished,
            seconds=run.seconds,
        )


class _Patience:
    """Watches the validation loss: `lost` after PATIENCE evaluations in a row that brought nothing better.

    An improvement on what training has reached so far counts, whether or not it is below the start: the rate has yet
    to fall.
    """

    def __init__(self, first: dict[str, Any]) -> None:
        ((_, self.start),) = first["val"].items()
        self.best, self.best_step, self.worse = math.inf, 0, 0

    def see(self, event: dict[str, Any]) -> None:
        for loss in event.get("val", {}).values():
            if loss < self.best:
                self.best, self.best_step, self.worse = loss, event["step"] + 1, 0
            else:
                self.worse += 1

    @property
    def lost(self) -> bool:
        return self.worse >= PATIENCE


def read_settings(run: Path) -> Settings:
    """The settings of the fine-tune in a run directory. UsageError when there is none, or it has come to its end."""
    path = run / FINETUNE
    if not path.is_file():
        raise UsageError(f"{run} holds no fine-tune: name a directory that gpt2 finetune wrote.")
    if (run / "model").is_dir() and not checkpoints(run):
        raise UsageError(f"the fine-tune in {run} is finished", "its result is {model}.", model=run / "model")
    try:
        fields = read_json(path)
        return Settings(**fields | {"files": tuple(fields["files"])})
    except (KeyError, TypeError):
        raise ValueError(f"{path} is damaged: start the fine-tune again.") from None


def _chosen(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _check(settings: Settings) -> None:
    if not settings.files:
        raise UsageError("no files: name a text (.txt, .jsonl, ...) or a .jsonl file with prompts and completions.")
    if settings.epochs is not None and not 0 < settings.epochs < 1e6:
        raise UsageError(argument="epochs", value=settings.epochs, mend="it must be above 0, such as 3.")
    if settings.batch_size is not None and settings.batch_size < 1:
        raise UsageError(argument="batch_size", value=settings.batch_size, mend="it must be at least 1.")
    if settings.lora < 0:
        raise UsageError(argument="lora", value=settings.lora, mend="choose a rank of 1 or more, such as 16.")
    if not settings.lora and (settings.lora_alpha is not None or settings.lora_dropout):
        given = "lora_dropout" if settings.lora_alpha is None else "lora_alpha"
        mend = "it belongs to an adapter, so give its rank too, such as {lora}."
        raise UsageError(argument=given, value=getattr(settings, given), mend=mend, lora=16)
    if settings.lora and adapter_base(own_directory(settings.model)) is not None:
        raise UsageError(
            f"{settings.model} is an adapter already: merge it first, gpt2 export {settings.model} DIR, then use DIR."
        )
    if settings.lora and (settings.tokenizer or settings.activation or foreign_file(Path(settings.model).expanduser())):
        raise UsageError(
            f"an adapter names its base, and {settings.model} is none that others find as it is: write it as a "
            f"checkpoint first, gpt2 export {settings.model} DIR, then use DIR."
        )


def _base_name(name: str) -> str:
    """A model's name as another directory, and `peft`, can find it again."""
    path = Path(name).expanduser()
    return HUB_IDS.get(name, name) if name == BUNDLED or not path.is_dir() else str(path.resolve())


def _without_dropout(model: GPT2) -> None:
    """A few passes with early stopping do without it, and attention with dropout is far slower on a CPU."""
    for block in model.transformer.h:
        block.attn.attn_pdrop = 0.0
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
