"""The keyed noise against probability theory, and draws with it against their distribution."""

import math

import pytest
import torch

from gpt2.inference import noise
from gpt2.inference.noise import gumbel, row_keys, uniform
from gpt2.inference.rules import keep_min_p, keep_top_k, keep_top_p
from gpt2.inference.sampling import Sampling, choose
from tests.generating import PURE, random_logits, texts_of


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
