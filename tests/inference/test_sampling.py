"""Sampling rules against transformers' own, and the keyed noise against probability theory."""

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
from gpt2.inference.noise import gumbel, row_keys, uniform
from gpt2.inference.rules import forbid_repeats, keep_min_p, keep_top_k, keep_top_p, penalise_repeats
from gpt2.inference.sampling import Sampling, add_noise, choose, log_probabilities
from tests.generating import TOKENIZER, make

PURE = {"temperature": 1.0, "top_p": 1.0}  # the model's own distribution


def random_logits(rows, vocab, scale=3.0, seed=0):
    return scale * torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed))


def texts_of(lengths):
    """Texts of which only the length matters."""
    return [range(n) for n in lengths]


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


def splitmix64(x):
    """SplitMix64's finaliser in Python's unbounded integers."""
    word = 2**64 - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & word
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & word
    return x ^ (x >> 31)


def reference_uniform(seed, sample, position, token):
    word, golden = 2**64 - 1, 0x9E3779B97F4A7C15
    key = splitmix64((seed + golden) & word)
    for counter in (sample, position, token):
        key = splitmix64((key + (counter + 1) * golden) & word)
    return ((key >> 12) + 0.5) / 2**52


def draw(seed, sample, position, token):
    """uniform() of integers and tensors that broadcast."""
    sample, position, token = torch.broadcast_tensors(*(torch.as_tensor(x) for x in (sample, position, token)))
    return uniform(row_keys(seed, sample, position), token)


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63, 2**64 - 1])
def test_the_noise_is_splitmix64(seed):
    """64-bit products wrap in torch as they do modulo 2^64: the noise is the same on every machine."""
    for place in ((0, 0, 0), (0, 1, 50256), (3, 1023, 17), (1000, 10**6, 10**6)):
        u = draw(seed, *place)
        assert u.item() == reference_uniform(seed, *place)
        keys = row_keys(seed, torch.tensor(place[0]), torch.tensor(place[1]))
        assert gumbel(keys, torch.tensor(place[2])).item() == pytest.approx(-math.log(-math.log(u.item())))


@pytest.mark.parametrize("bits, u", [(0, 2.0**-53), (-1, 1 - 2.0**-53)])
def test_neither_zero_nor_one_can_occur(monkeypatch, bits, u):
    monkeypatch.setattr(noise, "mix", lambda x: torch.full_like(x, bits))
    assert uniform(torch.tensor([5]), torch.tensor([6])).item() == u
    assert gumbel(torch.tensor([5]), torch.tensor([6])).isfinite().all()


def chi_square(counts, expected):
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("axis", ["seed", "sample", "position", "token"])
def test_uniform_along_every_axis(axis):
    """Counters that differ by one only: 20 cells, 19 degrees of freedom, P(chi-square > 50.8) = 1e-4."""
    count = torch.arange(20000)
    if axis == "seed":
        u = torch.cat([draw(seed, 0, 5, torch.arange(20)) for seed in range(1000)])
    else:
        u = draw(1, **{"sample": 2, "position": 3, "token": 4} | {axis: count})
    assert chi_square(torch.histc(u, 20, 0, 1), 1000.0) < 50.8
    assert abs(u.mean().item() - 0.5) < 4 / math.sqrt(12 * 20000)


@pytest.mark.parametrize("other", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 1, -1, 0)])
def test_neighbours_are_independent(other):
    """Pairs of noise one step apart in an integer: 10 x 10 cells, 99 degrees, P(chi-square > 161) = 1e-4."""
    seed, sample, position, token = other
    positions, tokens = torch.arange(1, 201)[:, None], torch.arange(200)
    a = draw(9, 4, positions, tokens).flatten()
    b = draw(9 + seed, 4 + sample, positions + position, tokens + token).flatten()
    cells = torch.bincount((a * 10).long() * 10 + (b * 10).long(), minlength=100).double()
    assert chi_square(cells, 400.0) < 161
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1].item()) < 4 / math.sqrt(40000)


def test_no_two_draws_are_equal():
    """A collision among 4 million draws of 52 bits has a chance of 0.2%; equal streams give thousands."""
    u = draw(0, torch.arange(4)[:, None, None], torch.arange(100)[:, None], torch.arange(10000))
    assert u.unique().numel() == u.numel()


@pytest.mark.parametrize("options", [{}, {"temperature": 0.6}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.2}])
@pytest.mark.parametrize("axis", ["position", "sample"])
def test_draws_follow_the_distribution(options, axis):
    """20,000 draws against softmax of the kept scores: P(chi-square > bound) is about 1e-4."""
    logits, draws = random_logits(1, 12, 1.5, seed=2), 20000
    texts = texts_of(range(draws)) if axis == "position" else texts_of([7] * draws)
    samples = range(draws) if axis == "sample" else [0] * draws
    options = Sampling(seed=4, **(PURE | options))
    chosen = choose(logits.expand(draws, 12), texts, samples, options)
    kept = logits / options.temperature
    kept = keep_top_k(kept, options.top_k) if options.top_k else kept
    probabilities = keep_min_p(keep_top_p(kept, options.top_p), options.min_p).double().softmax(dim=-1)[0]
    counts = torch.bincount(torch.tensor(chosen), minlength=12).double()
    alive = probabilities > 0
    assert int(counts[~alive].sum()) == 0
    degrees = int(alive.sum()) - 1
    assert chi_square(counts[alive], draws * probabilities[alive]) < degrees + 3.72 * math.sqrt(2 * degrees) + 9


def test_gumbel_has_its_mean_and_variance():
    g = -(-draw(0, 0, torch.arange(1000)[:, None], torch.arange(1000)).log()).log()
    assert g.mean().item() == pytest.approx(0.577216, abs=0.006)
    assert g.var().item() == pytest.approx(math.pi**2 / 6, abs=0.02)


def test_nearby_distributions_mostly_pick_the_same():
    """What makes a generation before and after a change comparable; independent draws agree far less."""
    rows = 2000
    logits = random_logits(rows, 100)
    nearby = logits + 0.1 * random_logits(rows, 100, 1.0, seed=9)
    texts, options = texts_of(range(rows)), Sampling(**PURE)
    one = torch.tensor(choose(logits, texts, [0] * rows, options))
    same_noise = torch.tensor(choose(nearby, texts, [0] * rows, options))
    other_noise = torch.tensor(choose(nearby, texts, [1] * rows, options))
    assert (one == same_noise).double().mean() > 0.9
    assert (one == other_noise).double().mean() < 0.5
