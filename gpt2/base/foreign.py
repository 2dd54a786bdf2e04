"""The border where files of others are read: JSON within bounds, fields by a table, panics of libraries in Rust.

In: a file's text, the object in it, or a call into such a library. Out: the value; nothing, or one line about fields
that no table knows; or one sentence that says what is wrong, and names the field. A file may be hostile: nested 100,000
times, or made so that a library gives up with an exception that passes `except Exception`. The tables of fields are in
gpt2/checkpoint/ and gpt2/text/.
"""

import json
import math
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NoReturn

from gpt2.base.notes import note

Fate = Literal["honoured", "carried", "without effect", "refused"]
LARGEST = 2**31 - 1  # of a size
DEEPEST = 100
"""Objects and lists inside one another in a JSON file; real files have fewer than ten."""


def parse_json(text: str | bytes, any_number: bool = False, own: bool = False) -> Any:
    """The value of a JSON text. ValueError, with a reason that fits into brackets, for what is none that is read.

    own   whether it is from a file that this program writes: there NaN and infinity may stand, since a loss may have
          been one, and no whole number has more than 64 bits

    Refused are, beside what is not JSON: more than `DEEPEST` levels, and numbers that are not finite (NaN, 1e400).
    Whole numbers may have any size that Python reads (4,300 digits): transformers writes model_max_length with 31.

    any_number  numbers that are not finite are read too: for a row of data, of whose fields only some are read
    """
    try:
        if own:
            value = json.loads(text, parse_int=_in_64_bits)
        elif any_number:
            value = json.loads(text)
        else:
            value = json.loads(text, parse_float=_finite, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    except ValueError as error:  # of a number: of the functions below, or too many digits
        raise ValueError(_of_number(error)) from None
    _check_depth(value)
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. ValueError, with a reason that fits into brackets, for what is none that is read.

    Refused are, beside what is not TOML: more than `DEEPEST` levels, and whole numbers of more than 64 bits.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(in_words(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:  # of a date, or of a number with too many digits
        raise ValueError(_of_number(error)) from None
    for part in _check_depth(tables):
        for value in part.values() if isinstance(part, dict) else part:
            if isinstance(value, int):
                _in_64_bits(value)
    return tables


def _check_depth(value: Any) -> list[Any]:
    """The objects and lists in a value, itself too. ValueError for more than `DEEPEST` levels of them."""
    level: list[Any] = [[value]]
    found: list[Any] = []
    for _ in range(DEEPEST + 2):
        parts = chain.from_iterable(one.values() if type(one) is dict else one for one in level)
        level = [part for part in parts if type(part) is list or type(part) is dict]
        if not level:
            return found
        found += level
    raise ValueError("nested too deeply")


def _in_64_bits(number: str | int) -> int:
    whole = int(number)
    if not -(2**63) <= whole < 2**64:
        raise ValueError("a number of more than 64 bits")
    return whole


def _of_number(error: ValueError) -> str:
    return "a number of thousands of digits" if "integer string conversion" in str(error) else in_words(error)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"the number {shortened(text, 40).strip(chr(39))} is not finite")


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


def in_words(error: BaseException, limit: int = 140) -> str:
    """A library's error within a sentence of ours: its first line, cut in the middle, without control characters."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in lines[0])
    return text if len(text) <= limit else f"{text[: limit - 63]}...{text[-60:]}"


def is_panic(error: BaseException) -> bool:
    """Whether a library written in Rust gave up (pyo3's PanicException, a BaseException that no module exports)."""
    return type(error).__name__ == "PanicException"


@contextmanager
def panics_are_errors(what: str) -> Iterator[None]:
    """Inside it, a panic of a Rust library, and the plain Exception that it raises otherwise, become a ValueError.

    what  cannot be done, which begins the sentence
    """
    try:
        yield
    except BaseException as error:
        if type(error) is Exception:
            raise ValueError(f"{what} ({in_words(error)}).") from None
        if not is_panic(error):
            raise
        raise ValueError(f"{what} (the library gives up: {in_words(error)}).") from None


class _Silence:
    """How many calls want silence just now, and where the standard error went before the first of them."""

    def __init__(self) -> None:
        self.lock, self.wanted, self.kept = Lock(), 0, -1

    def begin(self) -> None:
        with self.lock:
            if self.wanted == 0:
                with suppress(OSError), open(os.devnull, "wb") as nowhere:  # there may be no standard error
                    self.kept = os.dup(2)
                    os.dup2(nowhere.fileno(), 2)
            self.wanted += 1

    def end(self) -> None:
        with self.lock:
            self.wanted -= 1
            if self.wanted == 0 and self.kept >= 0:
                os.dup2(self.kept, 2)
                os.close(self.kept)
                self.kept = -1


_SILENCE = _Silence()


@contextmanager
def off_the_terminal() -> Iterator[None]:
    """Inside it, what libraries write to the standard error by themselves, as a panic does, goes nowhere.

    It holds for the whole process: for short calls alone, such as opening a file. Several threads may be inside.
    """
    _SILENCE.begin()
    try:
        yield
    finally:
        _SILENCE.end()
