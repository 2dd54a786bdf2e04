"""The rows of a file: objects with named fields, whatever kind of file holds them.

In: a .jsonl, .ndjson, .json, .csv, .tsv or .parquet file. Out: each row as a dict, with where it stands. Documents
(documents.py) and rows to fine-tune on (completions.py, conversations.py) are read with it.

A .json file holds a list of rows, or one row. A .csv file is UTF-8 with commas, a .tsv file
with tabs, and the first line names the columns.
"""

import codecs
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gpt2.base.errors import to_utf8
from gpt2.data.files import has_kind, needs_extra, opened
from gpt2.data.json_lines import json_lines
from gpt2.data.not_json import why

PIECE_BYTES = 1 << 20
ROWS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Kinds of files whose rows are read as a stream of bytes."""
TAB = "\t"
SEPARATORS = {",": "commas", ";": "semicolons", TAB: "tabs"}


def all_records(path: Path) -> Iterator[tuple[str, Any]]:
    """("FILE, line N,", row) for each row of a file; nothing for a file of another kind.

    Raises ValueError, naming the file and the place, for bytes and rows that cannot be read.
    """
    if has_kind(path.name, ".parquet"):
        for number, row in enumerate(parquet_rows(path), start=1):
            yield f"{path}, row {number},", row
    elif has_kind(path.name, *ROWS):
        with opened(path) as (stream, _):
            yield from records(path, stream)


def records(path: Path, stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The same for the bytes of a file that is not .parquet."""
    if has_kind(path.name, ".csv", ".tsv"):
        return csv_rows(path, stream, "," if has_kind(path.name, ".csv") else TAB)
    return json_items(path, stream) if has_kind(path.name, ".json") else json_lines(path, stream)


def json_items(path: Path, stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The items of a list in a .json file, or its one value; held is one item and a piece of the file."""
    decoder, utf8 = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8-sig")()
    text, place, line, final, size = "", 0, 1, False, PIECE_BYTES
    is_list: bool | None = None
    read = 0

    def more() -> None:
        nonlocal text, place, line, final, read
        data = stream.read(size)
        final = not data
        try:
            added = utf8.decode(data, final)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 (byte {max(0, read + error.start)}): {to_utf8(error)}") from None
        read += len(data)
        line += text.count("\n", 0, place)
        text, place = text[place:] + added, 0

    def skip(characters: str) -> str:
        """Go to the next character that is none of these; empty at the end of the file."""
        nonlocal place
        while True:
            while place < len(text) and text[place] in characters:
                place += 1
            if place < len(text) or final:
                return text[place : place + 1]
            more()

    def where() -> str:
        return f"{path}, line {line + text.count(chr(10), 0, place)},"

    space = " \t\r\n"
    first = skip(space)
    if not first:
        return
    is_list = first == "["
    place += is_list
    began = False
    while True:
        found = skip(space)
        if is_list and began and found == ",":
            place += 1
            found = skip(space)
        elif is_list and began and found not in ("]", ""):
            raise ValueError(f"{where()} is not JSON: a comma is missing.")
        if is_list and found == "]":
            place += 1
            break
        if not found:
            raise ValueError(f"{where()} is not JSON: the list has no end.")
        while True:
            try:
                value, end = decoder.raw_decode(text, place)
                if end < len(text) or final:
                    break
            except (ValueError, RecursionError):  # ValueError: also a number of thousands of digits
                if final:
                    raise ValueError(f"{where()} is not JSON{why(path, text[place:], lines=False)}.") from None
            more()
            size *= 2
        size = PIECE_BYTES
        yield where(), value
        place, began = end, True
        if not is_list:
            break
    if skip(space):
        what = f"{where()} is not JSON: more stands after its {'list' if is_list else 'first value'}"
        mend = "" if is_list else ": where each line is a row, let the name of the file end in .jsonl"
        raise ValueError(f"{what}{mend}.")


def csv_rows(path: Path, stream: BinaryIO, separator: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a .csv or .tsv file by the names in its first line."""
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    before = csv.field_size_limit(sys.maxsize)  # one for the whole process: it is put back
    reader = csv.reader(lines, strict=True, delimiter=separator)
    try:
        names: list[str] | None = None
        while True:
            csv.field_size_limit(sys.maxsize)
            row = next(reader, None)
            csv.field_size_limit(before)
            if row is None:
                return
            where = f"{path}, line {reader.line_num},"
            if not row:
                continue
            if names is None:
                names = row
                refuse_other_separator(where, names, separator)
                if len(set(names)) < len(names):
                    raise ValueError(f"{path} names a column twice in its first line: rename one of them.")
                continue
            if len(row) != len(names):
                raise ValueError(
                    f"{where} has {len(row)} columns, and the first line names {len(names)}: put a text with "
                    f"{SEPARATORS[separator]} or line ends between double quotes."
                )
            yield where, dict(zip(names, row))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (after line {reader.line_num}): {to_utf8(error)}") from None
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}, is not CSV ({error}).") from None
    finally:
        csv.field_size_limit(before)
        lines.detach()


def refuse_other_separator(where: str, names: list[str], separator: str) -> None:
    """ValueError for a first line that names one column where another separator would make several of it."""
    for other, plural in SEPARATORS.items():
        if len(names) == 1 and other != separator and len(names[0].split(other)) > 1 and all(names[0].split(other)):
            raise ValueError(
                f"{where} names one column, {names[0]!r}: columns are separated by {SEPARATORS[separator]} here, not "
                f"by {plural}, so save the table again with {SEPARATORS[separator]}"
                f"{', or let the name of the file end in .tsv' if other == TAB else ''}."
            )


def parquet_rows(
    path: Path, columns: list[str] | None = None, progress: Callable[[int], None] | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a .parquet file, of all columns or some; `progress` is told how many bytes of it are read."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise needs_extra(".parquet files") from None
    size = path.stat().st_size
    try:
        # A buffer of its own for each column: otherwise a whole group of rows would be held at once.
        with parquet.ParquetFile(path, buffer_size=PIECE_BYTES, pre_buffer=False) as file:
            done = 0
            for batch in file.iter_batches(batch_size=64, columns=columns):
                done += len(batch)
                if progress:
                    progress(size * done // file.metadata.num_rows)
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is a damaged .parquet file ({error}): fetch it again.") from None


def kind_of(value: Any) -> str:
    """What a value of JSON is, in a sentence: "a number", "null", "a list"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {value}"
    names = {str: "a text", list: "a list", dict: "an object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), f"a {type(value).__name__}")


def fields_of(row: Any) -> str:
    """What a row has, for a sentence."""
    names = [str(name) for name in row] if isinstance(row, dict) else []
    return f"it has {', '.join(names)}" if names else "it has none"
