"""Gumbel noise that is a pure function of (seed, sample, position, token id).

In: those four integers, as tensors. Out: float64 noise g, such that argmax(log p + g) is a draw from p.
Nothing is carried from one draw to the next, so a text depends neither on its neighbours in a batch nor on
which machine continues it; and two slightly different distributions, given the same noise, mostly pick the
same token. Read next: sampling.py.

The integers are mixed by SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators"): a counter, multiplied by an odd constant, goes through a bijection of 64 bits in which every
input bit reaches every output bit. As a sequential generator it passes BigCrush. Here the counter is the
token id, and it starts from the hash of the other three integers.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def _signed(word: int) -> int:
    """The 64-bit word as the number that torch.int64 holds for it."""
    word &= 2**64 - 1
    return word - 2**64 if word >= 2**63 else word


GOLDEN = _signed(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio, made odd: spreads consecutive counters
MIX_1 = _signed(0xBF58476D1CE4E5B9)
MIX_2 = _signed(0x94D049BB133111EB)
MANY = 2048  # tokens, from which it pays to rule some out first
MARGIN = 1e-3  # far above the rounding of weights in float32


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: torch's own copies the sign bit in."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """SplitMix64's bijection of int64 onto itself, elementwise; products wrap modulo 2^64."""
    x = (x ^ _shift(x, 30)).mul_(MIX_1)
    x = x.bitwise_xor_(_shift(x, 27)).mul_(MIX_2)
    return x.bitwise_xor_(_shift(x, 31))


def row_keys(seed: int | Sequence[int], samples: Tensor, positions: Tensor) -> Tensor:
    """One key for each row, int64 [R], from its sample index [R] and its next token's position [R].

    `seed`, or each row's, is taken modulo 2^64. Two rows that differ have the same key by a chance of 2^-64 only.
    """
    seeds = torch.tensor([_signed(one) for one in ([seed] if isinstance(seed, int) else seed)], device=samples.device)
    key = mix(seeds + GOLDEN)
    for counter in (samples, positions):
        key = mix(key + (counter + 1) * GOLDEN)
    return key


def uniform(keys: Tensor, tokens: Tensor) -> Tensor:
    """Float64 in the open interval (0, 1): keys and tokens int64, of shapes that broadcast.

    The upper 52 bits of the hash, in the middle of their cell: exact, and neither 0 nor 1.
    """
    bits = _shift(mix((tokens + 1).mul_(GOLDEN) + keys), 12)
    return bits.to(torch.float64).add_(0.5).mul_(2.0**-52)


def gumbel(keys: Tensor, tokens: Tensor) -> Tensor:
    """-log(-log(u)), float64, of the broadcast shape (Gumbel 1954; Maddison et al. 2014, section 2)."""
    return uniform(keys, tokens).log_().neg_().log_().neg_()


def contenders(scores: Tensor, key: Tensor) -> Tensor:
    """The tokens of one row, ids ascending, of which one has the largest score plus noise: scores [V], its key [].

    That one has the smallest E / w of all, where w = exp(score) and E = -log u (the exponential race; Maddison et al.
    2014, section 2). As -log u >= 1 - u, no token can win whose (1 - u) / w is above what another one reaches. So most
    are ruled out without a logarithm.
    """
    allowed = scores > -math.inf
    if int(allowed.count_nonzero()) < MANY:
        return allowed.nonzero()[:, 0]
    u = uniform(key, torch.arange(len(scores), device=scores.device))
    weights = (scores - scores.max()).float().exp_()
    least = u.neg().add_(1).div_(weights)  # (V,), infinite for a weight of 0
    first = least.argmin()
    return (least <= -u[first].log() / weights[first] * (1 + MARGIN)).nonzero()[:, 0]
