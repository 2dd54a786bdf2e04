"""Sampling rules against transformers' own, and what is drawn by them."""

import math
import random

import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from gpt2.base.errors import UsageError
from gpt2.inference import noise, sampling
from gpt2.inference.generate import generate
from gpt2.inference.noise import gumbel, row_keys
from gpt2.inference.rules import forbid_repeats, keep_min_p, keep_top_k, keep_top_p, penalise_repeats
from gpt2.inference.sampling import Sampling, add_noise, choose, log_probabilities
from tests.generating import PURE, TOKENIZER, make, random_logits, texts_of


@pytest.mark.parametrize(
    "field, value",
    [
        ("max_tokens", 0), ("max_tokens", 2.5), ("max_tokens", True), ("temperature", -0.1),
        ("temperature", math.nan), ("temperature", math.inf), ("top_k", 0), ("top_k", -3), ("top_p", 0),
        ("top_p", 1.01), ("top_p", math.nan), ("min_p", -0.1), ("min_p", 1.5), ("repetition_penalty", 0),
        ("repetition_penalty", -1.0), ("stop", "a string"), ("stop", ("",)), ("stop", (3,)), ("logprobs", -1),
        ("seed", -1), ("seed", 2**64), ("seed", 1.0), ("n", 0), ("temperature", "hot"),
        ("no_repeat_ngram_size", -1), ("no_repeat_ngram_size", 2.0), ("truncate", "right"),
        ("presence_penalty", 2.1), ("presence_penalty", math.nan), ("frequency_penalty", -3), ("logit_bias", [5]),
        ("logit_bias", {"5": 1}), ("logit_bias", {5: 101}), ("logit_bias", {5: "1"}), ("logit_bias", {True: 1}),
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(field, value):
    with pytest.raises(UsageError, match=f"^{field} is .*: .*[.]$"):
        Sampling(**{field: value})


def test_the_borders_are_allowed():
    Sampling(max_tokens=1, temperature=0, top_k=1, top_p=1, min_p=1, logprobs=0, seed=2**64 - 1, n=1)
    assert Sampling(stop=["a", "b"]).stop == ("a", "b")


@pytest.mark.parametrize("penalty", [0.7, 1.3, 2.0])
def test_repetition_penalty_is_transformers(penalty):
    logits = random_logits(3, 50)
    texts = [[1, 4, 4, 49], [0, 0, 0, 0], [7, 8, 9, 7]]
    before = logits.clone()
    ours = penalise_repeats(logits, texts, penalty)
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor(texts), logits.clone())
    assert torch.equal(ours, theirs)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_the_tokens_that_would_repeat_a_sequence_are_those_of_transformers(size):
    source = random.Random(size)
    for _ in range(60):
        vocab, length = source.choice([2, 5, 20]), source.randrange(1, 40)
        texts = [[source.randrange(vocab) for _ in range(length)] for _ in range(2)]
        logits = random_logits(2, vocab)
        before = logits.clone()
        theirs = NoRepeatNGramLogitsProcessor(size)(torch.tensor(texts), logits.clone())
        assert torch.equal(forbid_repeats(logits, texts, size), theirs)
        assert torch.equal(logits, before)


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_text_that_can_only_repeat_itself_is_refused_by_name(temperature):
    logits, how = random_logits(1, 3), Sampling(no_repeat_ngram_size=1, temperature=temperature)
    assert choose(logits, [[0, 2, 0]], [0], how) == [1]
    with pytest.raises(UsageError, match="no_repeat_ngram_size is 1: every token would repeat"):
        choose(logits, [[0, 2, 1]], [0], how)
    with pytest.raises(ValueError, match="not finite"):
        choose(logits * math.nan, [[0]], [0], how)


@pytest.mark.parametrize("k", [1, 2, 10, 299, 300, 1000])
def test_top_k_keeps_what_transformers_keeps(k):
    logits = random_logits(20, 300)
    assert torch.equal(keep_top_k(logits, k), TopKLogitsWarper(k)(None, logits))


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("scale, vocab", [(3.0, 300), (0.1, 300), (0.01, 3000), (8.0, 3000)])
def test_top_p_keeps_what_transformers_keeps(p, scale, vocab):
    """Flat distributions included: there the first few hundred tokens do not hold the mass."""
    logits = random_logits(20, vocab, scale)
    ours, theirs = keep_top_p(logits, p).isfinite(), TopPLogitsWarper(p)(None, logits).isfinite()
    differing = (ours != theirs).sum(dim=-1)  # sums of thousands of float32 numbers, in another order
    assert int(differing.max()) <= (1 if vocab > 1000 else 0)
    mass = (logits.double().softmax(dim=-1) * ours).sum(dim=-1)
    assert bool((mass >= p - 1e-5).all())


def test_top_p_of_one_keeps_all():
    logits = random_logits(2, 30)
    assert keep_top_p(logits, 1.0) is logits


def test_top_p_keeps_at_least_one_and_keeps_ties():
    logits = torch.tensor([[5.0, 1.0, 1.0, -2.0], [1.0, 1.0, 1.0, 1.0]])
    assert keep_top_p(logits, 0.01).isfinite().tolist() == [[True, False, False, False], [True] * 4]
    assert keep_top_p(logits, 0.97).isfinite().tolist()[0] == [True, True, True, False]


@pytest.mark.parametrize("p", [0.001, 0.05, 0.3, 1.0])
def test_min_p_keeps_what_transformers_keeps(p):
    logits = random_logits(20, 300)
    assert torch.equal(keep_min_p(logits, p), MinPLogitsWarper(p)(None, logits))


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7},
        {"temperature": 1.4, "top_k": 12},
        {"temperature": 0.9, "top_p": 0.8},
        {"temperature": 1.2, "min_p": 0.1},
        {"temperature": 0.8, "repetition_penalty": 1.5},
        {"temperature": 1.3, "top_k": 20, "top_p": 0.7, "min_p": 0.15, "repetition_penalty": 1.8},
        {"temperature": 1.3, "top_k": 20, "repetition_penalty": 0.6, "no_repeat_ngram_size": 1},
        {"temperature": 0.7, "top_p": 0.7, "min_p": 0.15, "repetition_penalty": 0.6, "no_repeat_ngram_size": 2},
    ],
)
def test_the_order_of_the_rules(options):
    """transformers' processors in the documented order, then the same noise, choose the same tokens."""
    options = PURE | options
    rows, vocab, length = 200, 60, 9
    logits = random_logits(rows, vocab, 2.0, seed=5)
    texts = torch.randint(vocab, (rows, length), generator=torch.Generator().manual_seed(1))
    scores = RepetitionPenaltyLogitsProcessor(float(options.get("repetition_penalty", 1.0)))(texts, logits.clone())
    if "no_repeat_ngram_size" in options:
        scores = NoRepeatNGramLogitsProcessor(options["no_repeat_ngram_size"])(texts, scores)
    scores = TemperatureLogitsWarper(options["temperature"])(texts, scores)
    if "top_k" in options:
        scores = TopKLogitsWarper(options["top_k"])(texts, scores)
    scores = TopPLogitsWarper(options["top_p"])(texts, scores)
    if "min_p" in options:
        scores = MinPLogitsWarper(options["min_p"])(texts, scores)
    samples = list(range(rows))
    expected = add_noise(scores, texts.tolist(), samples, seed=3).argmax(dim=-1).tolist()
    before = logits.clone()
    assert choose(logits, texts.tolist(), samples, Sampling(seed=3, **options)) == expected
    assert torch.equal(logits, before)


