"""`gpt2 score`: how expected each token or word of a text is, and minimal pairs.

In: a text, a file of texts, or a file of pairs. Out: tables for eyes, JSON, or CSV for a statistics program.
"""

import csv
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.cli.common import Count, File, Flag, print_json, read_text, wide_console
from gpt2.cli.console import progress
from gpt2.cli.errors import option
from gpt2.cli.eval import ScoredModel
from gpt2.cli.eval_items import of_another_task, source

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint
    from gpt2.evaluation.minimal_pairs import PairsResult
    from gpt2.evaluation.stimuli import Stimulus
    from gpt2.evaluation.token_scores import TextScore

TOKEN_COLUMNS = ("id", "position", "token_id", "token", "log_prob", "surprisal", "rank", "entropy")
WORD_COLUMNS = ("id", "position", "word", "first_token", "tokens", "uncorrected", "corrected",
                "boundary_before", "boundary_after")  # fmt: skip
PAIR_COLUMNS = ("id", "phenomenon", "paradigm", "good_log_prob", "bad_log_prob", "right")


@dataclass
class Command(ScoredModel):
    """Log probability, surprisal, rank and entropy of every token of a text, or surprisal by word.

    The log probability is natural; surprisal and entropy are in bits; rank 1 is the likeliest token.
    What stands between white space is a word, with its punctuation. --words gives its surprisal as the
    sum over its tokens (uncorrected) and with the correction for the leading space (corrected).

    examples:
      gpt2 score "The cat sat on the mat." --words
      gpt2 score --context-file items.csv --words --csv
      gpt2 score --pairs blimp.jsonl.gz
    """

    text: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TEXT|FILE]", help_behavior_hint="")] = (
        None
    )
    """The text, in quotes; or a file that holds it; `-` or none: standard input."""
    context_file: File = None
    """Score the texts of this file (.jsonl, .csv, .tsv: text, id, context; .txt: a text a line)."""
    field: Annotated[str, tyro.conf.arg(metavar="NAME")] = "text"
    """The field of a row, or the column, that holds the text."""
    pairs: File = None
    """Judge the minimal pairs of this file, in BLiMP's format (.jsonl, also .gz or .zst; `-`: standard input)."""
    words: Flag = False
    """Give surprisal by word, uncorrected and corrected for the leading space."""
    bos: bool = True
    """Put the token that opens a text before it; with --no-bos, the first token has no score."""
    allow_special: Flag = False
    """Read <|endoftext|> in the text as the special token; otherwise it is ordinary text."""
    context: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the model's limit)")] = None
    """How many tokens the model sees at once."""
    stride: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: half the context)")] = None
    """By how many tokens the next window moves on, where a text is longer than the context."""
    limit: Count = None
    """For --pairs: take N pairs that are evenly spread over the file (default: all)."""
    json: Flag = False
    """Print JSON instead of tables."""
    csv: Flag = False
    """Print CSV: a row for each token, each word or each pair."""

    NO_NUMBER: ClassVar[dict[str, str]] = {
        "context": ' of tokens. What is read before a text stands in a file: write the line {"context": "The dog saw '
        'the cat.", "text": "It barked."} into items.jsonl, and type `gpt2 score --context-file items.jsonl`'
    }

    def run(self) -> None:
        """Read everything first, so that a mistake in a file costs no time; then score and print."""
        if self.json and self.csv:
            raise UsageError("--json and --csv are two forms of one output: give one of them.")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit is {self.limit}: it must be at least 1.")
        if self.pairs is not None:
            self._pairs(self.pairs)
            return
        if self.limit is not None:
            raise UsageError("--limit is for --pairs: leave it out.")
        if self.text is not None and self.context_file is not None:
            raise UsageError("there are two sources of text: give a text or --context-file, not both.")
        if self.context_file is not None:
            self._texts(from_file(self.context_file, self.field))
        else:
            self._texts(stimuli(self.text, self.field))

    def _texts(self, items: "Sequence[Stimulus]") -> None:
        checkpoint = self.load()
        from gpt2.evaluation.token_scores import score
        from gpt2.evaluation.windows import window_sizes

        model, tokenizer = checkpoint.model, checkpoint.tokenizer
        context, stride = window_sizes(model, self.context, self.stride)
        with progress("scoring") as tell:
            found = score(
                model, tokenizer, [one.text for one in items], contexts=[one.context for one in items],
                words=self.words, bos=self.bos, allow_special=self.allow_special,
                context=context, stride=stride, progress=tell,
            )  # fmt: skip
        if self.csv:
            rows = word_rows if self.words else token_rows
            write_csv(WORD_COLUMNS if self.words else TOKEN_COLUMNS, rows(items, found))
            return
        opening = tokenizer.label(tokenizer.bos_id) if self.bos and tokenizer.bos_id is not None else None
        if self.json:
            about = {"model": checkpoint.name, "bos": opening, "context": context, "stride": stride}
            print_json(about | {"texts": [as_json(*one) for one in zip(items, found, strict=True)]})
            return
        show(items, found, self.words)
        before = "nothing" if opening is None else opening
        print(f"{before} before the text; context {context:,}, stride {stride:,}")

    def _pairs(self, file: str) -> None:
        if self.text is not None:
            raise UsageError(f"--pairs names the file of the pairs: leave out {self.text!r}.")
        for name in ("context_file", "context", "stride", "words", "allow_special"):
            if getattr(self, name) not in (None, False):
                raise UsageError(f"{option(name)} is for texts: leave it out with --pairs.")
        if self.field != "text":
            raise UsageError("--field is for texts: leave it out with --pairs.")
        if not self.bos:
            raise UsageError("--no-bos is for texts: leave it out with --pairs.")
        from gpt2.evaluation import minimal_pairs
        from gpt2.evaluation.items import spread

        with progress("reading pairs"):
            found = spread(minimal_pairs.read(source(file)), self.limit)
        checkpoint = self.load()
        with progress("scoring pairs") as tell:
            result = minimal_pairs.evaluate(checkpoint.model, checkpoint.tokenizer, found, tell)
        if self.csv:
            write_csv(PAIR_COLUMNS, pair_rows(result))
        elif self.json:
            print_json({"model": checkpoint.name} | result.to_dict())
        else:
            show_pairs(checkpoint, result)


