"""Why a text is no JSON, in words, and the command that makes JSON of it.

In: the text that a library could not read. Out: what follows "is not JSON" in a sentence. Read next: json_lines.py,
records.py.
"""

import ast
import json
import re
import warnings
from pathlib import Path
from typing import Any

from gpt2.base.visible import quoted

FAULTS = {
    "Expecting property name": "a name in double quotes is missing, or a comma is too many",
    "Illegal trailing comma": "a comma is too many",
    "Expecting ',' delimiter": "a comma is missing, or a quotation mark within a text has no backslash before it",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting value": "a value is missing, or has no double quotes",
    "Extra data": "more stands after the end of the value, which has a line of its own",
    "Unterminated string": "a text has no quotation mark at its end",
    "Invalid control character": "a tab or a new line within a text is written as \\t or \\n",
    "Invalid \\": "a backslash within a text is written twice",
}
"""What Python's reader says, by its beginning, and what is wrong then."""
LONGEST = 100_000  # characters of a line that is read as Python
FROM_PYTHON = "import ast, json, sys; [print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]"
LIST_FROM_PYTHON = "import ast, json, sys; print(json.dumps(ast.literal_eval(sys.stdin.read())))"


def why(path: Path, text: str, lines: bool = True) -> str:
    """The reason, with ": " before it, and what to type where a command mends it; "" where none is known.

    text   a line of the file, or what stands in it from the place that could not be read
    lines  whether each line of the file is a value
    """
    start = text.strip()
    if lines and start.endswith(",") and _value(json.loads, start[:-1]) is not None:
        return f": a comma stands after the row: {typed(path, ['sed', 's/,[[:space:]]*$//'])}"
    python = len(start) < LONGEST and re.search("'|None|True|False", start) and _value(ast.literal_eval, start)
    if start[:1] in ("[", "{") and (python or re.match(r"[\[{]\s*'", start)):
        command = ["python3", "-c", FROM_PYTHON if lines else LIST_FROM_PYTHON]
        said = "it is written as Python writes it, with single quotes, True or None"
        return f": {said}: {typed(path, command, 'lines.jsonl' if lines else 'rows.json')}"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if lines and error.msg == "Expecting value" and start and start[0] not in "[{":
            return ': it must be an object, such as {"text": "..."}, and a file of plain text must end in .txt'
        if lines and (end := _end(start)):
            return f": it ends too early: put {end} at its end"
        fault = next((said for begins, said in FAULTS.items() if error.msg.startswith(begins)), "")
        where = f"character {error.colno}" if lines else f"character {error.pos + 1} of the value that begins there"
        return f": {fault} (at {where})" if fault else ""
    except (ValueError, RecursionError):
        pass
    return ""


def _end(start: str) -> str:
    """What a row that is cut off lacks to be an object; "" where no end makes it one."""
    ends = ("}", '"}', "]}", '"]}', "}]}", '"}]}')
    return next((end for end in ends if isinstance(_value(json.loads, start + end), dict)), "")


def typed(path: Path, command: list[str], target: str = "lines.jsonl") -> str:
    """Such as "type `jq -c . a.jsonl > lines.jsonl`, and use lines.jsonl": a command that reads the file and prints."""
    target = target if path.name != target else f"new_{target}"
    said, file = " ".join(map(quoted, command)), quoted(str(path))
    unpacked = {".gz": f"gzip -dc {file} | {said}", ".zst": f"zstd -dc {file} | {said}"}
    return f"type `{unpacked.get(path.suffix.lower(), f'{said} < {file}')} > {target}`, and use {target}"


def _value(read: Any, text: str) -> Any:
    """What a reader makes of a text; None where it can make nothing of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
