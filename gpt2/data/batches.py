"""Which tokens make up a batch: a pure function of (seed, step, row), so that nothing about data is ever saved.

In: token sets (anything with `len` and `[a:b]`, such as `TokenShards`) and how often each is repeated.
Out: ids and targets [B, T] for any step. Read next: training/loop.py.

A set is cut into windows of T tokens (and the one that follows). One pass over the mix visits every window `repeat`
times, in an order that a keyed permutation gives without storing it; each repeat of a set has its own order. A process
of several asks for its own rows of the global batch, and only those are read from the disk.

A window begins anywhere in a document and may hold several. The id of `<|endoftext|>` stands after each, so that the
ids of a window say where documents begin in it: training builds its mask for attention from them, where it wants one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class TokenSet(Protocol):
    """A long sequence of token ids."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> np.ndarray: ...


def permute(index: np.ndarray, n: int, key: str) -> np.ndarray:
    """Where a keyed permutation of range(n) sends each index: int64 [...] -> int64 [...].

    A four-round Feistel network on the smallest even number of bits that holds n, walked until the value lies below n
    (Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains", section 3): no table, no state.
    """
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    rounds = np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype="<u8")
    value = index.astype(np.uint64)
    waiting = np.ones(value.shape, dtype=bool)
    while waiting.any():
        left, right = value[waiting] >> np.uint64(half), value[waiting] & mask
        for k in rounds:
            left, right = right, left ^ (_mix(right ^ k) & mask)
        value[waiting] = (left << np.uint64(half)) | right
        waiting &= value >= n
    return value.astype(np.int64)


def _mix(x: np.ndarray) -> np.ndarray:
    """A 64-bit finaliser: every input bit reaches every output bit (constants of splitmix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class Mix:
    """A training stream of B rows per step over several sets.

    Raises ValueError for a set that does not fill one window, or a mix that visits none.
    """

    sets: Sequence[TokenSet]
    repeats: Sequence[float]
    context: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        for number, windows in enumerate(self.windows):
            if windows < 1:
                raise ValueError(
                    f"data set {number} has {len(self.sets[number])} tokens: a window of {self.context} needs one "
                    f"more than that; lower the context or add text."
                )
        if not sum(self.visits):
            raise ValueError("the repeats of the data sets visit no window at all: raise one of them.")

    @property
    def windows(self) -> list[int]:
        """Windows in each set; the last tokens that do not fill one are left out."""
        return [(len(s) - 1) // self.context for s in self.sets]

    @property
    def visits(self) -> list[int]:
        """Windows of each set that one pass over the mix visits."""
        return [round(n * repeat) for n, repeat in zip(self.windows, self.repeats, strict=True)]

    @property
    def steps_per_pass(self) -> float:
        """Steps until every window was visited as often as its repeat says."""
        return sum(self.visits) / self.batch_size

    def locate(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Set and window of the samples with these running numbers (step * B + row): int64 [n] -> two int64 [n]."""
        total = sum(self.visits)
        which, window = np.empty_like(samples), np.empty_like(samples)
        borders = np.cumsum([0, *self.visits])
        for lap in np.unique(samples // total):
            of_lap = samples // total == lap
            place = permute(samples[of_lap] % total, total, f"{self.seed}:mix:{lap}")
            number = np.searchsorted(borders, place, side="right") - 1
            found = np.empty_like(place)
            for s in np.unique(number):
                here = number == s
                turn = lap * self.visits[s] + place[here] - borders[s]  # how often this set was asked before
                n = self.windows[s]
                for epoch in np.unique(turn // n):
                    now = turn // n == epoch
                    turn[now] = permute(turn[now] % n, n, f"{self.seed}:set:{s}:{epoch}")
                found[here] = turn
            which[of_lap], window[of_lap] = number, found
        return which, window

    def batch(self, step: int, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """ids and targets, both int64 [rows, T], of one step (or of some rows of its global batch)."""
        samples = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)[rows]
        which, window = self.locate(samples)
        T = self.context
        cut = [self.sets[s][w * T : w * T + T + 1] for s, w in zip(which, window, strict=True)]
        tokens = torch.from_numpy(np.stack(cut).astype(np.int64))  # (rows, T + 1)
        return tokens[:, :-1], tokens[:, 1:]
