"""The forms that rows to fine-tune on may have, told apart by their fields; a file holds rows of one form.

In: a row. Out: its form, as a sentence calls it; or an error for a row of another form than the first. Read next:
completions.py, conversations.py, documents.py.
"""

from typing import Any

CHAT, ALPACA, KEYS = ("messages",), ("instruction", "output"), ("prompt", "completion")
LAYOUT = 'write {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}.'
LONG = "shorten it, or leave such rows out with {skip_long}."
"""What to do about a row whose answer would begin past the context."""


def is_conversation(row: Any) -> bool:
    """Whether a row holds messages, or an instruction with an output."""
    return isinstance(row, dict) and ("messages" in row or all(name in row for name in ALPACA))


def is_completion(row: Any) -> bool:
    """Whether a row holds a prompt or a completion."""
    return isinstance(row, dict) and any(name in row for name in KEYS)


def form_of(row: Any, field: str = "text") -> str:
    """The fields by which a row is known, for a sentence; empty for a row of no known form.

    field  that of a text
    """
    if not isinstance(row, dict):
        return ""
    for names in (CHAT, ALPACA, KEYS):
        found = [f'"{name}"' for name in names if name in row]
        if len(found) == len(names) or (found and names is KEYS):
            return " and ".join(found)
    return f'"{field}"' if field in row else ""


def check_form(where: str, row: Any, first: str, field: str = "text") -> None:
    """Raise ValueError for a row that has another known form than the first; one of no form is judged elsewhere.

    where  the file and the place of the row, for the sentence
    first  the form of the first row
    """
    form = form_of(row, field)
    if form and form != first:
        raise ValueError(
            f"{where} has {form}, while the first row has {first}: all rows must have one form, so leave this one out."
        )