def stimuli(text: str | None, field: str) -> "Sequence[Stimulus]":
    """The texts that the words on the command line name: a file's where there is one of that name."""
    from gpt2.evaluation.stimuli import Stimulus

    if text not in (None, "-") and os.path.isfile(text):
        return from_file(text, field, whole=True)
    if text not in (None, "-") and os.path.isdir(text):
        raise UsageError(f"{text} is a directory: name a file in it, or pipe the text in if it is one.")
    if text is not None and not any(map(str.isspace, text)) and looks_like_a_file(text):
        raise UsageError(f"{text} does not exist: check the file's name, or pipe the text in if it is one.")
    return [Stimulus("1", "", read_text(text))]


def looks_like_a_file(name: str) -> bool:
    """Whether it ends as the name of a file of texts."""
    from gpt2.data.files import has_kind
    from gpt2.evaluation.stimuli import kind_of

    return has_kind(name) or kind_of(name) is not None


def from_file(path: str, field: str, whole: bool = False) -> "Sequence[Stimulus]":
    """The texts of a file. `whole`: a .txt file is one text, without the new line at its end, or its documents."""
    from gpt2.data.documents import documents
    from gpt2.evaluation.stimuli import Stimulus, kind_of, read

    if not whole or kind_of(path) in (".jsonl", ".csv", ".tsv"):
        with of_another_task(path):
            return read(path, field)
    texts = (text.removesuffix("\n").removesuffix("\r") for text in documents(path, field))
    return [Stimulus(str(number), "", text) for number, text in enumerate(filter(None, texts), start=1)]


def token_rows(items: "Sequence[Stimulus]", found: "Sequence[TextScore]") -> Iterator[tuple[Any, ...]]:
    """A row for each token, as `TOKEN_COLUMNS` names them."""
    for item, one in zip(items, found, strict=True):
        for position, t in enumerate(one.tokens):
            yield item.id, position, t.id, t.token, t.log_prob, t.surprisal, t.rank, t.entropy


