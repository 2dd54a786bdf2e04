"""What a handful of seeds can say: paired differences with t intervals, and verdicts on what was expected.

In: losses of two contestants, seed by seed. Out: `Difference`s, Holm's p-values, "hit", "miss" or "undecided".

A variant and the baseline with the same seed share initial values and the order of the data, so their difference varies
less than either. Over five or ten seeds the t interval is what there is: a bootstrap or a sign test over so few would
promise more than it holds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from gpt2.base.errors import UsageError
from gpt2.base.foreign import shortened

Verdict = Literal["hit", "miss", "undecided"]


@dataclass(frozen=True)
class Difference:
    """mean        of variant - baseline over the seeds that both finished
    low, high   the ends of its interval (infinite with fewer than two pairs)
    p           two-sided p-value of the paired t test that the mean is 0 (1 with fewer than two pairs)
    pairs       seeds counted
    """

    mean: float
    low: float
    high: float
    p: float
    pairs: int


def paired(variant: Sequence[float], baseline: Sequence[float], level: float = 0.95, family: int = 1) -> Difference:
    """The paired t interval of variant - baseline; with `family` > 1, one of a family of intervals that hold together.

    Together means Bonferroni's: each stands at 1 - (1 - level) / family. Raises ValueError for unpaired lengths or
    numbers that are not finite: a run that diverged is counted elsewhere, never averaged.
    """
    d = np.asarray(variant, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    if len(variant) != len(baseline) or not len(d):
        raise ValueError(f"{len(variant)} and {len(baseline)} losses do not make pairs: give two losses for each seed.")
    if not np.isfinite(d).all():
        raise ValueError("a loss is not finite: leave out the seeds whose run diverged.")
    mean = float(d.mean())
    if len(d) < 2:
        return Difference(mean, -math.inf, math.inf, 1.0, len(d))
    try:
        from scipy import stats
    except ImportError:
        raise UsageError('intervals need scipy: pip install "glassbox-gpt2[ablate]".') from None
    error = float(d.std(ddof=1)) / math.sqrt(len(d))
    half = float(stats.t.ppf(1 - (1 - level) / family / 2, len(d) - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, len(d) - 1)) if error else float(mean == 0)
    return Difference(mean, mean - half, mean + half, p, len(d))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the same order: all below alpha may be rejected with a familywise error of alpha.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure", section 3.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def detectable(spread: float, pairs: int, level: float = 0.95, family: int = 1, power: float = 0.8) -> float:
    """The smallest true difference that a paired t test finds with this power: how small an effect a study can see.

    spread  the standard deviation of the differences over seeds
    family  how many contrasts share the error 1 - level: Holm's smallest p-value stands at (1 - level) / family

    With d = difference / spread, the test statistic has a noncentral t distribution with pairs - 1 degrees of freedom
    and the noncentrality d sqrt(pairs) (Cohen 1988, "Statistical Power Analysis", section 2.3). A finding of the wrong
    sign does not count. Infinite with fewer than two pairs.
    """
    if pairs < 2:
        return math.inf
    from scipy import optimize, stats

    free, root = pairs - 1, math.sqrt(pairs)
    critical = float(stats.t.ppf(1 - (1 - level) / family / 2, free))

    def lacking(d: float) -> float:
        return float(stats.nct.sf(critical, free, d * root)) - power

    high = 1.0
    while lacking(high) < 0:
        high *= 2
    return spread * float(optimize.brentq(lacking, 0.0, high))


def region(expectation: str) -> tuple[float, float]:
    """The differences that an expectation allows: ">= 0.05", "<= -0.02" or "within 0.01".

    Raises ValueError for another spelling.
    """
    word, _, number = expectation.strip().partition(" ")
    try:
        size = float(number)
    except ValueError:
        size = math.nan
    regions = {">=": (size, math.inf), "<=": (-math.inf, size), "within": (-abs(size), abs(size))}
    if word not in regions or math.isnan(size):
        raise ValueError(
            f"the expectation {shortened(expectation)} is not '>= NUMBER', '<= NUMBER' or 'within NUMBER'."
        )
    return regions[word]


def verdict(difference: Difference, expectation: str) -> Verdict:
    """What an interval says of an expectation written down beforehand.

    hit: all of the interval lies in the expectation's region; miss: none of it; undecided: it lies across.
    """
    low, high = region(expectation)
    if low <= difference.low and difference.high <= high:
        return "hit"
    return "miss" if difference.high < low or difference.low > high else "undecided"


def equal_tokens(loss: float, budgets: Sequence[tuple[float, float]]) -> tuple[float, str]:
    """With which share of the tokens the plain model reaches `loss`, and the sentence that says so.

    budgets   (share of the budget, mean loss of the plain model trained to completion with it), at least two

    Between two completed budgets the loss is taken as straight over the logarithm of the share. Outside of them nothing
    is extrapolated: the share returned is the outermost one, and the sentence says "less than" or "more than".
    """
    points = sorted(budgets)
    shares, losses = [s for s, _ in points], [value for _, value in points]
    if any(b >= a for a, b in pairwise(losses)):
        raise ValueError("the plain model's loss does not fall with its tokens, so no share can be read off.")
    if loss > losses[0]:
        return shares[0], f"the plain model reaches this loss with less than {shares[0]:.3g} of the tokens"
    if loss < losses[-1]:
        more = "more tokens" if shares[-1] == 1 else f"more than {shares[-1]:.3g} times the tokens"
        return shares[-1], f"the plain model would need {more} to reach this loss"
    share = math.exp(float(np.interp(-loss, [-value for value in losses], [math.log(s) for s in shares])))
    times = "of" if share < 1 else "times"
    return share, f"the plain model reaches this loss with {share:.2f} {times} the tokens"
