"""Values as JSON has them: dictionaries, lists, numbers, texts, None.

In: any result, with tensors, arrays, dataclasses, tuples or paths in it. Out: the same as plain values, which `json`
can write. A number that is not finite becomes None, since JSON has no word for it. Read next: whoever writes or prints.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any


def as_it_is(value: Any) -> Any:
    """The value itself: nothing is replaced."""
    return value


def plain(value: Any, replace: Callable[[Any], Any] = as_it_is) -> Any:
    """The value and everything in it as plain values.

    replace  is asked first, for each value at each depth: what it returns is made plain in the value's place
             (server/wire.py puts tensors elsewhere so, cli/walk shortens vectors)

    Tensors and arrays become nested lists, tuples lists, dataclasses dictionaries of their fields, keys texts, paths
    texts. What is none of these stays as it is.
    """
    value = replace(value)
    if hasattr(value, "tolist"):  # a tensor or an array; a number of NumPy's
        listed = value.tolist()
        return listed if _finite(value) else plain(listed)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item, replace) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, replace) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), replace) for field in dataclasses.fields(value)}
    return str(value) if isinstance(value, PurePath) else value


def _finite(value: Any) -> bool:
    """Whether each number of a tensor or an array is finite: where their sum is. (A sum that overflows says no, and
    then each number is looked at, which takes longer and gives the same.)"""
    return math.isfinite(value.sum().item())
