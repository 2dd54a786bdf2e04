"""Patterns of an adapter's configuration: as `re` matches them, and never for ever."""

import re

import pytest

from gpt2.checkpoint import adapter_patterns
from gpt2.checkpoint.adapter_patterns import is_quick, match

NAME = "transformer.h.10.attn.c_attn"


@pytest.mark.parametrize(
    "pattern",
    ["c_attn", r".*c_attn", r".*\.(c_attn|c_proj)", r"(.*\.)?(c_attn)$", r"(?:^|.*?\.)h\.(?P<layer>\d+)\.", r"x.*"],
)
def test_a_sane_pattern_is_matched_here_as_re_does(pattern):
    assert is_quick(pattern)
    for whole, by in ((False, re.match), (True, re.fullmatch)):
        found = by(pattern, NAME)
        assert match("f", pattern, NAME, whole) == (None if found is None else found.groupdict())


SLOW = ["((.*)*)*x", "(.*)*x", "(.|.)" * 26 + "x", ".*" * 9 + "x", "(a|a?)+$", "(.+){9}", "(?x)((.*) *) *x"]


@pytest.mark.parametrize("pattern", SLOW)
def test_what_may_take_long_is_not_matched_here(pattern):
    assert not is_quick(pattern)


def test_a_pattern_is_ended_by_its_limit_and_the_next_is_matched(monkeypatch):
    monkeypatch.setattr(adapter_patterns, "SECONDS", 0.1)
    with pytest.raises(ValueError, match=r"rank_pattern holds .* needs more than 0\.1 s or"):
        match("rank_pattern", "((.*)*)*x", NAME)
    monkeypatch.setattr(adapter_patterns, "SECONDS", 10)
    assert match("f", r"((transformer|h|\d+|attn)\.)+(?P<last>\w+)", NAME) == {"last": "c_attn"}


@pytest.mark.parametrize("pattern", ["(", "(?au)x", "x{99999999999999999999}", "(" * 5000 + ")" * 5000])
def test_what_is_no_pattern_is_named(pattern):
    with pytest.raises(ValueError, match=r"exclude_modules holds .*, no regular expression \("):
        match("exclude_modules", pattern, NAME)
