"""Scores by token and by word, against transformers in float64, one token at a time."""

import functools
import json
import math

import pytest
import torch
from tokenizers import Tokenizer as Library

import gpt2
from gpt2.base.errors import Failure, UsageError
from gpt2.config import GPT2Config
from gpt2.evaluation import bits_per_byte
from gpt2.evaluation.token_scores import score
from gpt2.evaluation.windows import windows
from gpt2.evaluation.word_boundaries import boundaries, words_of
from gpt2.text.tokenizer import Tokenizer
from tests.oracle import vocabularies
from tests.twins import twins

LN2 = math.log(2)
WHITE = (b" ", b"\t", b"\n", b"\r", b"\x0b", b"\x0c")
BYTES = Tokenizer.bytes()
TEXT = 'One  day, a\tsmall dog\n\nsaid: "Naïve café!" 日本 it\'s 12:30.'


def bpe():
    return Tokenizer(json.loads(vocabularies.byte_level()))


def metaspace():
    return Tokenizer(json.loads(vocabularies.metaspace()))


def models(vocab_size, context=64, seed=1):
    config = GPT2Config(vocab_size=vocab_size, n_positions=context, n_embd=16, n_layer=2, n_head=2)
    return twins(config, seed, torch.randint(vocab_size, (1, 16), generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def pair():
    return models(257)


@pytest.fixture(scope="module")
def bpe_pair():
    return models(bpe().vocab_size)


def predicted(hf, before):
    """log p of every token after these, as transformers has it."""
    with torch.no_grad():
        return hf(torch.tensor([before])).logits[0, -1].log_softmax(-1)


@functools.cache
def beginning_with_white_space(tokenizer):
    return {i for i in range(tokenizer.vocab_size) if tokenizer.token_bytes(i)[:1] in WHITE}


def mass(log_p, tokenizer, white, ends):
    """-log2 of the probability of tokens that begin (or do not begin) with white space, and of `ends`."""
    spaced = beginning_with_white_space(tokenizer) - ends
    chosen = {*spaced, *ends} if white else set(range(tokenizer.vocab_size)) - spaced
    return -math.log2(log_p[sorted(chosen)].exp().sum().item())


@pytest.mark.parametrize("name", ["bytes", "bpe"])
def test_tokens_are_those_of_transformers_in_float64(name, pair, bpe_pair):
    tokenizer, (ours, hf) = (BYTES, pair) if name == "bytes" else (bpe(), bpe_pair)
    text = TEXT[:40] if name == "bytes" else TEXT
    (found,) = gpt2.score(ours, tokenizer, text)
    ids = tokenizer.encode(text)
    assert [t.id for t in found.tokens] == ids
    for place, token in enumerate(found.tokens):
        log_p = predicted(hf, [tokenizer.bos_id, *ids[:place]])
        assert token.log_prob == pytest.approx(log_p[token.id].item(), abs=1e-9)
        assert token.surprisal == pytest.approx(-log_p[token.id].item() / LN2, abs=1e-9)
        assert token.entropy == pytest.approx(-(log_p.exp() * log_p).sum().item() / LN2, abs=1e-9)
        assert token.rank == 1 + sum(p > log_p[token.id].item() for p in log_p.tolist())
    assert found.log_prob == pytest.approx(sum(t.log_prob for t in found.tokens), abs=1e-9)
    assert found.words is None


@pytest.mark.parametrize("name", ["bytes", "bpe"])
def test_words_with_and_without_the_correction(name, pair, bpe_pair):
    """Each boundary is summed over the vocabulary here, token by token."""
    tokenizer, (ours, hf) = (BYTES, pair) if name == "bytes" else (bpe(), bpe_pair)
    text = TEXT if name == "bpe" else TEXT[:50]
    (found,) = gpt2.score(ours, tokenizer, text, words=True)
    assert [w.word for w in found.words] == text.split()
    ids, ends = tokenizer.encode(text), {tokenizer.eot_id}
    first, *others = found.words
    for word in found.words:
        log_p = predicted(hf, [tokenizer.bos_id, *ids[: word.first]])
        assert word.before == pytest.approx(mass(log_p, tokenizer, word is not first, ends), abs=1e-9)
        log_p = predicted(hf, [tokenizer.bos_id, *ids[: word.stop]])
        assert word.after == pytest.approx(mass(log_p, tokenizer, True, ends), abs=1e-9)
        surprisals = [t.surprisal for t in found.tokens[word.first : word.stop]]
        assert word.uncorrected == pytest.approx(sum(surprisals), abs=1e-9)
        assert word.corrected == pytest.approx(word.uncorrected - word.before + word.after, abs=1e-12)
    assert sum(w.uncorrected for w in found.words) == pytest.approx(found.surprisal, abs=1e-9)
    whole = found.surprisal + found.words[-1].after - first.before
    assert sum(w.corrected for w in found.words) == pytest.approx(whole, abs=1e-9)
    assert [w.before for w in others] == [w.after for w in found.words[:-1]]


def test_words_follow_from_the_text_and_not_from_how_tokens_are_cut():
    for tokenizer in (BYTES, bpe(), metaspace()):
        ids = tokenizer.encode("The cat's mat, and the dog.")
        found = words_of(tokenizer, ids)
        assert [w.text for w in found] == ["The", "cat's", "mat,", "and", "the", "dog."]
        assert [w.spaced for w in found] == [tokenizer.token_bytes(ids[0])[:1] == b" ", *[True] * 5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", ["a"]),
        (" a", ["a"]),
        ("a\n", ["a", ""]),
        ("\n\n", [""]),
        ("\n a  b \n", ["a", "b", ""]),
        ("don't — stop…\u00a0now", ["don't", "—", "stop…\u00a0now"]),
        ("日本", ["日本"]),
    ],
)
def test_ends_of_texts(text, words, pair):
    (found,) = score(pair[0], BYTES, text, words=True)
    assert [w.word for w in found.words] == words
    assert [w.first for w in found.words[1:]] == [w.stop for w in found.words[:-1]]
    assert sum(w.uncorrected for w in found.words) == pytest.approx(found.surprisal)
    real = [w for w in found.words if w.word]
    border = real[-1].after - real[0].before if real else 0
    assert sum(w.corrected for w in found.words) == pytest.approx(found.surprisal + border)
    if words[-1] == "":
        assert (found.words[-1].before, found.words[-1].after) == (None, None)


def test_metaspace(tmp_path):
    tokenizer = metaspace()
    ours, hf = models(tokenizer.vocab_size)
    with pytest.raises(Failure, match=r"no token that opens a text, .* score it without one, with bos=False"):
        score(ours, tokenizer, "The cat")
    (found,) = score(ours, tokenizer, "The cat sat", words=True, bos=False)
    ids = Library.from_str(vocabularies.metaspace()).encode("The cat sat", add_special_tokens=False).ids
    assert [t.id for t in found.tokens] == ids
    assert [w.word for w in found.words] == ["The", "cat", "sat"]
    cat = found.words[1]
    log_p = predicted(hf, ids[: cat.first])
    assert cat.before == pytest.approx(mass(log_p, tokenizer, True, set()), abs=1e-9)


def test_without_anything_before_it_the_first_token_has_no_score(pair):
    ours, hf = pair
    (found,) = score(ours, BYTES, "ab cd", bos=False, words=True)
    first, second, *_ = found.tokens
    assert (first.log_prob, first.surprisal, first.rank, first.entropy) == (None,) * 4
    assert second.log_prob == pytest.approx(predicted(hf, BYTES.encode("a"))[second.id].item(), abs=1e-9)
    assert (found.words[0].uncorrected, found.words[0].corrected, found.words[0].before) == (None,) * 3
    assert found.words[1].corrected is not None
    assert found.log_prob == pytest.approx(sum(t.log_prob for t in found.tokens[1:]))
    (alone,) = score(ours, BYTES, "a", bos=False, words=True)
    assert (alone.log_prob, alone.words[0].uncorrected) == (0, None)
    (after,) = score(ours, BYTES, "d", contexts=["c"], bos=False)
    assert after.tokens[1].log_prob is not None


def test_a_context_is_read_and_not_scored(pair):
    ours, _ = pair
    (whole,) = score(ours, BYTES, "The dog barked.", words=True)
    for context, text in [("The dog", "barked."), ("The dog ", "barked."), ("The dog", " barked.")]:
        (found,) = score(ours, BYTES, text, contexts=[context], words=True)
        assert [t.id for t in found.tokens] == BYTES.encode(" barked.")
        assert found.words[0].corrected == pytest.approx(whole.words[2].corrected, abs=1e-12)
    (found,) = score(ours, BYTES, "barked.", contexts=[""], words=True)
    assert [t.id for t in found.tokens] == BYTES.encode("barked.")
    many = score(ours, BYTES, ["a b", "longer text", "c"], contexts=["x", "", "y z"], batch_tokens=8)
    for one, text, context in zip(many, ["a b", "longer text", "c"], ["x", "", "y z"], strict=True):
        assert one.log_prob == pytest.approx(score(ours, BYTES, text, contexts=[context])[0].log_prob, abs=1e-9)


@pytest.mark.parametrize(("context", "stride"), [(64, 32), (64, 64), (16, 8), (16, 5), (3, 1)])
def test_a_long_text_is_read_in_the_windows_of_bits_per_byte(context, stride, pair):
    ours, hf = pair
    text = TEXT * 3
    (found,) = score(ours, BYTES, text, context=context, stride=stride, batch_tokens=50)
    loss = bits_per_byte.loss_of_each(ours, BYTES, [text], context=context, stride=stride).loss
    assert found.log_prob == pytest.approx(-loss, abs=1e-9)
    ids = [256, *BYTES.encode(text)]
    (window, *_) = [w for w in windows(ids, context, stride) if w.start >= 2 * stride]
    for place in range(window.skip, len(window), 7):
        log_p = predicted(hf, ids[window.start : window.start + place + 1])
        target = window.start + place + 1
        assert found.tokens[target - 1].log_prob == pytest.approx(log_p[ids[target]].item(), abs=1e-9)


@pytest.mark.parametrize(("context", "stride"), [(64, 32), (32, 32), (20, 10), (14, 14), (14, 1)])
def test_a_word_and_its_boundaries_are_of_one_window(context, stride, pair):
    """A window is found for each word in which all three figures are what transformers says."""
    ours, hf = pair
    text = "One day a dog said to the small cat: come to\nme! The end of it is here."
    ids = [256, *BYTES.encode(text)]
    (found,) = score(ours, BYTES, text, words=True, context=context, stride=stride)
    assert [w.word for w in found.words] == text.split()
    with torch.no_grad():
        seen = [hf(torch.tensor([ids[n : n + context]])).logits[0].log_softmax(-1) for n in range(len(ids))]
    for word in found.words:
        first, stop = word.first + 1, word.stop + 1  # after the opening token
        fitting = []
        for start in range(max(0, stop - context), first):
            log_p = seen[start]
            before = mass(log_p[first - start - 1], BYTES, word.first > 0, {256})
            after = mass(log_p[stop - start - 1], BYTES, True, {256})
            uncorrected = -sum(log_p[n - start - 1, ids[n]].item() for n in range(first, stop)) / LN2
            if all(map(math.isclose, (before, after, uncorrected), (word.before, word.after, word.uncorrected))):
                fitting.append(start)
        assert len(fitting) == 1, word
        assert fitting[0] == 0 or stop - fitting[0] > context - stride - 7  # no word has more than 6 tokens
    assert sum(w.uncorrected for w in found.words) == pytest.approx(found.surprisal, abs=1e-9)


def test_a_word_longer_than_a_window_is_named(pair):
    with pytest.raises(
        ValueError, match=r"the word 'incomprehensible,' and the boundary after it take 19 tokens, .* 16"
    ):
        score(pair[0], BYTES, "an incomprehensible, word", words=True, context=16)
    score(pair[0], BYTES, "an incomprehensible, word", context=16)
    score(pair[0], BYTES, "an incomprehensible, word", words=True, context=19)


def test_characters_cut_between_tokens(pair):
    (found,) = score(pair[0], BYTES, "é x", words=True)
    assert [t.token for t in found.tokens] == ["\\xc3", "\\xa9", " ", "x"]
    assert [w.word for w in found.words] == ["é", "x"]


def test_special_tokens_in_a_text(pair):
    ours, _ = pair
    text = "a b<|endoftext|>c d"
    assert len(score(ours, BYTES, text)[0].tokens) == len(text)
    (found,) = score(ours, BYTES, text, words=True, allow_special=True)
    assert [w.word for w in found.words] == ["a", "b", "<|endoftext|>", "c", "d"]
    assert sum(w.corrected for w in found.words) == pytest.approx(
        found.surprisal + found.words[-1].after - found.words[0].before, abs=1e-9
    )
    assert found.words[2].after == found.words[3].before


def test_words_need_tokens_that_begin_with_white_space(pair):
    from gpt2.text.byte_level import gpt2_content

    ours, _ = pair
    letters = Tokenizer(gpt2_content({"a": 0, "b": 1, "<|endoftext|>": 2}, []))
    with pytest.raises(UsageError, match=r"no token that begins with white space, .* leave out words"):
        score(ours, letters, "ab", words=True)
    across = Tokenizer(gpt2_content({"Ġ": 0, "b": 1, "bĠ": 2, "<|endoftext|>": 3}, [("b", "Ġ")]))
    with pytest.raises(UsageError, match="token 'b·' goes on past the end of a word"):
        score(ours, across, "b", words=True)
    assert not set(boundaries(BYTES, 257).ended) & set(boundaries(BYTES, 257).attached) - {256}


def test_float32_is_close(pair):
    ours, _ = models(257)
    double = score(ours, BYTES, TEXT, words=True)[0]
    single = score(ours.float(), BYTES, TEXT, words=True)[0]
    for a, b in zip(double.tokens, single.tokens, strict=True):
        assert a.surprisal == pytest.approx(b.surprisal, abs=1e-4)
    for a, b in zip(double.words, single.words, strict=True):
        assert a.corrected == pytest.approx(b.corrected, abs=2e-4)


def test_refusals(pair):
    ours, _ = pair
    for arguments, sentence in [
        ({"texts": []}, "no text to score"),
        ({"texts": ["a", ""]}, "text 2 of 2 has no tokens"),
        ({"texts": "a", "contexts": ["b", "c"]}, "1 texts and 2 contexts"),
        ({"texts": "a", "context": 65}, "this model takes 1 to 64"),
        ({"texts": "a", "stride": 0}, "stride is 0"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            score(ours, BYTES, **arguments)
    small, _ = models(100)
    with pytest.raises(UsageError, match="there is no token"):
        score(small, BYTES, "é")


def test_the_tokens_of_gpt2_that_are_white_space_alone_are_taken():
    """GPT-2's vocabulary has a token of a space, a no-break space, a space, a no-break space: words were refused."""
    from gpt2.text.byte_level import gpt2_content

    merges = [("Â", "ł"), ("Ġ", "Âł"), ("ĠÂł", "ĠÂł")]
    pieces = ["Ġ", "Â", "ł", "a", "Âł", "ĠÂł", "ĠÂłĠÂł", "<|endoftext|>"]
    tokenizer = Tokenizer(gpt2_content({piece: i for i, piece in enumerate(pieces)}, merges))
    assert boundaries(tokenizer, 8).ended == (0, 5, 6, 7)
    assert [w.text for w in words_of(tokenizer, tokenizer.encode("a a\u00a0a"))] == ["a", "a\u00a0a"]
