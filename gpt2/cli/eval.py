"""`gpt2 eval`: how well a model predicts texts, and how it does on LAMBADA and HellaSwag.

In: files on this machine. Out: the figures, for eyes or as JSON.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from gpt2.base.errors import UsageError
from gpt2.cli.common import File, Flag, ModelOptions, print_json, variant_of, wide_console
from gpt2.cli.console import progress
from gpt2.cli.eval_items import (
    check_target,
    context_figures,
    read_documents,
    refuse_texts,
    source,
    task_rows,
    text_figures,
    text_rows,
    write_rows,
)  # fmt: skip

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint
    from gpt2.cli.eval_items import Document
    from gpt2.evaluation.measures import Figure, TaskResult


@dataclass(kw_only=True)
class ScoredModel(ModelOptions):
    """The model of a command whose figures are probabilities of tokens."""

    def load(self) -> "Checkpoint":
        """The model, unless its scores would say nothing."""
        checkpoint = super().load()
        refuse_seeing(checkpoint)
        return checkpoint


def refuse_seeing(checkpoint: "Checkpoint") -> None:
    """UsageError for a model whose scores would say nothing."""
    if variant_of(checkpoint) == "no-mask":
        raise UsageError(
            "this model is the variant 'no-mask', which sees the very tokens that it is to predict: its scores "
            "would say nothing, so name another model."
        )


@dataclass
class Command(ScoredModel):
    """Perplexity and bits per byte on texts, how much of its context a model uses, or the score of a task.

    Each document of a text stands alone, with <|endoftext|> before it. The model reads it in windows of the full
    context, and each window begins half a context after the one before.

    examples:
      gpt2 eval --task hellaswag hellaswag_val.jsonl --items rows.jsonl
      gpt2 eval --task context-use texts.txt
      zcat texts.txt.gz | gpt2 eval -
    """

    files: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")]
    """Texts, as `gpt2 prepare` takes them; for a task, its .jsonl file, also .gz or .zst; `-`: standard input."""
    task: Literal["text", "context-use", "lambada", "hellaswag"] = "text"
    """What is measured: loss or context use on texts, LAMBADA's passages, HellaSwag's items."""
    visible: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 8)")] = None
    """For context use: how many of the last tokens are left visible."""
    context: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the model's limit)")] = None
    """For texts: how many tokens the model sees at once."""
    stride: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: half the context)")] = None
    """For texts: by how many tokens the next window moves on."""
    joined: Flag = False
    """For texts: read all documents as one, without <|endoftext|>, as the Hugging Face documentation does."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Read the first N documents only; of a task, N items that are evenly spread over the file."""
    field: Annotated[str, tyro.conf.arg(metavar="NAME")] = "text"
    """For texts: the field of a row, or the column, that holds the text."""
    allow_special: Flag = False
    """For texts: read <|endoftext|> in a text as the special token; otherwise it is ordinary text."""
    items: File = None
    """Also write a row for each document, or for each item and style of a task, to this .jsonl file."""
    json: Flag = False
    """Print JSON instead of tables."""

    def run(self) -> None:
        """Read everything first, so that a mistake in a file costs no time; then evaluate and print."""
        if not self.files:
            raise UsageError("no file: name the texts to evaluate on, the file of a --task, or `-` for standard input.")
        refuse_texts(self.files)
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit is {self.limit}: it must be at least 1.")
        if self.items is not None:
            if self.joined:
                raise UsageError("--joined makes one text of all documents, so there are no --items: leave one out.")
            check_target(self.items, self.files)
        if self.visible is not None and self.task != "context-use":
            raise UsageError("--visible is for context use: name --task context-use, or leave it out.")
        {"text": self._text, "context-use": self._context_use}.get(self.task, self._task)()

    def _read(self) -> "tuple[list[Document], list[str], Checkpoint]":
        """The documents, their texts, and the model."""
        with progress("reading texts"):
            found = list(islice(read_documents(self.files, self.field), self.limit))
        texts = [one.text for one in found]
        checkpoint = self.load()
        from gpt2.text.spelled import Spelled, tell_spelled

        if not self.allow_special:
            spelled = Spelled(checkpoint.tokenizer)
            tell_spelled(sum((spelled.count(text) for text in texts), Counter()))
        return found, texts, checkpoint

    def _context_use(self) -> None:
        for name in ("stride", "joined", "items"):
            if getattr(self, name) not in (None, False):
                raise UsageError(f"--{name} is not for context use: leave it out with --task context-use.")
        _, texts, checkpoint = self._read()
        from gpt2.evaluation.context_use import VISIBLE, context_use

        with progress("evaluating") as tell:
            result = context_use(
                checkpoint.model, checkpoint.tokenizer, texts, VISIBLE if self.visible is None else self.visible,
                context=self.context, allow_special=self.allow_special, progress=tell,
            )  # fmt: skip
        figures = {"model": checkpoint.name, **context_figures(result)}
        print_json(figures) if self.json else show_context_use(figures)

    def _text(self) -> None:
        found, texts, checkpoint = self._read()
        from gpt2.evaluation.bits_per_byte import loss_of_each, loss_of_joined

        measure = loss_of_joined if self.joined else loss_of_each
        with progress("evaluating") as tell:
            result = measure(
                checkpoint.model, checkpoint.tokenizer, texts,
                progress=tell, context=self.context, stride=self.stride, allow_special=self.allow_special,
            )  # fmt: skip
        if self.items is not None:
            write_rows(self.items, text_rows(found, result))
        figures = {
            "model": checkpoint.name,
            "documents": result.documents,
            **text_figures(result),
            "context": result.context,
            "stride": result.stride,
            "joined": self.joined,
        }
        print_json(figures) if self.json else show_text(figures)

    def _task(self) -> None:
        if len(self.files) != 1:
            raise UsageError(f"--task {self.task} takes one file, not {len(self.files)}.")
        for name in ("context", "stride", "joined", "allow_special", "field"):
            if getattr(self, name) not in (None, False, "text"):
                raise UsageError(f"--{name.replace('_', '-')} is for texts: leave it out with --task {self.task}.")
        from gpt2.evaluation import hellaswag, lambada
        from gpt2.evaluation.items import spread

        task: Any = {"lambada": lambada, "hellaswag": hellaswag}[self.task]
        with progress("reading items"):
            every = task.read(source(self.files[0]))
        numbers = spread(range(1, len(every) + 1), self.limit)
        checkpoint = self.load()
        with progress("evaluating") as tell:
            chosen = [every[number - 1] for number in numbers]
            result: TaskResult = task.evaluate(checkpoint.model, checkpoint.tokenizer, chosen, tell)
        if self.items is not None:
            write_rows(self.items, task_rows(numbers, result))
        print_json({"model": checkpoint.name} | result.to_dict()) if self.json else show_task(checkpoint, result)


