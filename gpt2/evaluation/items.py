"""The items of a task: a .jsonl file, perhaps compressed, or its lines as they come, with an object a line.

In: a path, or a stream of bytes. Out: the objects, with their line numbers for error messages. Read next: lambada.py,
hellaswag.py.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar

from gpt2.data.files import check, has_kind, opened
from gpt2.data.json_lines import json_lines

Item = TypeVar("Item")
Source: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A file's path, or a stream of bytes, which errors call by its name."""


def name_of(source: Source) -> str:
    """What errors call it: "standard input" for that."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    name = getattr(source, "name", "a stream")
    return "standard input" if name in (0, "<stdin>") else str(name)


def records(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each line that is not empty: "FILE, line N," and its object.

    Raises ValueError, naming file and line, for a file that is no .jsonl and a line that is no JSON object.
    """
    if not isinstance(source, str | os.PathLike):
        yield from _objects(Path(name_of(source)), source)
        return
    path = check(source)
    if not has_kind(path.name, ".jsonl"):
        raise ValueError(f"{path} is not a .jsonl file: a task takes one with one item per line (also .gz or .zst).")
    with opened(path) as (stream, _):
        yield from _objects(path, stream)


def _objects(path: Path, stream: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, record in json_lines(path, stream):
        if not isinstance(record, dict):
            raise ValueError(f"{where} holds no object: it needs the published format of the task.")
        yield where, record


def text_of(record: dict[str, Any], key: str, where: str) -> str:
    """The text in a field; raises ValueError when there is none."""
    text = record.get(key)
    if not isinstance(text, str) or not text.strip():
        have = f"it has {', '.join(map(str, record))}" if record else "it has none"
        raise ValueError(f"{where} has no text in a field {key!r} ({have}): is it another task's file?")
    return text


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """`limit` of the items, evenly spread over all: the beginning of a file may be of one kind."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[n * len(items) // limit] for n in range(limit)]
