"""The documents of a file, as a stream that never holds more than a piece of one.

In: a .txt, .jsonl or .parquet file, the first two perhaps compressed (.gz, .zst). Out: the text of one document
after the other. `gpt2/data/encode.py` and the evaluation read them next.

In a .txt file a line that holds `<|endoftext|>` and nothing else ends a document. The new line before it
belongs to the separator; all else is the document's own text, unchanged. A file without one is one document.
In a .jsonl file every line is an object, and one of its fields is the document; in a .parquet file every row of
one column is. A byte order mark at the start of a file is no text.
"""

import codecs
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from gpt2.base.errors import TO_UTF8, Failure
from gpt2.data.files import check, has_kind, needs_extra, opened
from gpt2.data.json_lines import json_lines
from gpt2.text.tokenizer import EOT

PIECE_BYTES = 1 << 20
"""A longer document comes in pieces of about this size."""

MEND = "name the one that holds the text with {field}."
"""What to do about a field or a column that does not."""

Piece = tuple[str, bool]
"""Text, and whether the document ends with it."""


def documents(path: str | os.PathLike[str], field: str = "text") -> Iterator[str]:
    """The documents of a file, in order; empty ones and null are left out.

    Raises ValueError, with the file's name, for a missing file, an unknown kind of file, bytes that are not
    UTF-8, broken compression, a .jsonl line without a text in `field`, a .parquet file without such a column,
    and a file without any document; UsageError when the library for a .zst or .parquet file is not installed.
    """
    parts: list[str] = []
    found = False
    for text, ends in pieces(path, field):
        parts.append(text)
        if ends:
            found = True
            yield "".join(parts)
            parts = []
    if not found:
        raise ValueError(f"{path} holds no document: it is empty.")


def pieces(
    path: str | os.PathLike[str], field: str = "text", progress: Callable[[int], None] | None = None
) -> Iterator[Piece]:
    """The documents of a file in pieces: (text, whether it is the document's last piece).

    A document is cut only before white space that follows something else, where GPT-2's tokenizer cuts anyway
    (`Tokenizer.splits_before_space`). `progress` is told how many bytes of the file are read. Raises as
    `documents`, but not for a file without documents.
    """
    path = check(path)
    if has_kind(path.name, ".parquet"):
        yield from _parquet(path, field, progress)
        return
    lines = has_kind(path.name, ".jsonl")
    with opened(path) as (stream, position):
        for piece in _fields(path, stream, field) if lines else _text(path, stream):
            if progress:
                progress(position())
            yield piece


_SEPARATOR = EOT.encode()
_LONGEST = len(_SEPARATOR) + len(b"\r\n")


def _text(path: Path, stream: BinaryIO) -> Iterator[Piece]:
    data = stream.read(PIECE_BYTES)  # of this document and of those after it, not yet handed out
    offset = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0  # where in the file `data` begins
    data = data[offset:]
    searched = 0  # bytes of `data` in which no separator begins
    limit, began = PIECE_BYTES, False  # whether some of this document is handed out
    final = False
    while not final:
        block = stream.read(PIECE_BYTES)
        data, final, start = data + block, not block, 0
        while found := _find_separator(data, max(start, searched), final):
            begin, end = found
            windows = data.startswith(b"\r\n", end - 2) and data.endswith(b"\r\n", start, begin)
            text = _decode(path, data[start:begin], offset + start).removesuffix("\r\n" if windows else "\n")
            if text or began:
                yield text, True
            start, began, limit = end, False, PIECE_BYTES
        data, offset = data[start:], offset + start
        if len(data) >= limit and not final:
            text = _decode(path, data, offset, final=False)
            if cut := _last_cut(text):
                yield text[:cut], False
                used = len(text[:cut].encode())
                data, offset = data[used:], offset + used
                limit, began = PIECE_BYTES, True
            else:
                limit *= 2  # one enormous word: do not search it again for every further block
        searched = max(0, len(data) - _LONGEST)
    text = _decode(path, data, offset)
    if text or began:
        yield text, True


def _find_separator(data: bytes, start: int, final: bool) -> tuple[int, int] | None:
    """Where the next line that separates documents begins and ends; `final`: no bytes follow `data`."""
    while (begin := data.find(_SEPARATOR, start)) >= 0:
        end = begin + len(_SEPARATOR)
        if begin == 0 or data[begin - 1 : begin] == b"\n":
            if data.startswith((b"\n", b"\r\n"), end):
                return begin, data.index(b"\n", end) + 1
            if final and end == len(data):
                return begin, end
        start = end
    return None


def _decode(path: Path, data: bytes, offset: int, final: bool = True) -> str:
    """The text of bytes that stand at `offset` in the file; unless `final`, without an incomplete last character."""
    try:
        return codecs.utf_8_decode(data, "strict", final)[0]
    except UnicodeDecodeError as error:
        where = offset + error.start
        raise ValueError(f"{path} is not UTF-8 (byte {where} of its text): {TO_UTF8}") from None


def _last_cut(text: str) -> int:
    """The last place where white space follows something else; 0 if there is none."""
    for place in range(len(text) - 1, 0, -1):
        if text[place] in " \n" and not text[place - 1].isspace():
            return place
    return 0


def _fields(path: Path, stream: BinaryIO, field: str) -> Iterator[Piece]:
    for where, record in json_lines(path, stream):
        text = record.get(field) if isinstance(record, dict) else None
        if text is None and isinstance(record, dict) and field in record:
            continue
        if not isinstance(text, str):
            have = f"it has {', '.join(map(str, record))}" if isinstance(record, dict) and record else "it has none"
            raise Failure(f"{where} has no text in a field {field!r} ({have})", MEND, field=None)
        if text:
            yield text, True


def _parquet(path: Path, column: str, progress: Callable[[int], None] | None) -> Iterator[Piece]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise needs_extra(".parquet files") from None
    size = path.stat().st_size
    try:
        # A buffer of its own for each column: otherwise a whole group of rows would be held at once.
        with parquet.ParquetFile(path, buffer_size=PIECE_BYTES, pre_buffer=False) as file:
            names, rows = file.schema_arrow.names, file.metadata.num_rows
            if column not in names:
                raise Failure(f"{path} has no column {column!r} (it has {', '.join(names)})", MEND, field=None)
            kind = file.schema_arrow.field(column).type
            if pyarrow.types.is_dictionary(kind):
                kind = kind.value_type
            if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
                raise Failure(f"{path} holds {kind} in column {column!r}, no text", MEND, field=None)
            done = 0
            for batch in file.iter_batches(batch_size=64, columns=[column]):
                done += len(batch)
                if progress:
                    progress(size * done // rows)
                for value in batch.column(0):
                    if text := value.as_py():
                        yield text, True
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is a damaged .parquet file ({error}): fetch it again.") from None
