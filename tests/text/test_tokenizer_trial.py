"""A tokenizer.json that would exhaust memory, or end the process, is refused before this process opens it."""

import pytest

from gpt2.text import trial
from gpt2.text.trial import try_out

BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
SPLIT = {"type": "Split", "pattern": {"Regex": "a+"}, "behavior": "Isolated", "invert": False}


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


@pytest.mark.parametrize("part", ["normalizer", "decoder"])
@pytest.mark.parametrize("pattern", [{"String": "a"}, {"Regex": "a"}, {"String": ""}])
def test_replacements_that_double_a_text_again_and_again_are_refused(part, pattern):
    lists = {"normalizer": "normalizers", "decoder": "decoders"}
    parts = {"type": "Sequence", lists[part]: [replace(pattern, "aa")] * 40}
    with pytest.raises(ValueError, match=f"its {part} makes a text up to"):
        try_out({"model": BPE, part: parts})


@pytest.mark.parametrize(
    "content",
    [
        {"model": BPE},
        {"model": BPE, "normalizer": replace({"String": " "}, "▁"), "pre_tokenizer": {"type": "ByteLevel"}},
    ],
)
def test_a_plain_one_starts_no_process(content, monkeypatch):
    monkeypatch.setattr(trial, "_opens", lambda text: pytest.fail("a process was started"))
    try_out(content)


@pytest.mark.parametrize(
    "content",
    [
        {"model": BPE | {"cache_capacity": 10**15}},
        {"model": BPE, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT]}},
        {"model": BPE, "normalizer": replace({"Regex": "a*"}, "")},
        {"model": BPE, "normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}},
        {"model": BPE, "decoder": "no part"},
    ],
)
def test_any_other_is_tried_once(content, monkeypatch):
    asked = []
    monkeypatch.setattr(trial, "_tried", set())
    monkeypatch.setattr(trial, "_opens", lambda text: asked.append(text) or True)
    try_out(content)
    try_out(content)
    assert len(asked) == 1


def test_one_that_ends_the_library_is_refused():
    """A damaged table of characters ends the process that opens it: no exception can be caught."""
    table = {"type": "Precompiled", "precompiled_charsmap": "////////"}
    with pytest.raises(ValueError, match="2 GiB of memory or 30 seconds"):
        try_out({"version": "1.0", "added_tokens": [], "model": BPE, "normalizer": table})
