"""Whether what was given as edits can be called as edits.

In: what a user gave as `edit`. Out: a UsageError, where a pass could only fail. Read next: gpt2/probe.py, which calls
them, and gpt2/explain/run/edits.py, which offers some.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from gpt2.base.errors import UsageError


def check_edits(edit: Any) -> None:
    """Raise UsageError unless `edit` is a dict of addresses and of functions that take a value, f(x) or f(x, at)."""
    if not isinstance(edit, Mapping):
        raise UsageError(f"edit is of type {type(edit).__name__}: give a dict, {{'0.head.1': zero}}, say.")
    for address, function in edit.items():
        if not callable(function):
            raise UsageError(f"the edit of {address} is a {type(function).__name__}: give a function of the value.")
        name = getattr(function, "__name__", type(function).__name__)
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some built-in functions have none
            continue
        if not any(_fits(signature, n) for n in (1, 2)):
            what = "makes an edit and is none itself" if _fits(signature, 0) else "takes other arguments"
            mend = f"write {name}() in its place" if _fits(signature, 0) else "an edit is a function f(x) or f(x, at)"
            raise UsageError(f"the edit of {address}, {name}, {what}: {mend}.")


def takes(function: Any, n: int) -> bool:
    """Whether a function can be called with n values; also true of one that does not say."""
    try:
        return callable(function) and _fits(inspect.signature(function), n)
    except (TypeError, ValueError):
        return True


def _fits(signature: inspect.Signature, n: int) -> bool:
    """Whether a function of this signature can be called with n values."""
    try:
        signature.bind(*[None] * n)
    except TypeError:
        return False
    return True
