"""Fine-tuning: a model that exists, a user's text or prompts with completions, and a few minutes.

In: `Settings` (settings.py). Out: the `Task` and the `Recipe` that the usual loop trains (loop.py, runner.py), and
`FineTune.run`, which measures before and after, ends early when the validation loss rises, and keeps the best weights.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gpt2.base.disk import naming, whole_file
from gpt2.base.errors import Failure, UsageError
from gpt2.base.notes import note
from gpt2.base.sealed import hash_file
from gpt2.checkpoint.adapter import Adapter, fingerprint, hash_of_weights, write_adapter
from gpt2.checkpoint.files import load, save
from gpt2.checkpoint.hf_config import read_json
from gpt2.checkpoint.layout import BUNDLED, HUB_IDS
from gpt2.checkpoint.quantisation import need_floats
from gpt2.checkpoint.target import whole_directory
from gpt2.data.examples import Shuffled
from gpt2.data.files import sources
from gpt2.model import GPT2
from gpt2.text.tokenizer import EOT
from gpt2.training.finetune.going_on import GoingOn, adapter_named, open_adapter
from gpt2.training.finetune.lora import adapter_of, add_lora, check_dropout
from gpt2.training.finetune.patience import Patience, interval
from gpt2.training.finetune.reading import Reader
from gpt2.training.finetune.samples import Samples
from gpt2.training.finetune.settings import Settings, chosen, read_settings, recipe_of
from gpt2.training.guards import Diverged
from gpt2.training.loop import TrainingRun
from gpt2.training.machine.distributed import World
from gpt2.training.run.directory import FINETUNE, MERGED, ROWS, best, check_resumed, check_run, forget_checkpoints
from gpt2.training.run.going_on import run_of
from gpt2.training.run.interrupts import explain_out_of_memory
from gpt2.training.run.metrics import METRICS, good_events
from gpt2.training.run.resume import EVERY_BYTE, EVERY_WEIGHT
from gpt2.training.run.runner import Report, resume, train
from gpt2.training.task import Task

__all__ = ["FineTune", "Result", "Settings", "read_settings"]


@dataclass(frozen=True)
class Result:
    """What a fine-tune came to. Losses are means over the tokens held out, in nats.

    model          the directory of the result, to load
    steps          of training that were taken
    before, after  the validation loss of the model it started from, and of the best weights since
    interval       half the width of the 95% interval of `before`, where few tokens are held out (patience.py)
    best_step      after how many steps these were reached
    finished       False when it was stopped before its end: `model` holds the last weights then, not the best
    seconds        that training took
    merged         base and adapter as one checkpoint, where that was asked for
    """

    model: Path
    steps: int
    best_step: int
    before: float
    after: float
    interval: float | None
    finished: bool
    seconds: float
    merged: Path | None


class FineTune:
    """One fine-tune: its data, its task, its recipe.

    Raises UsageError for settings that make no sense, ValueError for files that are no text or too short, prompts that
    do not fit, and whatever `gpt2.checkpoint.files.load` raises.

    Attributes:
        begun: the adapter that it goes on with, None where it starts a new one or trains all weights.
        merged_rank: the rank of the adapter that was merged into its base before all weights train, None where the
            model is no adapter.
        prompt: the ids that samples continue; None takes some of what is held out.
    """

    def __init__(self, settings: Settings, called: str = "") -> None:
        """Read the data and open the model; `called` is what notes name the data, else its files."""
        self.settings = settings.check()
        if settings.lora_dropout is not None:
            check_dropout(settings.lora_dropout)
        paths, val_paths = (
            [source.path for source in sources(names)[0]]
            for names in (settings.files, () if settings.val is None else (settings.val,))
        )
        self._open()
        if self.tokenizer.eot_id is None:
            what = f"the tokenizer of {settings.model} has no {EOT} to end a text with"
            mend = "train it on with the program that made it, or use another {model}."
            raise Failure(what, mend, model=None)
        if self.model.settings is not None:
            self.model.settings = self.model.settings.ending_at(self.tokenizer.eot_id)
        self.context = chosen(settings.context, self.model.config.n_positions)
        if not 1 <= self.context <= self.model.config.n_positions:
            mend = f"this model takes 1 to {self.model.config.n_positions}."
            raise UsageError(argument="context", value=self.context, mend=mend)
        reader = Reader(
            self.tokenizer, self.context, settings.field, settings.allow_special, settings.split_inline, settings.seed,
            settings.skip_long, called,
        )  # fmt: skip
        read = reader.read(paths, val_paths)
        self.train, self.val, self.kind, self.chat = read.train, read.val, read.kind, read.chat
        self.cut = read.cut  # examples that ran past the context
        self.skipped = read.skipped  # and those that were left out
        if self.chat is not None and self.model.settings is not None:
            for token in sorted(self.chat.end_ids()):
                self.model.settings = self.model.settings.ending_at(token)
        self.samples = Samples(self.tokenizer, self.val, self.kind, settings.allow_special, settings.seed)
        self.prompt: list[int] | None = None
        self.base = _base_name(settings.model)
        self.alpha = chosen(settings.lora_alpha, 2.0 * settings.lora)
        self.recipe = recipe_of(settings, self.model.config, self.train, self.base)
        marks = {"train": self.train.hash, "val": self.val.hash, "base": fingerprint(self.model)}
        if self.begun is not None:
            marks["adapter"] = self.begun.mark
        facts = {f"{name} of {', '.join(settings.files)}": mark for name, mark in marks.items()}
        if settings.lora:  # a checkpoint holds the adapter alone
            facts[f"{EVERY_WEIGHT}{settings.model if self.begun is None else self.begun.adapter.base}"] = (
                hash_of_weights(self.model)
            )
        if paths[0].name == ROWS:  # nobody else has these rows: each byte of them counts
            facts[f"{EVERY_BYTE}{paths[0]}"] = hash_file(paths[0])
        self._begin()
        self.task = Task(
            model=self.model,
            tokenizer=self.tokenizer,
            batches=Shuffled(self.train, self.recipe.train.batch_size, settings.seed),
            val={settings.val or f"{self.val.tokens:,} held-out tokens": self.val},
            facts=facts,
            write=self._write,
            sample=self._sample,
            settings=asdict(self.settings),
        )

    @property
    def trainable(self) -> int:
        """Parameters that train."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def _open(self) -> None:
        """The model, its tokenizer, and the adapter to go on with."""
        settings = self.settings
        self.begun: GoingOn | None = None
        self.merged_rank: int | None = None
        directory = adapter_named(settings.model)
        if directory is not None and settings.lora:
            self.begun = open_adapter(directory, settings)
            self.model, self.tokenizer = self.begun.model, self.begun.tokenizer
            return
        if directory is not None:
            self.merged_rank = read_json(directory / "adapter_config.json").get("r", 8)
        checkpoint = load(settings.model, tokenizer=settings.tokenizer, activation=settings.activation)
        need_floats(checkpoint.model, settings.model, "fine-tuning")
        self.model, self.tokenizer = checkpoint.model, checkpoint.tokenizer

    def _begin(self) -> None:
        """What trains, and with which dropout."""
        settings = self.settings
        _set_dropout(self.model, settings.dropout)
        if self.begun is not None:
            self.begun.begin()
        elif settings.lora:
            dropout = settings.lora_dropout or 0.0
            add_lora(self.model, settings.lora, self.alpha, dropout, settings.seed, settings.lora_targets)

    def _sample(self, model: GPT2) -> str:
        ids = chosen(self.prompt, self.samples.prompt())
        return self.tokenizer.decode(ids) + self.samples.take(model, ids)

    def _write(self, model: GPT2, directory: Path) -> None:
        """The result, a model to load: a checkpoint, or an adapter."""
        if not self.settings.lora:
            self._save(model, directory)
            return
        write_adapter(self._adapter(model), directory, overwrite=True)
        # beside an adapter, as trl puts it there: the base may have another template, or none
        if self.chat is not None or (self.begun is not None and self.begun.own):
            self.tokenizer.save(directory, model.config.n_positions)
        self._write_template(directory)

    def _adapter(self, model: GPT2) -> Adapter:
        if self.begun is not None:
            return self.begun.after(model)
        settings = self.settings
        dropout, targets = settings.lora_dropout or 0.0, settings.lora_targets
        return adapter_of(model, self.base, settings.lora, self.alpha, dropout, targets)

    def _save(self, model: GPT2, directory: Path) -> None:
        save(model, self.tokenizer, directory, overwrite=True)
        self._write_template(directory)

    def _write_template(self, directory: Path) -> None:
        """Put the plain chat template beside a model whose conversations were written by it."""
        if self.chat is not None and not self.chat.template.own:
            (directory / "chat_template.jinja").write_text(self.chat.template.source, "utf-8", newline="\n")

    def run(
        self,
        place: Path,
        report: Report = lambda event: None,
        stop: Callable[[], bool] = lambda: False,
        go_on: bool = False,
        device: str = "auto",
    ) -> Result:
        """Train in the run directory `place`; its model/ holds the best weights at the end, the last if it was stopped.

        report  is given the events of the loop, and the first validation as that of step -1, with its `interval`
        stop    asked after each step: whether to save and end here
        go_on   resume what stands in `place`, which may also be a checkpoint of the run
        device  where to train, as `pick_device` takes it

        Raises what `runner.train` and `runner.resume` raise.
        """
        out = run_of(place)[0] if go_on else place
        check_resumed(out) if go_on else check_run(out, overwrite=True)
        self._check_source(out)
        run = TrainingRun(self.recipe, self.task, World(wanted=device))
        with explain_out_of_memory(run.memory_savers):
            first: dict[str, Any] = {"step": -1, "val": run.evaluate(), "interval": interval(run.model, self.val)}
        patience = Patience(first, self.settings.patience)
        if go_on:
            for sentence in resume(run, place):
                note(sentence)
            done = run.steps_done - (run.start is not None and run.start.log is not None)
            for event in good_events(out / METRICS, done):
                patience.see(event)
        else:
            out.mkdir(parents=True, exist_ok=True)
        with naming(out / FINETUNE), whole_file(out / FINETUNE) as temporary:
            temporary.write_text(json.dumps(asdict(self.settings), indent=2) + "\n", encoding="utf-8")
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
        merged = None
        if finished and top is not None:
            with whole_directory(out / "model") as temporary:
                shutil.copytree(top / "model", temporary, dirs_exist_ok=True)
            if self.settings.merge:
                merged = out / MERGED
                self._save(load(str(out / "model")).model, merged)
            forget_checkpoints(out)
        return Result(
            model=outcome.model,
            steps=outcome.steps,
            best_step=patience.best_step,
            before=patience.start,
            after=patience.best if patience.best_step else patience.start,
            interval=first["interval"],
            finished=finished,
            seconds=run.seconds,
            merged=merged,
        )

    def _check_source(self, out: Path) -> None:
        """Raise UsageError where the run would delete the model that it starts from, or the base of its adapter."""
        for name in (self.settings.model, self.base if self.begun is None else self.begun.adapter.base):
            path = Path(name).expanduser()
            if name != BUNDLED and path.exists() and path.resolve().is_relative_to(out.expanduser().resolve()):
                raise UsageError(
                    f"{out} holds {name}, which this fine-tune starts from", "choose another {out}.", out=None
                )


def _base_name(name: str) -> str:
    """A model's name as another directory, and `peft`, can find it again."""
    path = Path(name).expanduser()
    return HUB_IDS.get(name, name) if name == BUNDLED or not path.is_dir() else str(path.resolve())


def _set_dropout(model: GPT2, p: float) -> None:
    """Other rates than the configuration's, which stays. The default of 0: a few passes with early stopping do without
    it, and attention with dropout is far slower on a CPU.
    """
    for block in model.transformer.h:
        block.attn.attn_pdrop = p
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = p
