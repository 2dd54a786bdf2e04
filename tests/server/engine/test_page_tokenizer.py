"""The page's own tokenizer, in JavaScript, gives Python's ids, texts and words; other kinds are refused."""

import copy
import random

import pytest

from benchmarks.page_tokenizer import Compared, ask, compare, long_texts, nasty_texts
from gpt2.base.errors import UsageError
from gpt2.checkpoint.hub import ASSETS
from gpt2.text.byte_level import EOT, byte_alphabet, gpt2_content
from gpt2.text.byte_pairs import byte_pairs, classes
from gpt2.text.tokenizer import Tokenizer

TEXTS = [
    "", " ", "  ", "\n", " \n ", "a", "The cat sat on the mat.", "I'm, you'll, they've, 'tis, it''s, don'T, 'LL",
    "a  b", "tab\tand\r\n new\n\n\n  line ", "\ufeffmarked", "next\x85line", "\x1c\x1d\x1e\x1f", "\u200b\u00a0\u3000x",
    "\ud800", "\udc00\ud800", "a\ud83db", "\ud83d\ude42", f"an{EOT}end{EOT}{EOT}", "١٢٣ ²½ Ⅷ", "\x00\x7f", "e\u0301",
]  # fmt: skip


def alphabet():
    return {char: i for i, char in enumerate(byte_alphabet())}


def strange():
    """Merges whose ids fall, ids that no token has, tokens that no merge makes, and two special tokens."""
    vocab = {**alphabet(), "Ġt": 300, "th": 299, "Ġth": 290, "the": 270, "aa": 301, "aaa": 302, "Ġ☃": 310, "☃": 311}
    merges = [("Ġ", "t"), ("a", "a"), ("Ġt", "h"), ("aa", "a"), ("t", "h"), ("th", "e"), ("Ġ", "☃")]
    content = gpt2_content({**vocab, "lone": 320, "Ġhidden\u200b": 321, EOT: 330}, merges)
    flags = {"special": True, "single_word": False, "lstrip": True, "rstrip": False, "normalized": False}
    content["added_tokens"].append({"id": 340, "content": "<pad>\u2028", **flags})
    return Tokenizer(content)


def made(name):
    if name == "strange":
        return strange()
    if name == "learned":
        return Tokenizer.train(["the cat's hat, the mats, they're 1234\n\n  and \U0001f642\U0001f642 é é"] * 3, 330)
    return Tokenizer.bytes() if name == "bytes" else Tokenizer.load(ASSETS / "storyteller")


@pytest.mark.parametrize("name", ["bytes", "learned", "strange", "storyteller"])
def test_ids_texts_and_words_are_those_of_python(node, name):
    tokenizer = made(name)
    rng = random.Random(0)
    texts = [*TEXTS, *nasty_texts(rng, 200), *long_texts(1000)]
    ids = [i for i in range(tokenizer.vocab_size) if tokenizer.has(i)]
    rows = [rng.choices(ids, k=rng.randint(0, 12)) for _ in range(200)] + [[*range(tokenizer.vocab_size)]]
    found = compare(tokenizer, texts, rows, ask(tokenizer, texts, rows, node=node))
    assert found == Compared(len(texts), found.ids, 0, 0, 0, 0)
    assert found.ids > 1000


def test_each_character_is_of_the_kind_that_it_has_here(node):
    """JavaScript's white space has U+FEFF and lacks U+0085, and its letters are those of its version of Unicode."""
    ends = {point + by for runs in classes().values() for run in runs for point in run for by in (-1, 0, 1)}
    near = [chr(point) for point in sorted(ends) if 0 <= point < 0x110000 and not 0xD800 <= point < 0xE000]
    text = "".join(f"a{char}1{char} {char}!" for char in near)
    tokenizer = made("learned")
    assert ask(tokenizer, [text], node=node)["ids"] == [tokenizer.encode(text)]


def test_the_classes_are_those_of_both_libraries():
    """So a tokenizer that `tokenizers` serves, and not `tiktoken`, needs no classes of its own."""
    from tokenizers import Regex, pre_tokenizers

    every = "".join(map(chr, [*range(0x3000), *range(0xFE00, 0x11400)]))
    for pattern, name in ((r"\p{L}", "letters"), (r"\p{N}", "numbers"), (r"\s", "spaces")):
        split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        pieces = [piece for part in range(0, len(every), 256) for piece in split.pre_tokenize_str(every[part:][:256])]
        within = {chr(point) for first, last in classes()[name] for point in range(first, last + 1)} & set(every)
        assert {char for piece, _ in pieces for char in piece} == within
    assert sum(last - first + 1 for first, last in classes()["spaces"]) == 25
    assert (0x85, 0x85) in classes()["spaces"]


def changed(path, value):
    content = copy.deepcopy(gpt2_content({**alphabet(), "Ġt": 256, EOT: 257}, [("Ġ", "t")]))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content


FLAGS = {"special": False, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (changed(["normalizer"], {"type": "NFC"}), "its normalizer is NFC"),
        (changed(["pre_tokenizer"], {"type": "WhitespaceSplit"}), "its pre_tokenizer is WhitespaceSplit"),
        (changed(["pre_tokenizer"], None), "its pre_tokenizer is missing"),
        (changed(["pre_tokenizer", "add_prefix_space"], True), "its pre_tokenizer has add_prefix_space"),
        (changed(["pre_tokenizer", "use_regex"], False), "its pre_tokenizer has no use_regex"),
        (changed(["decoder"], {"type": "BPEDecoder", "suffix": "</w>"}), "its decoder is BPEDecoder"),
        (changed(["model", "ignore_merges"], True), "its model has ignore_merges True"),
        (changed(["model", "dropout"], 0.5), "its model has dropout 0.5"),
        (changed(["added_tokens"], [{"id": 257, "content": EOT, **FLAGS}]), f"it reads the added token '{EOT}' in"),
        (
            changed(["model"], {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}),
            "its model is WordLevel",
        ),
        (gpt2_content({"a": 0, "b": 1, "ab": 2}, [("a", "b")]), "its vocabulary lacks 254 of the 256 bytes"),
    ],
)
def test_another_kind_is_refused_by_name(content, what):
    with pytest.raises(UsageError) as caught:
        byte_pairs(Tokenizer(content))
    assert what in str(caught.value)
    assert str(caught.value).endswith("Use the page of the local server, or a still file.")
