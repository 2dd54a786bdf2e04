"""A .jsonl file's lines.

In: a file opened for reading. Out: the value of each line that is not empty, and where it stands. Documents, prompts
with completions, and the items of evaluation tasks are read with it.
"""

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gpt2.base.errors import to_utf8
from gpt2.base.foreign import parse_json
from gpt2.data.not_json import typed, why


def json_lines(path: Path, stream: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """("FILE, line N,", value) for each line; a byte order mark at the start of the file is no text.

    A field may hold a number that is not finite (NaN), as Python writes it: whoever reads the field judges it.

    Raises ValueError, naming file and line, for what is not UTF-8 or not JSON.
    """
    for number, line in enumerate(stream, start=1):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line.strip():
            continue
        where = f"{path}, line {number},"
        try:
            value = parse_json(line.decode("utf-8"), any_number=True)
        except UnicodeDecodeError as error:
            raise ValueError(f"{where} is not UTF-8 (byte {error.start} of the line): {to_utf8(error)}") from None
        except ValueError as error:
            reason = "" if str(error).startswith("line ") else f" that can be read here: {error}"
            start = line.strip()
            if number == 1 and start.startswith(b"["):
                raise ValueError(f"{where} begins a list: {as_rows(path)}.") from None
            if start == b"{":
                what = f"{where} begins a value that goes on in the next line"
                raise ValueError(f"{what}: a value must stand on one line: {typed(path, ['jq', '-c', '.'])}.") from None
            raise ValueError(f"{where} is not JSON{reason or why(path, line.decode('utf-8'))}.") from None
        yield where, value


def as_rows(path: Path) -> str:
    """What to do with a file that is one list of rows, where each line should be a row."""
    return f"each row must stand on a line of its own, without the list: {typed(path, ['jq', '-c', '.[]'])}"
