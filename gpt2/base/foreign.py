"""The border where files of others are read: JSON within bounds, and panics of libraries written in Rust.

In: a file's text, or a call into such a library. Out: the value, or one sentence that says what is wrong. A file may
be hostile: nested 100,000 times, or made so that a library gives up with an exception that passes `except Exception`.
"""

import json
import math
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from threading import Lock
from typing import Any, NoReturn

from gpt2.base.fields import shortened

DEEPEST = 100
"""Objects and lists inside one another in a JSON file; real files have fewer than ten."""


def parse_json(text: str | bytes, own: bool = False) -> Any:
    """The value of a JSON text. ValueError, with a reason that fits into brackets, for what is none that is read.

    own   whether it is from a file that this program writes: there NaN and infinity may stand, since a loss may have
          been one, and no whole number has more than 64 bits

    Refused are, beside what is not JSON: more than `DEEPEST` levels, and numbers that are not finite (NaN, 1e400).
    Whole numbers may have any size that Python reads (4,300 digits): transformers writes model_max_length with 31.
    """
    try:
        if own:
            value = json.loads(text, parse_int=_in_64_bits)
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
