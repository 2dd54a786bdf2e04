"""Rows as others write them: what each field of theirs is called here, or what to make of a file that wraps its rows.

In: a row in which no text was found under its name. Out: what to write in its place, for `gpt2 finetune`, or the
command that takes the rows out of what surrounds them. Read next: documents.py.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpt2.base.errors import Failure
from gpt2.base.foreign import plain_name
from gpt2.base.notes import note
from gpt2.base.visible import quoted
from gpt2.data.files import has_kind
from gpt2.data.forms import LAYOUT
from gpt2.data.json_lines import as_rows
from gpt2.data.not_json import typed
from gpt2.data.records import fields_of, kind_of
from gpt2.text.messages import is_message

ASKED = "prompt instruction question query problem request user human inputtext input inputs source src"
ASKED += " article document q"
MORE = "input context passage background"
SAID = "completion output response answer answers target targets targettext tgt reply solution assistant bot outputs"
SAID += " chosen summary highlights a"
SYSTEM = "system systemprompt systemmessage"
"""Names that others give to a field, in small letters and without underscores; the likelier stand first."""
MEND = "name the one that holds the text with {field}"
"""What to do about a field or a column that does not."""
ROWS_OF_COLUMNS = "[to_entries[] | .key as $k | [.value[]] | map({($k): .})] | transpose | .[] | add"
HEADERS = {1: ["text"], 2: ["prompt", "completion"], 3: ["instruction", "input", "output"]}


def without_text(path: Path, where: str, row: Any, field: str) -> ValueError:
    """The error about a row that holds no text in `field`. `where`: the file and the place, for the sentence."""
    if isinstance(row, list):
        if is_turns(row):
            mend = typed(path, ["jq", "-c", ".[] | {messages: .}" if has_kind(path.name, ".json") else "{messages: .}"])
            return ValueError(f'{where} is a list of messages: a row is {{"messages": [...]}}: {mend}.')
        if row and all(isinstance(item, dict) for item in row) and has_kind(path.name, ".jsonl", ".ndjson"):
            return ValueError(f"{where} is a list of {len(row)} objects: {as_rows(path)}.")
    if not isinstance(row, dict):
        return ValueError(f"{where} is {kind_of(row)}: write an object with a text in {field!r}.")
    if {"role", "content"} <= {*row}:
        mend = typed(path, ["jq", "-c" if has_kind(path.name, ".json") else "-sc", "{messages: .}"])
        return ValueError(f"{where} is one message, and a row holds a whole conversation: {mend}, a row for each.")
    if has_kind(path.name, ".csv", ".tsv") and (mend := _without_header(path, row)):
        return ValueError(mend)
    if mend := wrapped(path, row, field):
        return ValueError(f"{where} {mend}.")
    what = f"{where} has no text in a field {field!r} ({fields_of(row)})"
    if field in row:
        what = f"{where} has {kind_of(row[field])} in {field!r}"
        if len(row) == 1:
            return ValueError(f"{what}: write a text there, between quotes.")
        what += ", where a text belongs"
    return Failure(what, mend_of(row), field=None)


def mend_of(row: Mapping[str, Any]) -> str:
    """What to do where the fields of a row, or the columns of a table, have other names; with {field} in it."""
    if said := meant(row):
        return f"for gpt2 finetune, {said}; for a text alone, {MEND}."
    if sum(isinstance(value, str) for value in row.values()) > 1:
        return f'{MEND}; for gpt2 finetune on answers, rename what is asked to "prompt" and the answer to "completion".'
    return f"{MEND}."


def meant(row: Mapping[str, Any]) -> str:
    """What to write for `gpt2 finetune` in place of a row that others train on; empty for any other row."""
    if any(map(is_turns, row.values())):
        return LAYOUT.rstrip(".")
    known = {re.sub(r"[\W_]", "", str(name)).lower(): str(name) for name in reversed([*row])}
    asked, said, system = (_first(names, known) for names in (ASKED, SAID, SYSTEM))
    more = _first(MORE, {name: theirs for name, theirs in known.items() if theirs != asked})
    if not asked or not said:
        return ""
    if system:
        turns = ", ".join(f'{{"role": "{role}", "content": ...}}' for role in ("system", "user", "assistant"))
        return f'write the text of "{system}" as the first of three messages, {{"messages": [{turns}]}}'
    names = {asked: "instruction", more: "input", said: "output"} if more else {asked: "prompt", said: "completion"}
    renamed = [f'"{theirs}" to "{ours}"' for theirs, ours in names.items() if theirs != ours]
    texts = [f'"{ours}" ({kind_of(row[theirs])} now)' for theirs, ours in names.items() if _is_no_text(row[theirs])]
    parts = [f"rename {_listed(renamed)}"] if renamed else []
    parts += [f"write a text in {_listed(texts)}"] if texts else []
    return ", and ".join(parts)


def tell_unread(called: str, unread: Iterable[str]) -> None:
    """Say in one note which fields of rows to fine-tune on nothing reads. `called`: what the note calls the rows."""
    names = [f'"{plain_name(name)}"' for name in unread]
    if names:
        systems = [name for name in unread if re.sub(r"[\W_]", "", name).lower() in SYSTEM.split()]
        more = ' A system message is a message: write {"messages": [{"role": "system", "content": ...}, ...]}.'
        shown = _listed([*names[:5], *([f"{len(names) - 5} more"] if len(names) > 5 else [])])
        note(f"{called}: {shown} {'is' if len(names) == 1 else 'are'} not read.{more if systems else ''}")


def tell_half(path: Path, row: Mapping[str, Any], field: str) -> None:
    """Say so where a text is chosen out of a row that asks and answers."""
    if field != "text" and (said := meant(row)):
        note(f"{path}: only {field!r} is read, as a text; to fine-tune on answers, {said}.")


def is_turns(value: Any) -> bool:
    """Whether it is a conversation: a list of messages, each with a role or a sender."""
    return isinstance(value, list) and bool(value) and all(map(is_message, value))


def is_table(row: Mapping[str, Any]) -> bool:
    """Whether it is a whole table, column by column: lists of one length, or objects with numbers as names (pandas)."""
    parts = [*row.values()]
    if any(map(is_turns, parts)) or not parts:
        return False
    if all(isinstance(part, dict) and part and all(name.isdigit() for name in part) for part in parts):
        return True
    lists = [part for part in parts if isinstance(part, list) and part and all(isinstance(v, str) for v in part)]
    return len(lists) == len(parts) > 1 and len({*map(len, lists)}) == 1


def wrapped(path: Path, row: Mapping[str, Any], field: str = "text") -> str:
    """What a value is that has the rows within it, and the command that takes them out; "" for a row."""
    if is_table(row):
        rows = typed(path, ["jq", "-c", ROWS_OF_COLUMNS])
        return f"holds columns, each with all of its values, where a row belongs: {rows}"
    lists = {name: value for name, value in row.items() if isinstance(value, list) and value and not is_turns(value)}
    for name, value in lists.items():
        place = f".{name}" if re.fullmatch(r"[A-Za-z_]\w*", name) else f".[{json.dumps(name)}]"
        if all(isinstance(item, dict) for item in value):
            rows = typed(path, ["jq", place], "rows.json")
            return f"holds a list of {len(value)} rows in {plain_name(name)!r}: write that list alone: {rows}"
        if all(isinstance(item, str) for item in value) and len(row) == 1 and name != field:
            rows = typed(path, ["jq", f"[{place}[] | {{text: .}}]"], "rows.json")
            return f"holds a list of {len(value)} texts in {plain_name(name)!r}: write each as a row: {rows}"
    if len(row) > 1 and has_kind(path.name, ".json") and all(isinstance(value, dict) for value in row.values()):
        rows = typed(path, ["jq", "[.[]]"], "rows.json")
        return f"holds {len(row)} objects, each under a name: write them as a list: {rows}"
    return ""


def _without_header(path: Path, row: Mapping[str, Any]) -> str:
    """The sentence about a table whose first line is no names of columns; "" for one that looks like names."""
    if not any(re.search(r"[.!?]$|^[\d.]*$|\S\s+\S+\s+\S+\s+\S", name.strip()) or len(name) > 40 for name in row):
        return ""
    names = HEADERS.get(len(row), [f"column{number}" for number in range(1, len(row))] + ["text"])
    line = ("\t" if has_kind(path.name, ".tsv") else ",").join(names)
    show = {".gz": "gzip -dc", ".zst": "zstd -dc"}.get(path.suffix.lower(), "cat")
    named = quoted(f"named_{path.name if show == 'cat' else path.stem}")
    command = f"`(echo {quoted(line)}; {show} {quoted(str(path))}) > {named}`, and use {named}"
    what = f"the first line of {path} must name its columns, and it looks like a row"
    return f"{what}: put the line {line.replace(chr(9), ' (tab) ')} before it: type {command}."


def _is_no_text(value: Any) -> bool:
    return value is not None and not isinstance(value, str)


def _first(names: str, known: Mapping[str, str]) -> str:
    return next((known[name] for name in names.split() if name in known), "")


def _listed(words: list[str]) -> str:
    return " and ".join([*filter(None, [", ".join(words[:-1])]), *words[-1:]])
