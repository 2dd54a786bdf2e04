"""A number with what it counts: `1 pair`, `2 pairs`.

In: a number and the word for one. Out: text for a line or a title. Read next: whoever prints.
"""


def counted(n: int, one: str, many: str | None = None) -> str:
    """`n` with thousands separated, and the word for one or for `many` (default: with an s)."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