def test_penalties_on_the_output_are_those_of_openai():
    """score - frequency * count - presence * (count > 0), over the output alone, its prompt left out."""
    logits, texts, starts = random_logits(2, 9), [[1, 1, 2, 3, 3, 3], [4, 5]], [2, 2]
    how = Sampling(temperature=0, presence_penalty=0.7, frequency_penalty=-0.3)
    expected = logits.clone()
    expected[0, 2] -= 0.7 - 0.3
    expected[0, 3] -= 0.7 - 0.9
    before = logits.clone()
    torch.testing.assert_close(sampling.ruled(logits, texts, how, starts=starts), expected)
    assert torch.equal(sampling.ruled(logits, texts, how), logits)
    assert torch.equal(logits, before)


def test_a_bias_is_added_before_all_else():
    logits = torch.tensor([[1.0, 4.0, 4.5], [1.0, 4.0, 4.5]])
    how = Sampling(temperature=0, logit_bias={0: 7, 2: -100.0}, repetition_penalty=2)
    assert sampling.ruled(logits, [[0], [1]], how).tolist() == [[4, 4, -95.5], [8, 2, -95.5]]
    assert {Sampling(logit_bias={1: 2}): 1}[Sampling(logit_bias={1: 2})] == 1
    with pytest.raises(UsageError, match="there is no token 300"):
        generate(make(48), TOKENIZER, [[1]], Sampling(logit_bias={300: 1}))


