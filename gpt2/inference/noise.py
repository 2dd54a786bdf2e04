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


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: torch's own copies the sign bit in."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """SplitMix64's bijection of int64 onto itself, elementwise; products wrap modulo 2^64."""
    x = (x ^ _shift(x, 30)) * MIX_1
    x = (x ^ _shift(x, 27)) * MIX_2
    return x ^ _shift(x, 31)


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
    bits = _shift(mix(keys + (tokens + 1) * GOLDEN), 12)
    return (bits.to(torch.float64) + 0.5) * 2.0**-52


def gumbel(keys: Tensor, tokens: Tensor) -> Tensor:
    """-log(-log(u)), float64, of the broadcast shape (Gumbel 1954; Maddison et al. 2014, section 2)."""
    return uniform(keys, tokens).log_().neg_().log_().neg_()
