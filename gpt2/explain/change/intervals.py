"""How sure a number is: bootstrap intervals over documents, Wilson intervals for accuracies.

In: one number per document (or pair, or sample), with its weight. Out: an `Estimate`, the number with the ends of its
interval. Every figure in explain/ that speaks of more than one text goes through here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gpt2.base.plain import plain

CONFIDENCE = 0.95
RESAMPLES = 4000
ONE_DOCUMENT = "one document: no interval; separate documents with a line <|endoftext|>"
ONE_PAIR = "one pair: no interval"


@dataclass(frozen=True)
class Estimate:
    """A number, or a tensor of them, between the ends of its interval; all three of one shape."""

    value: Tensor
    low: Tensor
    high: Tensor

    def __getitem__(self, index: Any) -> "Estimate":
        return Estimate(self.value[index], self.low[index], self.high[index])

    def __iter__(self) -> Iterator["Estimate"]:
        return (self[i] for i in range(len(self.value)))

    def __format__(self, spec: str) -> str:
        """`format(e, "+.3f")`: the number and its interval, for one number; `[-]` where there is no interval."""
        return f"{format(self.value.item(), spec)} [{self.interval(spec, ', ')}]"

    def interval(self, spec: str, between: str = " to ") -> str:
        """The two ends, of one number; "-" where there is no interval."""
        if self.low.isnan():
            return "-"
        return between.join(format(end.item(), spec) for end in (self.low, self.high))

    def half_width(self, spec: str) -> str:
        """Half the width of the interval, of one number; "-" where there is none."""
        return "-" if self.low.isnan() else format((self.high - self.low).item() / 2, spec)

    def __str__(self) -> str:
        return format(self, ".3g") if self.value.dim() == 0 else repr(self)

    def to_dict(self) -> dict[str, object]:
        """Plain numbers or nested lists of them; None where there is none."""
        return {"value": plain(self.value), "low": plain(self.low), "high": plain(self.high)}


def bootstrap(sums: Tensor, counts: Tensor | None = None, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Sum over documents of `sums` divided by that of `counts`, with its 95% percentile interval over documents.

    sums    [N, ...], one row per document: a sum over its tokens (or a mean, with counts left out)
    counts  [N] or like `sums`: how many tokens each sum covers; None: one each, so the plain mean

    Whole documents are drawn with replacement, since tokens of one text are not independent; a ratio is taken anew
    in each draw. The same documents give the same interval. From few documents it is somewhat too narrow (with 16,
    it holds the truth in about 92 of 100 cases). With one document there is no interval: its ends are nan.
    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", sections 6 and 13.3.

    Raises ValueError for no documents.
    """
    n = sums.size(0)
    if n == 0:
        raise ValueError("there are no documents to average over: give at least one.")
    sums = sums.double().cpu()
    shape, flat = sums.shape[1:], sums.reshape(n, -1)
    weights = torch.ones(n, dtype=torch.float64) if counts is None else counts.double().cpu()
    weights = weights.reshape(n, -1)  # (N, 1) or (N, K)
    value = flat.sum(dim=0) / weights.sum(dim=0)
    if n == 1:
        nothing = torch.full_like(value, math.nan)
        return Estimate(*(x.reshape(shape) for x in (value, nothing, nothing)))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(n, (resamples, n), generator=generator)
    times = torch.zeros(resamples, n, dtype=torch.float64).scatter_add_(
        1, drawn, torch.ones(resamples, n, dtype=torch.float64)
    )
    total = times @ weights  # a draw in which no document has a countable token has no ratio: it is left out
    ratios = (times @ flat / total).expand(resamples, flat.size(1))  # (resamples, K)
    tail = (1 - CONFIDENCE) / 2
    low, high = ratios.nanquantile(torch.tensor([tail, 1 - tail], dtype=torch.float64), dim=0)
    return Estimate(*(x.reshape(shape) for x in (value, low, high)))


def wilson(successes: int, n: int) -> Estimate:
    """The share successes/n with its 95% score interval, which is sensible near 0 and 1 and for small n.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    Raises ValueError for no trials.
    """
    if n < 1:
        raise ValueError("there are no trials: an accuracy needs at least one.")
    z = 1.959963984540054  # the 97.5th percentile of the standard normal distribution
    share, spread = successes / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(*(torch.tensor(x, dtype=torch.float64) for x in (share, low, high)))