def test_the_penalties_steer_what_is_generated():
    def greedy(**options):
        ((found,),) = generate(make(48), TOKENIZER, [[7, 8]], Sampling(temperature=0, max_tokens=12, **options))
        return found.ids

    first = greedy()[0]
    assert greedy(logit_bias={first: -100})[0] != first
    assert greedy(logit_bias={33: 100}) == [33] * 12
    assert len(set(greedy(logit_bias={33: 1.5}, presence_penalty=2, frequency_penalty=2))) > 1


def test_rows_may_have_seeds_of_their_own():
    logits = random_logits(6, 50)
    texts, seeds = texts_of(range(6)), [3, 3, 0, 2**64 - 1, 5, 9]
    together = choose(logits, texts, [0] * 6, Sampling(), seeds=seeds)
    for row, seed in enumerate(seeds):
        assert choose(logits[row : row + 1], texts[row : row + 1], [0], Sampling(seed=seed)) == [together[row]]


@pytest.mark.parametrize("scale", [0.01, 1.0, 5.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_ruled_out_before_the_draw_could_not_win(scale, dtype):
    """Against noise for every token."""
    for seed in range(10):
        scores = random_logits(1, 2 * noise.MANY + seed, scale, seed)[0].to(dtype)
        scores[::7] = -math.inf
        key = row_keys(seed, torch.tensor([0]), torch.tensor([seed]))[0]
        winner = (scores.double() + gumbel(key, torch.arange(len(scores)))).argmax()
        left = noise.contenders(scores, key)
        assert winner in left
        assert len(left) < len(scores) / 2


def test_temperature_zero_is_greedy_and_draws_nothing(monkeypatch):
    monkeypatch.setattr(sampling, "gumbel", None)
    logits = random_logits(5, 40)
    texts = texts_of([1, 2, 3, 4, 5])
    assert choose(logits, texts, [0] * 5, Sampling(temperature=0)) == logits.argmax(dim=-1).tolist()


def test_greedy_comes_after_the_repetition_penalty():
    logits = torch.tensor([[3.0, 2.0, -1.0]])
    assert choose(logits, [[0]], [0], Sampling(temperature=0, repetition_penalty=2.0)) == [1]
    assert choose(-logits, [[2]], [0], Sampling(temperature=0, repetition_penalty=2.0)) == [2]


def test_of_equals_the_first():
    assert choose(torch.tensor([[1.0, 4.0, 4.0, 4.0]]), [[0]], [0], Sampling(temperature=0)) == [1]


@pytest.mark.parametrize("temperature", [1e-3, 1e-12, 1e-40, 1e-300])
def test_the_smallest_temperatures_tend_to_greedy(temperature):
    logits = random_logits(50, 40)
    texts = texts_of(range(1, 51))
    chosen = choose(logits, texts, [0] * 50, Sampling(temperature=temperature, top_p=1.0))
    assert chosen == logits.argmax(dim=-1).tolist()


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.3, "top_k": 4}, {"top_p": 0.5, "min_p": 0.1}, {"repetition_penalty": 1.5}]
)
def test_the_distribution_is_what_is_drawn_from(options):
    logits = torch.randn(2, 20, generator=torch.Generator().manual_seed(5)) * 2
    texts, how = [[3, 4], [7]], Sampling(**options)
    p = sampling.distribution(logits, texts, how)
    torch.testing.assert_close(p.sum(-1), torch.ones(2))
    torch.testing.assert_close(p, sampling.ruled(logits, texts, how).softmax(-1))
    n = 4000
    drawn = choose(logits[:1].expand(n, -1), [texts[0]] * n, range(n), how)
    seen = torch.bincount(torch.tensor(drawn), minlength=20) / n
    assert (seen[p[0] == 0] == 0).all()
    assert (seen - p[0]).abs().max() < 5 * (0.25 / n) ** 0.5


