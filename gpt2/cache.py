"""The key/value cache: what attention keeps of earlier positions, so that a new token costs one row.

In: the keys and values of each forward pass. Out: those of every position so far. Slot j of a row holds position j.
Rows may have different lengths: row b writes its next key at its own length, over any padding that lies there.
"""

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor

from gpt2.config import GPT2Config

Mask = Tensor | None  # [B, 1, T, T_key], True where a query may see a key; None: plain causal, or one query sees all


class KVCache:
    """Preallocated keys and values, [B, H, capacity, D] per layer, and how many positions each row holds.

    `config` is that of the model, and B is `batch_size`. `options` are those of `torch.zeros` (dtype, device). Raises
    ValueError when more is written than fits: positions are baked into keys and values, so a full cache cannot roll;
    the last part of the text has to be computed afresh.
    """

    def __init__(self, config: GPT2Config, batch_size: int, capacity: int, **options: Any) -> None:
        shape = (batch_size, config.n_head, capacity, config.head_dim)
        self.keys = [torch.zeros(shape, **options) for _ in range(config.n_layer)]
        self.values = [torch.zeros(shape, **options) for _ in range(config.n_layer)]
        self.lengths, self.capacity = [0] * batch_size, capacity

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write k, v [B, H, T, D] behind what each row holds; return all up to the longest row [B, H, T_key, D]."""
        keys, values = self.keys[layer], self.values[layer]
        B, _, T, _ = k.shape
        end = max(self.lengths) + T
        if end > self.capacity:
            raise ValueError(f"{end} positions do not fit into a cache of {self.capacity}: start it afresh.")
        if torch.is_grad_enabled() and (k.requires_grad or keys.requires_grad):
            keys, values = keys.clone(), values.clone()  # backward needs what writing in place would overwrite
            self.keys[layer], self.values[layer] = keys, values
        if self.is_even:
            keys[:, :, end - T : end], values[:, :, end - T : end] = k, v
        else:
            rows = torch.arange(B, device=k.device)[:, None]  # (B, 1)
            slots = self.positions(T, k.device)  # (B, T)
            keys[rows, :, slots], values[rows, :, slots] = k.transpose(1, 2), v.transpose(1, 2)
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, counts: Sequence[int]) -> None:
        """Row b now holds counts[b] more positions (fewer than were written, where the rest was padding)."""
        self.lengths = [n + count for n, count in zip(self.lengths, counts, strict=True)]

    def truncate(self, length: int) -> "KVCache":
        """Forget positions from `length` on (they are overwritten by what comes next)."""
        self.lengths = [min(n, length) for n in self.lengths]
        return self

    def select(self, rows: Sequence[int]) -> "KVCache":
        """A new cache that holds these rows, in this order, repeats allowed."""
        other, index = copy(self), list(rows)
        other.keys, other.values = [k[index] for k in self.keys], [v[index] for v in self.values]
        other.lengths = [self.lengths[b] for b in rows]
        return other

    @property
    def is_even(self) -> bool:
        """Whether all rows hold the same number of positions."""
        return min(self.lengths) == max(self.lengths)

    def positions(self, T: int, device: torch.device | str = "cpu") -> Tensor:
        """Absolute positions of the next T tokens of each row, [B, T]."""
        starts = torch.tensor(self.lengths, device=device)
        return starts[:, None] + torch.arange(T, device=device)

    def mask(self, T: int, device: torch.device | str = "cpu") -> Mask:
        """True where key position <= query position."""
        if self.is_even and (T == 1 or self.lengths[0] == 0):
            return None
        slots = torch.arange(max(self.lengths) + T, device=device)
        return (slots <= self.positions(T, device)[:, :, None])[:, None]
