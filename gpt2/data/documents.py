"""The documents of a text file, as a stream that never holds more than a piece of one.

In: a .txt file or a .jsonl file, either of them perhaps compressed (.gz). Out: the text of one document after
the other. `gpt2/data/prepare.py` and the evaluation read them next.

In a .txt file a line that holds `<|endoftext|>` and nothing else ends a document. The new line before it
belongs to the separator; all else is the document's own text, unchanged. A file without one is one document.
In a .jsonl file every line is an object, and one of its fields is the document.
"""

import codecs
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from gpt2.tokenizer import EOT

SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
PIECE_BYTES = 1 << 20
"""A longer document comes in pieces of about this size."""

Progress = Callable[[int], None]


def documents(path: str | os.PathLike[str], field: str = "text") -> Iterator[str]:
    """The documents of a file, in order; empty ones are left out.

    Raises ValueError, with the file's name, for a missing file, an unknown kind of file, bytes that are not
    UTF-8, broken compression, a .jsonl line without a text in `field`, and a file without any document.
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
    path: str | os.PathLike[str], field: str = "text", progress: Progress | None = None
) -> Iterator[tuple[str, bool]]:
    """The documents of a file in pieces: (text, whether it is the document's last piece).

    A document is cut only before white space that follows something else, where GPT-2's tokenizer cuts anyway
    (`Tokenizer.splits_before_space`). `progress` is told how many bytes of the file are read. Raises as
    `documents`, but not for a file without documents.
    """
    path = check(path)
    lines = ".jsonl" in path.suffixes
    try:
        with open(path, "rb") as file:
            stream = gzip.GzipFile(fileobj=file, mode="rb") if path.suffix == ".gz" else file
            reader = io.BufferedReader(stream, PIECE_BYTES)
            for piece in _json_lines(path, reader, field) if lines else _text(path, reader):
                if progress:
                    progress(file.tell())
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is a damaged .gz file ({error}): fetch it again.") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from None


def check(path: str | os.PathLike[str]) -> Path:
    """The path, if it is a file of a known kind; raises ValueError otherwise."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory: name the files in it ({', '.join(SUFFIXES)}).")
    if not path.exists():
        raise ValueError(f"{path} does not exist: check the file's name.")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path} may not be read: change its permissions.")
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"{path} is of an unknown kind: known are {', '.join(SUFFIXES)}.")
    return path


def _text(path: Path, stream: BinaryIO) -> Iterator[tuple[str, bool]]:
    decoder = _Utf8(path)
    lines: list[bytes] = []  # of this document, not yet decoded
    text = ""  # of this document, decoded and not yet handed out: it may end with the separator's new line
    size, limit = 0, PIECE_BYTES
    in_line = began = False  # within a line longer than a piece; some of this document is handed out
    while line := stream.readline(PIECE_BYTES):
        if not in_line and line in _SEPARATORS:
            text += decoder.decode(b"".join(lines), final=True)
            windows = line.endswith(b"\r\n") and text.endswith("\r\n")
            text = text.removesuffix("\r\n" if windows else "\n")
            decoder.skip(len(line))
            if text or began:
                yield text, True
            lines, text, size, limit, began = [], "", 0, PIECE_BYTES, False
            continue
        in_line = not line.endswith(b"\n")
        lines.append(line)
        size += len(line)
        if size < limit:
            continue
        text += decoder.decode(b"".join(lines))
        lines, size = [], 0
        if cut := _last_cut(text):
            yield text[:cut], False
            text, limit, began = text[cut:], PIECE_BYTES, True
        else:
            limit *= 2  # one enormous word: do not search it again for every further piece
    text += decoder.decode(b"".join(lines), final=True)
    if text or began:
        yield text, True


_SEPARATORS = {EOT.encode() + end for end in (b"\n", b"\r\n", b"")}


def _last_cut(text: str) -> int:
    """The last place where white space follows something else; 0 if there is none."""
    for place in range(len(text) - 1, 0, -1):
        if text[place] in " \n" and not text[place - 1].isspace():
            return place
    return 0


class _Utf8:
    """Decodes a file's bytes block by block and knows where in the file a wrong byte stands."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._rest = path, 0, b""

    def decode(self, block: bytes, final: bool = False) -> str:
        data = self._rest + block
        try:
            text, used = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError as error:
            where = self._offset + error.start
            raise ValueError(f"{self._path} is not UTF-8 (byte {where} of its text): convert it first.") from None
        self._rest = data[used:]
        at_start, self._offset = self._offset == 0, self._offset + used
        return text.removeprefix("\ufeff") if at_start else text  # a byte order mark is no text

    def skip(self, n: int) -> None:
        self._offset += n


def _json_lines(path: Path, stream: BinaryIO, field: str) -> Iterator[tuple[str, bool]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, line {number}, is not UTF-8 (byte {error.start} of the line).") from None
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"{path}, line {number}, is not JSON.") from None
        text = record.get(field) if isinstance(record, dict) else None
        if not isinstance(text, str):
            have = f"it has {', '.join(map(str, record))}" if isinstance(record, dict) and record else "it has none"
            raise ValueError(f"{path}, line {number}, has no text in a field {field!r} ({have}): see --field.")
        if text:
            yield text, True
