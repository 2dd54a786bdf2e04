"""The key/value cache: what attention keeps of earlier positions, so that a new token costs one row.

In: the keys and values of each forward pass. Out: those of every position so far. Slot j of a row holds position j.
Rows may have different lengths: row b writes its next key at its own length, over any padding that lies there.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from gpt2.config import GPT2Config


class KVCache:
    """Preallocated keys and values, [B, H, capacity, D] a layer, and how many positions each row holds.

    Raises ValueError when more is written than fits: positions are baked into keys and values, so a full cache
    cannot roll; the text's last part has to be computed afresh (`gpt2.inference.generate` does).
    """

    def __init__(
        self,
        config: GPT2Config,
        batch_size: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (batch_size, config.n_head, capacity, config.head_dim)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.n_layer)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.n_layer)]
        self.lengths = [0] * batch_size
        self.capacity = capacity

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write k, v [B, H, T, D] behind what each row holds; return all up to the longest row [B, H, T_key, D]."""
        keys, values = self.keys[layer], self.values[layer]
        B, _, T, _ = k.shape
        end = max(self.lengths) + T
        if end > self.capacity:
            raise ValueError(f"{end} positions do not fit into a cache of {self.capacity}: start it afresh.")
        if torch.is_grad_enabled() and (k.requires_grad or keys.requires_grad):
            # Gradients flow through new tensors; writing in place would overwrite what backward needs.
            keys, values = keys.clone(), values.clone()
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
        other = object.__new__(KVCache)
        other.keys, other.values = [k[list(rows)] for k in self.keys], [v[list(rows)] for v in self.values]
        other.lengths, other.capacity = [self.lengths[b] for b in rows], self.capacity
        return other

    @property
    def is_even(self) -> bool:
        """Whether all rows hold the same number of positions."""
        return min(self.lengths) == max(self.lengths)

    def positions(self, T: int, device: torch.device | str = "cpu") -> Tensor:
        """Absolute positions of the next T tokens of each row, [B, T]."""
        starts = torch.tensor(self.lengths, device=device)
        return starts[:, None] + torch.arange(T, device=device)

    def mask(self, T: int, device: torch.device | str = "cpu") -> Tensor | None:
        """[B, 1, T, T_key], True where key position <= query position; None where plain attention says the same."""
        if self.is_even and (T == 1 or self.lengths[0] == 0):
            return None
        slots = torch.arange(max(self.lengths) + T, device=device)
        return (slots <= self.positions(T, device)[:, :, None])[:, None]
