"""Texts with ids, each perhaps with what stands before it: the items of an experiment.

In: a .jsonl, .csv, .tsv or .txt file, perhaps compressed (.gz, .zst). Out: `Stimulus`es, in the order of the file.

    .jsonl       an object a line: {"id": ..., "context": ..., "text": ...}
    .csv, .tsv   a first row with the names of the columns, among them text, perhaps id and context
    .txt         a text a line; empty lines are none

Only the text is needed. Without an id a text has the number of its line (.txt, .jsonl) or of its row (.csv, .tsv).
"""

import codecs
import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gpt2.base.errors import Failure, to_utf8
from gpt2.base.foreign import shortened
from gpt2.base.lfs import refuse_pointer
from gpt2.base.notes import note
from gpt2.data.files import PACKED, opened
from gpt2.data.json_lines import json_lines
from gpt2.data.records import kind_of as kind_of_value
from gpt2.data.records import refuse_other_separator

KINDS = (".jsonl", ".csv", ".tsv", ".txt")


class Stimulus(NamedTuple):
    """A text to score after its context, which is "" where there is none."""

    id: str
    context: str
    text: str


def kind_of(name: str) -> str | None:
    """Which of the kinds a file is by its name, in any case; None for another."""
    for packed in PACKED:
        name = name.lower().removesuffix(packed)
    return next((kind for kind in KINDS if name.lower().endswith(kind)), None)


def read(path: str | os.PathLike[str], field: str = "text") -> list[Stimulus]:
    """The texts of a file; `field` is the name of the column, or of the field, that holds the text.

    Raises ValueError, naming file and line, for a file that is missing or of another kind, what is not UTF-8, a line
    without a text, an id that is no text and no whole number, and an id that comes twice.
    """
    path = Path(path)
    kind = kind_of(path.name)
    if kind is None:
        raise ValueError(f"{path} is of an unknown kind: texts with ids stand in a file that ends in "
                         f"{', '.join(KINDS)}.")  # fmt: skip
    refuse_pointer(path)
    found: list[Stimulus] = []
    seen, unread = set[str](), list[str]()
    with opened(path) as (stream, _):
        rows = json_lines(path, stream) if kind == ".jsonl" else _rows(path, kind, stream.read(), field)
        for number, (where, row) in enumerate(rows, start=1):
            one = _stimulus(where, row, str(number), "text" if kind == ".txt" else field)
            if one.id in seen:
                raise ValueError(f"{where} has the id {shortened(one.id)}, which a text above has: give each text an "
                                 "id of its own.")  # fmt: skip
            seen.add(one.id)
            found.append(one)
            if number == 1:
                unread = [name for name, value in row.items() if name not in ("id", "context", field) and _many(value)]
    if unread and not any(one.context for one in found):
        note(
            f"{path}: no text has a context, and {', '.join(unread)} is not read: what stands before a text must be "
            "called context."
        )
    if not found:
        raise ValueError(f"{path} holds no text: it is empty.")
    return found


def _many(value: Any) -> bool:
    """Whether a value is a text of several words, as a context is."""
    return isinstance(value, str) and len(value.split()) > 1


def _rows(path: Path, kind: str, data: bytes, field: str) -> Iterator[tuple[str, Any]]:
    """("FILE, line N,", row) for each row of a table or line of text."""
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start} of its text): {to_utf8(error)}") from None
    if kind == ".txt":
        for number, line in enumerate(io.StringIO(text), start=1):
            if line.strip():
                yield f"{path}, line {number},", {"id": number, "text": line.rstrip("\r\n")}
        return
    table = csv.reader(io.StringIO(text, newline=""), delimiter="," if kind == ".csv" else "\t", strict=True)
    names: list[str] | None = None
    try:
        for row in table:
            where = f"{path}, line {table.line_num},"
            if not any(row):
                continue
            if names is None:
                names = [name.strip() for name in row]
                refuse_other_separator(where, names, "," if kind == ".csv" else "\t")
                if names.count(field) != 1:
                    have = shortened(", ".join(names))
                    mend = f"one of them must be {field}, or {{field}} must name the one that holds the text."
                    raise Failure(f"{where} names the columns {have}", mend, field=None)
            elif len(row) != len(names):
                raise ValueError(f"{where} has {len(row)} cells and the first row {len(names)}: put a cell with a "
                                 f"{'comma' if kind == '.csv' else 'tab'} in it into quotation marks.")  # fmt: skip
            else:
                yield where, {name: cell for name, cell in zip(names, row, strict=True) if cell or name == field}
    except csv.Error as error:
        raise ValueError(f"{path}, line {table.line_num}, cannot be read as {kind} ({error}).") from None


def _stimulus(where: str, row: Any, number: str, field: str) -> Stimulus:
    if not isinstance(row, dict):
        raise ValueError(f'{where} holds no object: write {{"id": "a", "context": "...", "text": "..."}}.')
    text, context, name = row.get(field), row.get("context"), row.get("id")
    if field in row and not isinstance(text, str):
        raise ValueError(f"{where} has {kind_of_value(text)} in {field!r}: write a text there, between quotes.")
    if field not in row:
        have = f"it has {shortened(', '.join(map(str, row)))[1:-1]}" if row else "it has none"
        mend = "{field} names the field that holds the text."
        raise Failure(f"{where} has no text in a field {field!r} ({have})", mend, field=None)
    if not text:
        raise ValueError(f"{where} has an empty text: give it at least one character.")
    if context is not None and not isinstance(context, str):
        raise ValueError(f"{where} has the context {shortened(context)}: it must be a text.")
    if name is not None and (isinstance(name, bool) or not isinstance(name, str | int)):
        raise ValueError(f"{where} has the id {shortened(name)}: it must be a text or a whole number.")
    return Stimulus(number if name in (None, "") else str(name), context or "", text)
