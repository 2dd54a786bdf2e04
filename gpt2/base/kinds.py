"""Files that this program wrote, read again: is each field still of the kind that was written?

In: a JSON text, and what its fields are. Out: the value, or a refusal; whoever reads it need not look at kinds again.
Read next: training/run/metrics.py, data/shards.py, ablation/results.py.
"""

from typing import Any

from gpt2.base.foreign import parse_json


def parse_own(text: str | bytes, wanted: Any) -> Any:
    """The value of a JSON text that is as `wanted` says (see `is_like`); numbers in it may be NaN or infinite.

    ValueError, with a reason that fits into brackets, for anything else.
    """
    value = parse_json(text, own=True)
    if not is_like(value, wanted):
        raise ValueError("its fields are of other kinds than were written")
    return value


def is_like(value: Any, wanted: Any) -> bool:
    """Whether a value of JSON is of some kind.

    wanted   str, int, bool, dict or list, for one of these; float, for any number; None; a tuple of kinds, any of which
             will do; [kind], for a list of such; {str: kind}, for an object of such; {"a": kind, "b?": kind}, for an
             object with a field a, and perhaps b, whatever else it has

    A truth value is no number.
    """
    if isinstance(wanted, tuple):
        return any(is_like(value, kind) for kind in wanted)
    if isinstance(wanted, list):
        return isinstance(value, list) and all(is_like(item, wanted[0]) for item in value)
    if isinstance(wanted, dict) and str in wanted:
        return isinstance(value, dict) and all(is_like(item, wanted[str]) for item in value.values())
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(_has(value, name, kind) for name, kind in wanted.items())
    if wanted is None or value is None:
        return value is wanted
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)


def _has(value: dict[str, Any], name: str, kind: Any) -> bool:
    plain = name.removesuffix("?")
    return is_like(value[plain], kind) if plain in value else plain != name