def test_at_temperature_zero_the_distribution_is_one_token():
    logits = torch.tensor([[1.0, 3.0, 3.0, 2.0]])
    assert sampling.distribution(logits, [[0]], Sampling(temperature=0)).tolist() == [[0, 1, 0, 0]]
    assert choose(logits, [[0]], [0], Sampling(temperature=0)) == [1]


def test_a_ruled_out_token_is_never_drawn():
    logits = random_logits(1, 8, 0.1).expand(2000, 8).clone()
    logits[:, [0, 3, 7]] = -math.inf
    chosen = choose(logits, texts_of(range(2000)), [0] * 2000, Sampling(**PURE))
    assert set(chosen) == {1, 2, 4, 5, 6}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_scores_that_are_not_finite_are_refused(bad, temperature):
    logits = random_logits(2, 8)
    logits[1, 2] = bad
    with pytest.raises(ValueError, match="not finite: load it with dtype='float32', or"):
        choose(logits, [[1], [1]], [0, 0], Sampling(temperature=temperature, top_p=0.9))
    with pytest.raises(ValueError, match="not finite"):
        choose(torch.full((1, 8), -math.inf), [[1]], [0], Sampling(temperature=temperature))


def test_a_row_is_chosen_without_regard_to_its_neighbours():
    logits = random_logits(40, 500)
    texts, samples = texts_of(range(3, 43)), [i % 4 for i in range(40)]
    options = Sampling(seed=11, top_k=50, top_p=0.9, min_p=0.01)
    together = choose(logits, texts, samples, options)
    alone = [choose(logits[i : i + 1], texts[i : i + 1], samples[i : i + 1], options)[0] for i in range(40)]
    backwards = choose(logits.flip(0), texts[::-1], samples[::-1], options)
    assert together == alone == backwards[::-1]


def test_logprobs_are_those_of_the_raw_logits():
    logits = random_logits(3, 20)
    reference = logits.log_softmax(dim=-1)
    found = log_probabilities(logits, [4, 0, 19], 5)
    assert [entry.id for entry in found] == [4, 0, 19]
    for row, entry in zip(reference, found):
        assert entry.logprob == row[entry.id].item()
        assert [i for i, _ in entry.top] == row.argsort(descending=True)[:5].tolist()
        assert [p for _, p in entry.top] == [row[i].item() for i, _ in entry.top]
    assert log_probabilities(logits, [1, 1, 1], 0)[0].top == ()
    assert len(log_probabilities(logits, [1, 1, 1], 99)[0].top) == 20


@pytest.mark.parametrize("name", ["n", "max_tokens", "max_length", "seed"])
def test_numbers_of_any_size_are_refused_in_a_sentence(name):
    with pytest.raises(UsageError, match=f"^{name} is a number of more than 40 digits: it must be"):
        Sampling(**{name: 10**5000})
