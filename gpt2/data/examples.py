"""Rows to fine-tune on: sequences of tokens of unequal length, each with the place from which its tokens count.

In: the ids of texts, of prompts and completions (completions.py), or of conversations (conversations.py). Out: ids and
targets, padded, for each training step and for evaluation. Read next: training/finetune.py.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gpt2.data.batches import permute
from gpt2.loss import IGNORED


@dataclass(frozen=True)
class Example:
    """ids    int32 [n], two or more
    first  the ids from here on are to be predicted, those before are only read
    said   bool [n]: of these, which ones; None: all. The one at `first` is
    """

    ids: np.ndarray
    first: int = 1
    said: np.ndarray | None = None

    @property
    def counted(self) -> int:
        """How many ids are to be predicted."""
        return len(self.ids) - self.first if self.said is None else int(self.said[self.first :].sum())


def cut(example: Example, context: int) -> Example:
    """The example as far as it fits in the context."""
    said = None if example.said is None else example.said[: context + 1]
    return Example(example.ids[: context + 1], example.first, said)


class Examples:
    """Examples in an order; a set of rows for evaluation."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self.examples = list(examples)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def tokens(self) -> int:
        """How many tokens are to be predicted."""
        return sum(example.counted for example in self.examples)

    @property
    def longest(self) -> int:
        """Positions of the longest row."""
        return max(len(example.ids) for example in self.examples) - 1

    @property
    def hash(self) -> str:
        """SHA-256 of all ids and places, in order."""
        digest = hashlib.sha256()
        for example in self.examples:
            digest.update(f"{len(example.ids)} {example.first}:".encode() + example.ids.astype("<i4").tobytes())
            digest.update(b"" if example.said is None else example.said.tobytes())
        return digest.hexdigest()

    def rows(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Ids and targets, int64 [last - first, T] each."""
        return self.take(range(first, last))

    def take(self, numbers: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
        """The ids and targets of these examples, int64 [n, T]: -100 where nothing is to be predicted."""
        chosen = [self.examples[number] for number in numbers]
        T = max(len(example.ids) for example in chosen) - 1
        ids, targets = torch.zeros(len(chosen), T, dtype=torch.int64), torch.full((len(chosen), T), IGNORED)
        for row, example in enumerate(chosen):
            tokens, end = torch.from_numpy(example.ids.astype(np.int64)), len(example.ids) - 1
            ids[row, :end] = tokens[:-1]
            targets[row, example.first - 1 : end] = tokens[example.first :]
            if example.said is not None:
                targets[row, :end][~torch.from_numpy(example.said[1:])] = IGNORED
        return ids, targets


@dataclass(frozen=True)
class Shuffled:
    """The training stream: every example once in each pass, in an order that depends on the seed and the pass."""

    examples: Examples
    batch_size: int
    seed: int

    @property
    def steps_per_pass(self) -> float:
        """Steps until every example was seen once."""
        return len(self.examples) / self.batch_size

    def batch(self, step: int, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Ids and targets, int64 [rows, T], of one step or of some rows of its batch."""
        n = len(self.examples)
        samples = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        numbers = np.empty_like(samples)
        for lap in np.unique(samples // n):
            of_lap = samples // n == lap
            numbers[of_lap] = permute(samples[of_lap] % n, n, f"{self.seed}:examples:{lap}")
        ids, targets = self.examples.take(numbers)
        return ids[rows], targets[rows]


def windows(ids: np.ndarray, context: int) -> Examples:
    """One sequence in rows of `context`, the last one shorter: ids int32 [n], all but the first predicted once."""
    return Examples(Example(ids[start : start + context + 1]) for start in range(0, len(ids) - 1, context))


def draw(sizes: Sequence[int], limit: int, seed: int) -> set[int]:
    """The numbers of some items, drawn by the seed, whose sizes together stay within `limit`; at least one."""
    order = permute(np.arange(len(sizes)), len(sizes), f"{seed}:held out").tolist()
    drawn: set[int] = set()
    for number in order:
        if sizes[number] <= limit:
            drawn.add(number)
            limit -= sizes[number]
    return drawn or {min(order, key=lambda number: sizes[number])}
