"""Numbers among the options of a command, and the sentence for a word that should be one.

In: what was typed. Out: an int or a float; where the word is not a number, the mark `NotANumber`, which `check` finds
in the command that was built, since only there it is known whose option it is. Read next: main.py.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, get_type_hints

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from gpt2.base.errors import UsageError
from gpt2.cli.errors import option

MEANT = {int: "a whole number", float: "a number"}
NUMBERS = ConstructorRegistry()


@dataclass(frozen=True)
class NotANumber:
    """A word that was typed where a number belongs, and what it should be."""

    word: str
    meant: str


def read(kind: type[int] | type[float], word: str) -> int | float | NotANumber:
    """The number that a word is."""
    try:
        return kind(word)
    except ValueError:
        return NotANumber(word, MEANT[kind])


@NUMBERS.primitive_rule
def number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How tyro reads an option of type int or float, alone, optional or in a tuple."""
    kind: Any = info.type
    if kind not in MEANT:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=lambda words: read(kind, words[0]),
        is_instance=lambda value: isinstance(value, int | kind) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


def check(command: Any, prefix: str = "") -> None:
    """Raise UsageError, naming the option, where a field of the command holds a word that is not a number."""
    hints = get_type_hints(type(command), include_extras=True)
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, NotANumber):
            marks = getattr(hints[field.name], "__metadata__", ())
            nameless = any(getattr(mark, "name", None) == "" for mark in marks)  # its fields are options of their own
            check(value, prefix if nameless else f"{prefix}{field.name}.")
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, NotANumber):
                raise UsageError(f"{option(prefix + field.name)} is {part.word!r}: it must be {part.meant}.")
