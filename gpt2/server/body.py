"""The body of a request as parameters: one JSON object with known fields, or one sentence that says why it is none.

In: bytes from a client, which may be anything. Out: a dictionary of plain values, then checked parameters. Read next:
questions.py, and api/fields.py.
"""

import difflib
import json
import math
from collections import Counter
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from gpt2.base.errors import UsageError

DIGITS = 20  # of a whole number: more than 2^64 has
Parameters = TypeVar("Parameters", bound=BaseModel)


def read_object(body: bytes | str) -> dict[str, Any]:
    """The parameters of a request. UsageError for a body that is empty, no UTF-8, no JSON or no object, that names a
    parameter twice, nests too deeply, or holds a number out of range or half of a surrogate pair."""
    if not body.strip():
        raise UsageError("the body is empty: send the parameters as a JSON object, and {} for none.")
    try:
        text = body if isinstance(body, str) else body.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_once, parse_int=_whole, parse_float=_finite, parse_constant=_no_number
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"the body is not UTF-8 (byte {error.start}): send JSON as UTF-8.") from None
    except UnicodeEncodeError:
        raise UsageError("a text in the body has half of a surrogate pair: send whole characters.") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"the body is no JSON (line {error.lineno}, column {error.colno}): send an object.") from None
    except RecursionError:
        raise UsageError("the body is nested too deeply: send one object of parameters.") from None
    if not isinstance(value, dict):
        raise UsageError('the body is no object of parameters: send one such as {"text": "Once upon a time"}.')
    return value


def checked(kind: type[Parameters], given: dict[str, Any]) -> Parameters:
    """The parameters of this kind. UsageError that names the field (its `argument`), what was given and what would be
    right."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(short(str(part)) for part in first["loc"])
        known = list(kind.model_fields)
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.3) or known
            mend = f"the nearest is {near[0]!r}" if near else "this question has none, so send {}"
            raise UsageError(f"there is no parameter {name!r}: {mend}.", argument=name) from None
        if first["type"] == "value_error":
            raise UsageError(first["msg"].removeprefix("Value error, "), argument=name) from None
        raise UsageError(
            f"{name or 'the body'}: {first['msg'][:1].lower()}{first['msg'][1:]}.", argument=name
        ) from None


def short(text: str, most: int = 60) -> str:
    """A text from a client as a sentence quotes it: without its middle where it is long."""
    return text if len(text) <= most else f"{text[: most - most // 3]}...{text[-(most // 3) + 3 :]}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    name, times = Counter(name for name, _ in pairs).most_common(1)[0] if pairs else ("", 0)
    if times > 1:
        raise UsageError(f"the body has {short(name)!r} {times} times: give each parameter once.")
    return dict(pairs)


def _whole(text: str) -> int:
    return int(text) if len(text) <= DIGITS else _no_number(text)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    mend = "send a smaller one" if text.strip("-")[:1].isdigit() else "send a finite number, or null"
    raise UsageError(f"the number {short(text, 30)} is out of range: {mend}.")
