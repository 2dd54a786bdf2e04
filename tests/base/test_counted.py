"""Numbers with what they count."""

import pytest

from gpt2.base.counted import counted


@pytest.mark.parametrize(
    ("n", "words", "text"),
    [
        (0, ("pair",), "0 pairs"),
        (1, ("pair",), "1 pair"),
        (2, ("pair",), "2 pairs"),
        (1234, ("token",), "1,234 tokens"),
        (2, ("copy", "copies"), "2 copies"),
    ],
)
def test_one_is_singular_and_all_else_plural(n: int, words: tuple[str, ...], text: str) -> None:
    assert counted(n, *words) == text
