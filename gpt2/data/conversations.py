"""Conversations to learn answers from: rows of "messages", and instructions with outputs, to examples.

In: a file of rows. Out: for each row the ids of the conversation as the checkpoint's chat template writes it. The
assistant's are to be predicted, in all of its turns. Read next: gpt2/text/chat.py, which tells them apart; examples.py.

A row of {"instruction", "input", "output"} (the layout of Stanford's Alpaca) is a conversation of two messages: the
user's is the instruction and, after an empty line, the input if there is one; the assistant's is the output.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpt2.base.errors import Failure
from gpt2.data.examples import Example
from gpt2.data.forms import ALPACA, CHAT, KEYS, LAYOUT, LONG, check_form, form_of, is_conversation
from gpt2.data.records import all_records, fields_of, kind_of
from gpt2.text.chat import Chat
from gpt2.text.messages import ROLES, mend

VARIABLES = ("tools", "documents")
"""Fields of a row, beside the messages, that a template may read."""
READ = (*CHAT, *VARIABLES, *ALPACA, "input", *KEYS)
"""Fields that are read of a row of any form, beside the one that holds a text."""


def conversations(
    path: Path,
    chat: Chat,
    context: int,
    spelled: Counter[str] | None = None,
    skipped: list[str] | None = None,
    unread: Counter[str] | None = None,
) -> Iterator[Example]:
    """The examples of a file, whole, also where one goes past the `context`.

    spelled  counts special tokens that messages spell and that are read as ordinary text
    skipped  is given the place of each conversation whose first answer lies past the context, which is left out
    unread   counts the fields with values that nothing reads

    Raises ValueError naming file and line for what is no conversation with an answer, for a row of another form than
    the first, for what the template refuses, and, without `skipped`, for a conversation whose first answer lies past
    the context.
    """
    earlier = ""
    for where, row in all_records(path):
        earlier = earlier or form_of(row)
        if not is_conversation(row):
            check_form(where, row, earlier)
        messages = messages_of(where, row)
        if spelled is not None and not chat.allow_special:
            for message in messages:
                spelled.update(chat.spelled.count(message.get("content") or ""))
        if unread is not None:
            read = (*VARIABLES, *(CHAT if "messages" in row else (*ALPACA, "input")))
            unread.update(name for name, value in row.items() if name not in read and value not in (None, ""))
        more = {name: row[name] for name in VARIABLES if row.get(name) is not None}
        try:
            encoded = chat.encode(messages, **more)
        except ValueError as error:
            raise ValueError(f"{where} cannot be written as a conversation: {error}") from None
        said = encoded.answer
        said[:1] = False  # nothing stands before the first id
        if not said.any():
            raise ValueError(f"{where} has no answer in what the chat template writes: look at the template.")
        first = int(said.argmax())
        if first > context:
            if skipped is None:
                what = f"{where} has {len(encoded.ids):,} tokens, {first:,} of them before its first answer"
                raise Failure(f"{what}, but the context is {context:,}", LONG, skip_long=True)
            skipped.append(where)
            continue
        yield Example(np.array(encoded.ids, dtype=np.int32), first, said)


def messages_of(where: str, row: Any) -> list[dict[str, Any]]:
    """The messages of a row. ValueError, beginning with `where`, for what is none or has no answer."""
    if not isinstance(row, dict):
        raise ValueError(f"{where} is {kind_of(row)}: {LAYOUT}")
    if "messages" not in row:
        return _alpaca(where, row)
    messages = row["messages"]
    if not isinstance(messages, list) or not messages:
        what = "an empty list" if messages == [] else kind_of(messages)
        raise ValueError(f'{where} has {what} in "messages": {LAYOUT}')
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict):
            raise ValueError(f"{where} has {kind_of(message)} as message {number}: {LAYOUT}")
        needed = ["role"] if message.get("tool_calls") else ["role", "content"]
        if names := [name for name in needed if name not in message]:
            said = " and ".join(f'no "{name}"' for name in names)
            what = f"{where} has {said} of message {number} ({fields_of(message)})"
            raise ValueError(f"{what}: {mend(message, names, messages)}")
        _check_text(where, message, "role", f" of message {number}")
        if not (message.get("content") is None and message.get("tool_calls")):
            _check_text(where, message, "content", f" of message {number}")
    if not any(message["role"] == "assistant" for message in messages):
        roles = list(dict.fromkeys(message["role"] for message in messages))
        other = [f'"{role}" to "{ROLES[role.lower()]}"' for role in roles if role.lower() in ROLES]
        instead = f"rename {' and '.join(other)}." if other else "so nothing to learn."
        what = f'{where} has no message of the role "assistant" (it has {", ".join(roles)})'
        raise ValueError(f"{what}{': ' if other else ', '}{instead}")
    return messages


def _alpaca(where: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    for name in ALPACA:
        _check_text(where, row, name)
    if row.get("input") is not None:
        _check_text(where, row, "input")
    for name in ALPACA:
        if not row[name].strip():
            raise ValueError(f"{where} has an empty {name}: write some text, or leave the row out.")
    asked = "\n\n".join(text for text in (row["instruction"], row.get("input")) if text)
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]


def _check_text(where: str, row: Mapping[str, Any], name: str, of: str = "") -> None:
    if name not in row:
        raise ValueError(f'{where} has no "{name}"{of} ({fields_of(row)}): write a text there.')
    if not isinstance(row[name], str):
        raise ValueError(f'{where} has {kind_of(row[name])} in "{name}"{of}: write a text there, between quotes.')
