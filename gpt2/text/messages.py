"""What others call the role and the content of a message, and the sentence that says how both are written here.

In: a message that lacks one of them. Out: what to rename. Read next: chat.py, data/conversations.py.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

PARTS = {
    "role": "role from speaker sender author participant",
    "content": "content value text message body utterance",
}
"""Names that others give to the parts of a message, in small letters; the likelier stand first."""
ROLES = {
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("bot", "gpt", "ai", "chatgpt", "model", "chatbot"), "assistant"),
}
"""Roles as others name them."""


def is_message(value: Any) -> bool:
    """Whether it is an object with a role, a sender or a content, as we or as others name them."""
    return isinstance(value, Mapping) and bool({*value} & {"role", "content", "from", "value", "speaker", "sender"})


def mend(message: Mapping[str, Any], names: Iterable[str], messages: Iterable[Any] = ()) -> str:
    """What to do about the parts that a message lacks: those to rename, and those to write.

    messages  the conversation: the roles in it that have other names here are to be renamed as well
    """
    theirs = {name: _theirs(message, name) for name in names}
    renamed = [f'"{found}" to "{name}"' for name, found in theirs.items() if found]
    if role := theirs.get("role"):
        said = dict.fromkeys(str(one.get(role)) for one in messages if isinstance(one, Mapping))
        renamed += [f'the role "{one}" to "{ROLES[one.lower()]}"' for one in said if one.lower() in ROLES]
    to_write = [f'"{name}"' for name, found in theirs.items() if not found]
    parts = [f"rename {', '.join(renamed[:-1])}{' and ' if renamed[1:] else ''}{renamed[-1]}"] if renamed else []
    parts += [f"write a text in {' and '.join(to_write)}"] if to_write else []
    return f"{', and '.join(parts)}."


def _theirs(message: Mapping[str, Any], name: str) -> str:
    """The name under which a message has a text that is called `name` here; "" where it has none."""
    known = {re.sub(r"[\W_]", "", str(key)).lower(): key for key, value in message.items() if isinstance(value, str)}
    return next((str(known[one]) for one in PARTS[name].split() if one in known and known[one] not in PARTS), "")
