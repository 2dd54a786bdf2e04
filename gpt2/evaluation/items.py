"""The items of a task: a .jsonl file, perhaps compressed, or its lines as they come, with an object a line.

In: a path, or a stream of bytes. Out: the objects, with their line numbers for error messages. Read next: lambada.py,
hellaswag.py.
"""

import codecs
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar

from gpt2.base.foreign import shortened
from gpt2.data.files import check, has_kind, opened
from gpt2.data.json_lines import json_lines
from gpt2.data.records import kind_of

Item = TypeVar("Item")
Source: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A file's path, or a stream of bytes, which errors call by its name."""


def name_of(source: Source) -> str:
    """What errors call it: "standard input" for that."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    name = getattr(source, "name", "a stream")
    return "standard input" if name in (0, "<stdin>") else str(name)


def records(source: Source, form: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each line that is not empty: "FILE, line N," and its object.

    form   an item as a line of the file, which errors show

    Raises ValueError, naming file and line, for a file that is no .jsonl and a line that is no JSON object.
    """
    if not isinstance(source, str | os.PathLike):
        yield from _objects(Path(name_of(source)), source, form)
        return
    path = check(source)
    if not has_kind(path.name, ".jsonl"):
        raise ValueError(f"{path} is not a .jsonl file: write each item into one (also .gz or .zst) as a line {form}.")
    with opened(path) as (stream, _):
        yield from _objects(path, stream, form)


def _objects(path: Path, stream: BinaryIO, form: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, record in json_lines(path, _refusing_text(path, stream, form)):
        if not isinstance(record, dict):
            raise ValueError(f"{where} holds no object: write each item as a line {form}.")
        yield where, record


def _refusing_text(path: Path, stream: Iterable[bytes], form: str) -> Iterator[bytes]:
    """The lines; ValueError for a first one that begins like no JSON value, of a text or a table."""
    for number, line in enumerate(stream, start=1):
        first = line.removeprefix(codecs.BOM_UTF8).strip()
        if number == 1 and first[:1].isalpha() and not first.startswith((b"NaN", b"null", b"true", b"false")):
            raise ValueError(f"{path}, line 1, is not JSON: write each item as a line {form}.")
        yield line


def texts_of(record: dict[str, Any], keys: Sequence[str], where: str, form: str) -> list[str]:
    """The texts in some fields; raises ValueError, naming all fields that have none and showing the item's form."""
    lacking = [key for key in keys if not isinstance(text := record.get(key), str) or not text.strip()]
    if wrong := [key for key in lacking if key in record]:
        value = record[wrong[0]]
        if isinstance(value, str):
            raise ValueError(f"{where} has no text in {wrong[0]!r}: write some there, or leave the item out.")
        raise ValueError(f"{where} has {kind_of(value)} in {wrong[0]!r}: write a text there, between quotes.")
    if lacking:
        have = f"it has {shortened(', '.join(map(str, record)))[1:-1]}" if record else "it has none"
        fields = "a field" if len(lacking) == 1 else "the fields"
        raise ValueError(f"{where} has no text in {fields} {' and '.join(map(repr, lacking))} ({have}): write {form}.")
    return [record[key] for key in keys]


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """`limit` of the items, evenly spread over all: the beginning of a file may be of one kind."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[n * len(items) // limit] for n in range(limit)]
