"""One rule for verdicts: what an interval says of a statement, alike for all statements and all settings.

In: intervals. Out: a `Verdict`. Read next: ledger.py, which applies it; docs/ledger.md prints it.

A statement on losses implies a direction: without the component the loss is higher, or lower. What an interval must
reach beyond is the same for all of them, SMALLEST, whatever size a single study expected. A statement on shares
("the model does X") is judged at USUAL for all of them. A statement that names no moment and no learning rate is judged
at each that was looked at (`of_cases`). Where no result could have shown an effect that matters, nothing is decided
(`room`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Literal

from gpt2.ablation.statistics import paired

Verdict = Literal["holds", "fails", "too small to matter", "depends", "undecided", "illustration"]
VERDICTS: tuple[Verdict, ...] = ("holds", "fails", "too small to matter", "depends", "undecided", "illustration")
Direction = Literal["higher", "lower"]

SMALLEST = 0.02
"""Nats per token. A difference of 0.02 is 2% of perplexity. The plain model of the smallest study gains as much when it
reads 5% more text (its loss falls by 0.286 when its text doubles). Nobody would choose a component for less."""

USUAL = 0.8
"""Four cases of five: what a sentence without reservation ("the weights say what is relevant") must be right in."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval over seeds, at `level`; `where` names what it was measured in.

    `differences` are its seeds' own.
    """

    mean: float
    low: float
    high: float
    where: str = ""
    differences: tuple[float, ...] = ()
    level: float = 0.95

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies on one side of 0, otherwise 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def of_difference(found: Interval, direction: Direction, room: float = inf) -> Verdict:
    """What one interval of loss differences says of a statement with a direction.

    Turned so that the statement says "above": the whole interval beyond SMALLEST, it holds; the whole interval within
    SMALLEST of 0, the effect is too small to matter; the whole interval short of SMALLEST and not all of it within, it
    fails, since the effect that was claimed is excluded; otherwise the interval is too wide to tell.

    room   the largest effect that there could have been. Below SMALLEST no interval says anything of the statement.
    """
    if room < SMALLEST:
        return "undecided"
    low, high = (found.low, found.high) if direction == "higher" else (-found.high, -found.low)
    if not (isfinite(low) and isfinite(high)):
        return "undecided"
    if low >= SMALLEST:
        return "holds"
    if high < SMALLEST:
        return "too small to matter" if low > -SMALLEST else "fails"
    return "undecided"


def of_share(low: float, high: float) -> Verdict:
    """What the interval of a share says of a sentence without reservation."""
    return "holds" if low >= USUAL else "fails" if high < USUAL else "undecided"


def of_settings(settings: Sequence[Interval], direction: Direction, room: float = inf) -> Verdict:
    """What several settings say together.

    Those that are decided must agree. Where they do not, the verdict is "depends" if two intervals exclude 0 with
    opposite signs, or if the difference between two settings (an interaction) has an interval that excludes 0;
    otherwise nobody can say whether it depends on the setting.
    """
    verdicts = [of_difference(s, direction, room) for s in settings]
    decided = {v for v in verdicts if v != "undecided"}
    if depending(settings, verdicts):
        return "depends"
    return decided.pop() if len(decided) == 1 else "undecided"


def of_cases(cases: Sequence[tuple[str, bool | None]]) -> Verdict:
    """What a statement's cases (moments of a training, learning rates) say together: (words, whether it is so there).

    So in all of them, it holds; in none, it fails; in some, it depends. None stands for a case that decides nothing.
    """
    found = {so for _, so in cases}
    if {True, False} <= found:
        return "depends"
    return "undecided" if None in found or not found else "holds" if True in found else "fails"


def depending(settings: Sequence[Interval], verdicts: Sequence[Verdict]) -> tuple[str, str] | None:
    """Two settings on which it depends, by name; None where no two do."""
    pairs = [(i, j) for i in range(len(settings)) for j in range(i)]
    for i, j in pairs:
        if settings[i].sign * settings[j].sign < 0:
            return settings[j].where, settings[i].where
    for i, j in pairs:
        apart = verdicts[i] != verdicts[j] and "undecided" not in (verdicts[i], verdicts[j])
        if apart and interaction(settings[i], settings[j]).sign:
            return settings[j].where, settings[i].where
    return None


def interaction(one: Interval, other: Interval) -> Interval:
    """The difference between two settings' effects, with Welch's interval: their seeds are not paired.

    Source: Welch 1947, "The Generalization of Student's Problem". Infinite with fewer than two seeds in either.
    """
    from scipy import stats

    a, b = one.differences, other.differences
    mean = one.mean - other.mean
    if len(a) < 2 or len(b) < 2:
        return Interval(mean, float("-inf"), float("inf"))
    parts = [_variance(x) / len(x) for x in (a, b)]
    total = sum(parts)
    freedom = total**2 / max(sum(p**2 / (len(x) - 1) for p, x in zip(parts, (a, b))), 1e-300)
    half = float(stats.t.ppf(0.975, max(freedom, 1.0))) * sqrt(total)
    return Interval(mean, mean - half, mean + half)


def mean_of(values: Sequence[float], where: str = "") -> Interval:
    """The mean of independent values with its t interval."""
    d = paired(values, [0.0] * len(values))
    return Interval(d.mean, d.low, d.high, where, tuple(values))


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / (len(values) - 1)