def word_rows(items: "Sequence[Stimulus]", found: "Sequence[TextScore]") -> Iterator[tuple[Any, ...]]:
    """A row for each word, as `WORD_COLUMNS` names them."""
    for item, one in zip(items, found, strict=True):
        for position, w in enumerate(one.words or ()):
            yield (
                item.id, position, w.word, w.first, w.stop - w.first,
                w.uncorrected, w.corrected, w.before, w.after,
            )  # fmt: skip


def pair_rows(result: "PairsResult") -> Iterator[tuple[Any, ...]]:
    """A row for each pair, as `PAIR_COLUMNS` names them."""
    for j in result.judgements:
        yield j.pair.id, j.pair.phenomenon, j.pair.paradigm, j.good, j.bad, int(j.right)


def as_json(item: "Stimulus", found: "TextScore") -> dict[str, Any]:
    """A text as the JSON output has it."""
    tokens = [dict(zip(TOKEN_COLUMNS[1:], row[1:], strict=True)) for row in token_rows([item], [found])]
    words = [dict(zip(WORD_COLUMNS[1:], row[1:], strict=True)) for row in word_rows([item], [found])]
    return {
        "id": item.id, "context": item.context, "text": item.text,
        "log_prob": found.log_prob, "surprisal": found.surprisal,
        "tokens": tokens, "words": None if found.words is None else words,
    }  # fmt: skip


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on standard output; a number in full, an empty cell where there is none."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(columns)
    out.writerows(rows)


def show(items: "Sequence[Stimulus]", found: "Sequence[TextScore]", words: bool) -> None:
    """A table for each text, and its sum."""
    from rich.table import Table
    from rich.text import Text

    from gpt2.text.tokenizer import visible

    def cell(x: float | None) -> str:
        return "-" if x is None else f"{x:.4f}"

    out = wide_console()
    for item, one in zip(items, found, strict=True):
        if len(items) > 1:
            out.print(Text(item.id, "bold"))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("word" if words else "token", overflow="fold")
        names = ("uncorrected", "corrected", "before", "after") if words else ("log p", "surprisal", "rank", "entropy")
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for w in one.words or ():
            cells = list(map(cell, (w.uncorrected, w.corrected, w.before, w.after)))
            table.add_row(Text(visible(w.word.encode()), "bold"), *cells)
        for t in one.tokens if not words else ():
            rank = "-" if t.rank is None else str(t.rank)
            cells = [cell(t.log_prob), cell(t.surprisal), rank, cell(t.entropy)]
            table.add_row(Text(visible(t.token.encode()), "bold"), *cells)
        # In a pipe the width is unknown and nothing may be cut.
        out.print(table)
        size = counted(len(one.tokens), "token") if one.words is None else counted(len(one.words), "word")
        out.print(Text(f"{size}, {one.surprisal:.4f} bits", "dim"))


def show_pairs(checkpoint: "Checkpoint", result: "PairsResult") -> None:
    """One row per phenomenon, and all: accuracy, its interval, and what is published for GPT-2 large."""
    from rich.table import Table
    from rich.text import Text

    out = wide_console()
    out.print(Text.assemble((checkpoint.name, "bold"), f" on {counted(len(result.judgements), 'minimal pair')}"))
    out.print()
    published = any(figure.published is not None for figure in result.phenomena.values())
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("phenomenon", no_wrap=True)
    for name in ("pairs", "accuracy", "95% interval", *(["GPT-2 large"] if published else [])):
        table.add_column(name, justify="right", no_wrap=True)
    sizes = result.counts() | {"all": len(result.judgements)}
    for name, figure in [*result.phenomena.items(), ("all", result.overall)]:
        cells = [f"{sizes[name]:,}", f"{figure.value:.2%}", f"{figure.low:.2%} to {figure.high:.2%}"]
        beside = "-" if figure.published is None else f"{figure.published:.1%}"
        table.add_row(name, *cells, *([beside] if published else []))
    out.print(table)
    if published:
        out.print(Text("chance is 50%; GPT-2 large: the table of BLiMP's authors", "dim"))
