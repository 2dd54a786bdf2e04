"""What a task's result is made of: figures with intervals, beside chance and beside what others published.

In: one number an item. Out: `Figure`s, gathered by the style of the measure in a `TaskResult`.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Z = 1.959964  # 95% of a normal distribution lies within this many standard deviations of its mean


@dataclass(frozen=True)
class Figure:
    """A number with its 95% interval over items, what blind guessing gives, and what others report for this size."""

    value: float
    low: float
    high: float
    chance: float | None = None
    published: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """As JSON has it."""
        return {
            "value": self.value, "low": self.low, "high": self.high,
            "chance": self.chance, "published": self.published,
        }  # fmt: skip


@dataclass(frozen=True)
class TaskResult:
    """The figures of a task: {style: {measure: figure}}; figures of two styles are never compared.

    rows  for each item in order, and for each style: {"style", what was scored, log probabilities, what was right}
    """

    task: str
    items: int
    figures: Mapping[str, Mapping[str, Figure]]
    rows: tuple[tuple[Mapping[str, Any], ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        figures = {style: {name: f.to_dict() for name, f in of.items()} for style, of in self.figures.items()}
        return {"task": self.task, "items": self.items, "figures": figures}


def accuracy(right: Sequence[bool], chance: float, published: float | None = None) -> Figure:
    """The share that is right, with Wilson's interval (Wilson 1927): z is 1.96, p the share, n the number of items.

    (p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
    """
    n, p = len(right), sum(right) / len(right)
    middle = p + Z * Z / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + Z * Z / n) for sign in (-1, 1))
    return Figure(p, max(0.0, low), min(1.0, high), chance, published)


def perplexity(log_probs: Sequence[float], chance: float, published: float | None = None) -> Figure:
    """exp of the mean of -log p over items; its interval is that of the mean (normal), carried through exp."""
    losses = [-log_p for log_p in log_probs]
    mean = statistics.fmean(losses)
    half = Z * statistics.stdev(losses) / math.sqrt(len(losses)) if len(losses) > 1 else math.inf
    return Figure(_exp(mean), _exp(mean - half), _exp(mean + half), chance, published)


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf
