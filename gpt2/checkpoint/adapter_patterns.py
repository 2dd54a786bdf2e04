"""The regular expressions of an adapter_config.json, matched as `re` matches them, but never for ever.

In: a pattern and the name of a module. Out: what its named groups caught, or None. A pattern with repetitions inside
one another can take longer than the world has time: so only what is plainly quick is matched here, and anything else
in a process of its own with a limit. Read next: adapter_targets.py.
"""

import math
import re
from typing import Any

from gpt2.base.foreign import in_words, shortened
from gpt2.base.limited import Limited

SECONDS = 1.0
"""Of processor time, for one pattern and one name."""
MEMORY = 2**29
"""Bytes of addresses."""
_WAYS = 3e6
"""How many ways through a name a pattern may have to be matched here."""


def match(field: str, pattern: str, name: str, whole: bool = False) -> dict[str, Any] | None:
    """The named groups where the pattern matches the beginning of `name`, or the `whole` of it; None where it does not.

    field   where the pattern stands

    Raises ValueError, beginning with the field's name, for what is no regular expression, and for one that needs more
    than `SECONDS`.
    """
    said = f"{field} holds {shortened(pattern)}"
    try:
        found = answer(pattern, name, whole) if is_quick(pattern) else _PATTERNS.ask(SECONDS, pattern, name, whole)
    except ValueError as error:
        raise ValueError(f"{said}, {error}") from None
    if isinstance(found, str):
        raise ValueError(f"{said}, no regular expression ({found}): mend it.")
    return found


def is_quick(pattern: str) -> bool:
    """Whether no repetition can stand in another, and those that follow one another are few, by the characters alone.

    Each repetition may end at every character of a name, of which there are about 60; each choice doubles the ways.
    """
    plain = re.sub(r"([*+?}])\?", r"\1", re.sub(r"\(\?(:|P<\w+>)", "(", pattern))
    if len(pattern) > 1000 or re.search(r"\)[*+{]|\(\?", plain):
        return False
    repeated, choices = len(re.findall(r"[*+{?]", plain)), plain.count("|")
    return repeated <= 4 and 60**repeated / math.factorial(repeated) * 2**choices <= _WAYS


def answer(pattern: str, name: str, whole: bool) -> dict[str, Any] | str | None:
    """The named groups of a match, None without one; a text says why the pattern is none."""
    try:
        found = (re.fullmatch if whole else re.match)(pattern, name)
    except (re.error, ValueError, OverflowError) as error:
        return in_words(error)
    except RecursionError:
        return "its brackets are too deep"
    return None if found is None else found.groupdict()


def _refusal(seconds: float) -> str:
    return f"which needs more than {seconds:g} s or {MEMORY // 2**20} MiB to match one name: write it simpler."


_PATTERNS = Limited(answer, MEMORY, _refusal)
