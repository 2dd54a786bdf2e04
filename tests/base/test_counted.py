"""Numbers with what they count."""

import pytest

from gpt2.base.counted import counted, millions


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


def test_millions():
    assert [millions(n) for n in (124_439_808, 50_000, 49_999, 960)] == ["124.4M", "0.1M", "49,999", "960"]
