"""The documents of a file, as a stream that never holds more than a piece of one.

In: a .txt, .md, .jsonl, .ndjson, .json, .csv, .tsv or .parquet file, all but the last perhaps compressed (.gz,
.zst). Out: the text of one document after the other. `gpt2/data/encode.py` and the evaluation read them next.

In a .txt or .md file a line that holds `<|endoftext|>` and nothing else ends a document. The new line before it
belongs to the separator; all else is the document's own text, unchanged. A file without one is one document.
In all others every row has a field, or column, that is the document (`gpt2/data/records.py`). A byte order mark at the
start of a file is no text.

With `split_inline` every `<|endoftext|>` ends a document, wherever it stands: within a line, and within a field. A new
line right after it belongs to it.
"""

import codecs
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from gpt2.base.errors import Failure, to_utf8
from gpt2.data.files import check, has_kind, needs_extra, opened
from gpt2.data.forms import check_form
from gpt2.data.meant import MEND, mend_of, tell_half, without_text
from gpt2.data.records import PIECE_BYTES, ROWS, parquet_rows, records
from gpt2.text.tokenizer import EOT

Piece = tuple[str, bool]
"""Text, and whether the document ends with it."""


def documents(path: str | os.PathLike[str], field: str = "text", split_inline: bool = False) -> Iterator[str]:
    """The documents of a file, in order; empty ones and null are left out.

    Raises ValueError, with the file's name, for a missing file, an unknown kind of file, bytes that are not
    UTF-8, broken compression, a row without a text in `field`, a file without such a column, and a file without any
    document; UsageError when the library for a .zst or .parquet file is not installed.
    """
    yield from _whole(pieces(path, field, split_inline=split_inline), str(path))


def stream_documents(stream: BinaryIO, name: str) -> Iterator[str]:
    """The documents of bytes that come from elsewhere, as those of a .txt file; `name` stands for it in errors.

    Raises ValueError for bytes that are not UTF-8, and where there is no document.
    """
    yield from _whole(_text(Path(name), stream, inline=False), name)


def _whole(found: Iterator[Piece], name: str) -> Iterator[str]:
    parts: list[str] = []
    some = False
    for text, ends in found:
        parts.append(text)
        if ends:
            some = True
            yield "".join(parts)
            parts = []
    if not some:
        raise ValueError(f"{name} holds no document: it is empty.")


def pieces(
    path: str | os.PathLike[str],
    field: str = "text",
    progress: Callable[[int], None] | None = None,
    split_inline: bool = False,
) -> Iterator[Piece]:
    """The documents of a file in pieces: (text, whether it is the document's last piece).

    A document is cut only before white space that follows something else, where GPT-2's tokenizer cuts anyway
    (`Tokenizer.splits_before_space`). `progress` is told how many bytes of the file are read. Raises as
    `documents`, but not for a file without documents.
    """
    path = check(path)
    if has_kind(path.name, ".parquet"):
        for text in _parquet(path, field, progress):
            yield from _split(text, split_inline)
        return
    is_rows = has_kind(path.name, *ROWS)
    with opened(path) as (stream, position):
        for piece in _fields(path, stream, field, split_inline) if is_rows else _text(path, stream, split_inline):
            if progress:
                progress(position())
            yield piece


_SEPARATOR = EOT.encode()
_LONGEST = len(_SEPARATOR) + len(b"\r\n")
_IN_A_FIELD = re.compile(rf"(?:\A|\r?\n){re.escape(EOT)}(?:\r?\n|\Z)|{re.escape(EOT)}(?:\r?\n)?")


def _split(text: str, inline: bool) -> Iterator[Piece]:
    """The documents in the text of a field."""
    for part in _IN_A_FIELD.split(text) if inline and EOT in text else [text]:
        if part:
            yield part, True


def _text(path: Path, stream: BinaryIO, inline: bool) -> Iterator[Piece]:
    data = stream.read(PIECE_BYTES)  # of this document and of those after it, not yet handed out
    offset = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0  # where in the file `data` begins
    data = data[offset:]
    searched = 0  # bytes of `data` in which no separator begins
    limit, began = PIECE_BYTES, False  # whether some of this document is handed out
    final = False
    while not final:
        block = stream.read(PIECE_BYTES)
        data, final, start = data + block, not block, 0
        while found := _find_separator(data, max(start, searched), final, inline):
            begin, end, alone = found
            text = _decode(path, data[start:begin], offset + start)
            if alone:
                windows = data.startswith(b"\r\n", end - 2) and data.endswith(b"\r\n", start, begin)
                text = text.removesuffix("\r\n" if windows else "\n")
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


def _find_separator(data: bytes, start: int, final: bool, inline: bool) -> tuple[int, int, bool] | None:
    """Where the next separator begins and ends, and whether it is a whole line; `final`: no bytes follow `data`.

    One that is no whole line counts if it may be `inline`. None also where the bytes that follow decide.
    """
    while (begin := data.find(_SEPARATOR, start)) >= 0:
        end = begin + len(_SEPARATOR)
        line = next((len(mark) for mark in (b"\n", b"\r\n") if data.startswith(mark, end)), 0)
        begins = begin == 0 or data[begin - 1 : begin] == b"\n"
        if begins and (line or (final and end == len(data))):
            return begin, end + line, True
        if inline:
            return (begin, end + line, False) if line or final or len(data) >= end + len(b"\r\n") else None
        start = end
    return None


def _decode(path: Path, data: bytes, offset: int, final: bool = True) -> str:
    """The text of bytes that stand at `offset` in the file; unless `final`, without an incomplete last character."""
    try:
        return codecs.utf_8_decode(data, "strict", final)[0]
    except UnicodeDecodeError as error:
        where = offset + error.start
        raise ValueError(f"{path} is not UTF-8 (byte {where} of its text): {to_utf8(error)}") from None


def _last_cut(text: str) -> int:
    """The last place where white space follows something else; 0 if there is none."""
    for place in range(len(text) - 1, 0, -1):
        if text[place] in " \n" and not text[place - 1].isspace():
            return place
    return 0


def _fields(path: Path, stream: BinaryIO, field: str, inline: bool) -> Iterator[Piece]:
    first = ""
    for where, row in records(path, stream):
        text = row.get(field) if isinstance(row, dict) else None
        if first and isinstance(row, dict) and field not in row:
            check_form(where, row, first, field)
        if not first and isinstance(text, str):
            tell_half(path, row, field)
        first = f'"{field}"'
        if text is None and isinstance(row, dict) and field in row:
            continue
        if not isinstance(text, str):
            raise without_text(path, where, row, field)
        yield from _split(text, inline)


def _parquet(path: Path, column: str, progress: Callable[[int], None] | None) -> Iterator[str]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise needs_extra(".parquet files") from None
    try:
        schema = parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is a damaged .parquet file ({error}): fetch it again.") from None
    if column not in schema.names:
        mend = mend_of({one.name: "" if pyarrow.types.is_string(one.type) else None for one in schema})
        raise Failure(f"{path} has no column {column!r} (it has {', '.join(schema.names)})", mend, field=None)
    kind = schema.field(column).type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise Failure(f"{path} holds {kind} in column {column!r}, no text", f"{MEND}.", field=None)
    for row in parquet_rows(path, [column], progress):
        if row[column]:
            yield row[column]
