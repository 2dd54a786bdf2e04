"""A number with what it counts: `1 pair`, `2 pairs`.

In: a number and the word for one. Out: text for a line or a title. Read next: whoever prints.
"""


def counted(n: int, one: str, many: str | None = None) -> str:
    """`n` with thousands separated, and the word for one or for `many` (default: with an s)."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def millions(n: int) -> str:
    """`10.2M`; a number that would be 0.0M in full."""
    return f"{n / 1e6:.1f}M" if n >= 50_000 else f"{n:,}"
