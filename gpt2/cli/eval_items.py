"""`gpt2 eval`'s inputs and rows: what `-` stands for, and the file with a row for each item.

In: the names that a user typed, and rows. Out: streams and documents; a .jsonl file, whole.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from gpt2.base.disk import whole_file
from gpt2.base.errors import Failure, UsageError
from gpt2.base.plain import plain
from gpt2.base.visible import quoted

if TYPE_CHECKING:
    from gpt2.evaluation.bits_per_byte import TextLoss
    from gpt2.evaluation.context_use import ContextUse
    from gpt2.evaluation.measures import TaskResult

STANDARD_INPUT = "-"


class Document(NamedTuple):
    """A document, the file that it stands in, and its number there."""

    file: str
    number: int
    text: str


def refuse_texts(names: Sequence[str]) -> None:
    """UsageError where a text was typed in place of files: no word is a file, and none ends as one does."""
    from gpt2.data.files import has_kind

    if not any(name == STANDARD_INPUT or os.path.exists(name) or has_kind(name) for name in names):
        text = " ".join(names)
        raise UsageError(
            f"there is no file {text!r}: name a file, or, if it is a text, type "
            f"`printf %s {quoted(text)} | gpt2 eval -`."
        )


@contextmanager
def of_another_task(path: str) -> Iterator[None]:
    """Raise UsageError, with the command for it, where rows without a text turn out to be those of a task."""
    try:
        yield
    except Failure:
        if said := _task_of(path):
            raise UsageError(said) from None
        raise


def _task_of(path: str) -> str:
    """What the first row of a .jsonl file is made for, and the command; "" for other rows."""
    from gpt2.data.files import has_kind, opened
    from gpt2.data.json_lines import json_lines

    if not has_kind(path, ".jsonl"):
        return ""
    with opened(Path(path)) as (stream, _):
        row = next((row for _, row in json_lines(Path(path), stream)), None)
    fields = set(row) if isinstance(row, dict) else set()
    if {"sentence_good", "sentence_bad"} <= fields:
        return f"{path} holds minimal pairs: type `gpt2 score --pairs {quoted(path)}`."
    if "endings" in fields and {"ctx", "ctx_a"} & fields:
        return f"{path} holds items of HellaSwag: type `gpt2 eval --task hellaswag {quoted(path)}`."
    return ""


def source(name: str) -> str | BinaryIO:
    """The file of a task: its name, or standard input for `-`."""
    if name != STANDARD_INPUT:
        return name
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("`-` is standard input, which is the keyboard here: name a file, or pipe one in.")
    return sys.stdin.buffer


def read_documents(names: Sequence[str], field: str) -> Iterator[Document]:
    """The documents of files, of directories, and of standard input for `-`, in the order of the names."""
    from gpt2.data.documents import documents, stream_documents
    from gpt2.data.files import sources

    if names.count(STANDARD_INPUT) > 1:
        raise UsageError("standard input is named twice: give one `-`.")
    for name in names:
        stream = source(name)
        if not isinstance(stream, str):
            texts = [(STANDARD_INPUT, stream_documents(stream, "standard input"))]
        else:
            texts = [(str(one.path), documents(one.path, field)) for one in sources([name], pipes=True)[0]]
        for file, found in texts:
            with of_another_task(file):
                yield from (Document(file, number, text) for number, text in enumerate(found, start=1))


def check_target(target: str, inputs: Sequence[str]) -> None:
    """Refuse a file of rows that cannot be written or that is read here, before anything is computed."""
    path = Path(target)
    if path.suffix.lower() != ".jsonl":
        raise UsageError(f"--items is {target!r}: its rows are lines of JSON, so give a file that ends in .jsonl.")
    if not path.parent.is_dir():
        raise UsageError(f"--items is {target!r}: there is no directory {path.parent}, so make it first.")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"--items is {target!r}: no file can be written there, so name another.")
    if path.exists() and any(os.path.exists(name) and os.path.samefile(name, path) for name in inputs):
        raise UsageError(f"--items is {target!r}, which is read here: name another file for the rows.")


def write_rows(target: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """A line of JSON for each row."""
    with whole_file(Path(target)) as temporary, open(temporary, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n")


def text_rows(found: Sequence[Document], result: "TextLoss") -> Iterator[dict[str, Any]]:
    """A row for each document of `loss_of_each`."""
    for one, loss in zip(found, result.each or (result,), strict=True):
        yield {"file": one.file, "document": one.number} | text_figures(loss)


def text_figures(loss: "TextLoss") -> dict[str, Any]:
    """The figures of one document or of many."""
    return {
        "tokens": loss.tokens,
        "words": loss.words,
        "bytes": loss.bytes,
        "loss": loss.loss,
        "loss_per_token": loss.loss_per_token,
        "perplexity": loss.perplexity,
        "word_perplexity": loss.word_perplexity,
        "bits_per_byte": loss.bits_per_byte,
    }


def context_figures(found: "ContextUse") -> dict[str, Any]:
    """The figures of a context use; without an interval where there is one document."""
    figures = {"use": found.use, **asdict(found)}
    return figures | ({} if found.documents > 1 else {"low": None, "high": None})


def task_rows(numbers: Sequence[int], result: "TaskResult") -> Iterator[dict[str, Any]]:
    """A row for each item and style; `item` is the number of the item in its file, from 1."""
    for number, styles in zip(numbers, result.rows, strict=True):
        yield from ({"item": number} | dict(row) for row in styles)
