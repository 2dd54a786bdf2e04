"""Infinities and NaN, for which JSON has no word, as null.

In: plain values. Out: the same, to be written by `json`. Read next: whoever writes a file or prints.
"""

import math
from typing import Any


def finite(value: Any) -> Any:
    """The same numbers, lists and tables with None for what is not finite; tuples become lists."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