def show_text(figures: dict[str, Any]) -> None:
    """One figure per line, and the protocol that they hold for."""
    from rich.text import Text

    out = wide_console()
    names = {
        "documents": "documents", "tokens": "tokens scored", "words": "words", "bytes": "bytes",
        "loss_per_token": "loss per token, nats", "perplexity": "perplexity per token",
        "word_perplexity": "perplexity per word", "bits_per_byte": "bits per byte",
    }  # fmt: skip
    out.print(Text(figures["model"], "bold"))
    for key, name in names.items():
        value = figures[key]
        out.print(Text(f"{name:<22}{f'{value:,}' if isinstance(value, int) else short(value):>14}"))
    how = "all as one text" if figures["joined"] else "each document alone, <|endoftext|> before it"
    out.print(Text(f"{how}; context {figures['context']:,}, stride {figures['stride']:,}", "dim"), soft_wrap=True)


def show_context_use(figures: dict[str, Any]) -> None:
    """Both losses, their difference with its interval, and the protocol."""
    from rich.text import Text

    out = wide_console()
    out.print(Text(figures["model"], "bold"))
    visible, first = figures["visible"], figures["first"]
    rows = {
        "documents": f"{figures['documents']:,}", "tokens scored": f"{figures['tokens']:,}",
        "loss with the full context": f"{figures['full']:.4f}",
        f"loss with the last {visible:,}": f"{figures['short']:.4f}", "context use": f"{figures['use']:.4f}",
    }  # fmt: skip
    for name, value in rows.items():
        out.print(Text(f"{name:<28}{value:>10}"))
    if figures["low"] is not None:
        out.print(Text(f"{'95% interval':<28}{figures['low']:>10.4f} to {figures['high']:.4f}"))
    how = "nats per token; each document alone, <|endoftext|> before it"
    out.print(Text(f"{how}; context {figures['context']:,}, targets from position {first:,} on", "dim"), soft_wrap=True)


def short(x: float) -> str:
    """A figure in at most twelve characters: a huge one as a power of ten."""
    return f"{x:,.4f}" if x < 1e6 else f"{x:.4e}"


def show_task(checkpoint: "Checkpoint", result: "TaskResult") -> None:
    """One row per measure: the figure, its interval, chance, and what is published for OpenAI's model of this size."""
    from rich.table import Table
    from rich.text import Text

    from gpt2.evaluation.published import size_of

    size = size_of(checkpoint.model.config)
    out = wide_console()
    out.print(Text.assemble((checkpoint.name, "bold"), f" on {result.task}, {result.items:,} items"))
    out.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("style", "measure"):
        table.add_column(name, no_wrap=True)
    for name in ("", "95% interval", "chance", *(["published"] if size else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for style, figures in result.figures.items():
        for measure, figure in figures.items():
            table.add_row(style, measure, *_cells(figure, measure, size is not None))
    out.print(table)
    if size:
        out.print(Text(f"published: for OpenAI's {size}, see docs/evaluation.md in the repository", "dim"))


def _cells(figure: "Figure", measure: str, published: bool) -> list[str]:
    def shown(x: float | None) -> str:
        if x is None:
            return "-"
        if measure == "perplexity":
            return f"{x:.2f}" if x < 100 else f"{x:.1f}" if x < 1000 else f"{x:,.0f}" if x < 1e6 else f"{x:.1e}"
        return f"{x:.2%}" if x >= 1e-4 or x == 0 else f"{x:.0e}"

    cells = [shown(figure.value), f"{shown(figure.low)} to {shown(figure.high)}", shown(figure.chance)]
    return cells + [shown(figure.published)] * published
