"""The fields of files that others write, and what becomes of each here: the rule by which they are read.

In: a table of `Field`s, and the object that a file holds. Out: nothing, or a refusal that names the field; and one
line about fields that no table knows. The tables are in gpt2/checkpoint/ and gpt2/text/.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt2.base.notes import note

Fate = Literal["honoured", "carried", "without effect", "refused"]


@dataclass(frozen=True)
class Field:
    """A field that a library acts on, and what becomes of it here.

    name   as the file spells it; "*_token" is every name with this end that has no line of its own
    fate   "honoured": it changes what is computed here as it does there. "carried": nothing here depends on it; it is
           written again when the model is saved. "without effect": nothing depends on it there either, for a GPT-2.
           "refused": accepted only with a value of `plain`
    what   what it does, and what becomes of it here, in a sentence
    plain  values under which a refused field asks for nothing; the first is the library's default
    mend   what the user can do about a refused value
    """

    name: str
    fate: Fate
    what: str
    plain: tuple[Any, ...] = ()
    mend: str = ""


def alike(fate: Fate, what: str, names: str) -> tuple[Field, ...]:
    """Fields of one fate and one sentence; the names stand in one text, with spaces between them."""
    return tuple(Field(name, fate, what) for name in names.split())


def check_fields(
    path: Path, given: Mapping[str, Any], table: Iterable[Field], unread: str = "saving keeps what is there"
) -> None:
    """Refuse what cannot be honoured. ValueError, naming the file, the field and its value; unknown ones are told once.

    path    the file, for the sentence
    unread  what becomes of unknown ones, for the sentence
    """
    known = {field.name: field for field in table}
    for name, value in given.items():
        field = known.get(name)
        if field is not None and field.fate == "refused" and not any(same(value, plain) for plain in field.plain):
            only = f": only {field.plain[0]!r} is" if field.plain else ""
            mend = f". {field.mend}" if field.mend else "."
            raise ValueError(f"{path}: {name} is {shortened(value)}, which is not supported{only}{mend}")
    endings = tuple(name[1:] for name in known if name.startswith("*"))
    unknown = sorted(name for name in given if name not in known and not name.endswith(endings))
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        names = ", ".join(shortened(name, 40) for name in unknown[:5])
        note(f"{path}: nothing here reads {names}{more}; {unread}.")


LARGEST = 2**31 - 1  # of a size


def check_lengths(where: object, values: Mapping[str, Any]) -> None:
    """Refuse what no field of a model holds: a number past `LARGEST`, a value too long to be shown. ValueError.

    where  the file, and the place in it, for the sentence
    """
    for name, value in values.items():
        long = len(value) > 40 if isinstance(value, str) else isinstance(value, (list, dict))
        if long or (isinstance(value, int) and abs(value) > LARGEST):
            raise ValueError(f"{where}: {name} is {shortened(value)}, which no model has: fetch the file again.")


def same(value: Any, plain: Any) -> bool:
    """Equal in value and kind: 0 is not False, and 1 is not True; 1 is 1.0."""
    return isinstance(value, bool) == isinstance(plain, bool) and bool(value == plain)


def plain_name(name: str) -> str:
    """A name from a file, such as a field's or a tensor's: without quotes, cut, without control characters."""
    return shortened(name).strip("'\"")


def shortened(value: Any, limit: int = 80) -> str:
    """A value from a file as a sentence shows it: cut to a length, without control characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
