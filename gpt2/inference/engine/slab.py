"""The keys and values of all rows of a batch in one block of memory, in which rows come, go and change places.

In: rows by their number, 0 to `len(lengths)` - 1. Out: a `View` of neighbouring rows, which is the cache of one pass.
The block is as large as its most rows times its longest row. Read next: batch.py.
"""

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from gpt2.base.stopping import Stopped
from gpt2.cache import KVCache
from gpt2.config import GPT2Config

STEP = 64  # positions: memory grows by a multiple of it


class Slab:
    """Keys and values [rows, H, capacity, D] of each layer; row b holds positions 0 to lengths[b] - 1.

    It is made for a model of `config`, of `dtype` and on `device`. A pass over its rows ends with `Stopped` once `stop`
    is set.
    """

    def __init__(self, config: GPT2Config, dtype: torch.dtype, device: torch.device, stop: threading.Event) -> None:
        self.config, self.stop = config, stop
        self.options = {"dtype": dtype, "device": device}
        self.position_bytes = position_bytes(config, dtype)
        self.lengths: list[int] = []
        self.rows = self.capacity = 0
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    @property
    def bytes(self) -> int:
        """What the block takes."""
        return self.rows * self.capacity * self.position_bytes

    def resize(self, rows: int, capacity: int) -> None:
        """Make the block so large, layer by layer; what the rows hold stays."""
        if (rows, capacity) == (self.rows, self.capacity):
            return
        shape = (rows, self.config.n_head, capacity, self.config.head_dim)
        B, T = min(len(self.lengths), self.rows), max(self.lengths, default=0)
        for tensors in (self.keys, self.values):
            for layer in range(self.config.n_layer):
                fresh = torch.zeros(shape, **self.options)  # type: ignore[call-overload]
                if layer == len(tensors):
                    tensors.append(fresh)
                    continue
                if B and T:
                    fresh[:B, :, :T] = tensors[layer][:B, :, :T]
                tensors[layer] = fresh
        self.rows, self.capacity = rows, capacity

    def view(self, first: int, stop: int, T: int) -> "View":
        """These rows as the cache of a pass over T new positions of each."""
        return View(self, first, stop, T)

    def move(self, source: int, target: int) -> None:
        """Put what one row holds where another one is."""
        n = self.lengths[source]
        for tensor in (*self.keys, *self.values) if n else ():
            tensor[target, :, :n] = tensor[source, :, :n]
        self.lengths[target] = n

    def read(self, row: int, n: int) -> list[Tensor]:
        """A copy of the first n positions of a row: [H, n, D] for the keys, then the values, of each layer."""
        return [
            tensor[row, :, :n].clone(memory_format=torch.contiguous_format) for tensor in (*self.keys, *self.values)
        ]

    def write(self, row: int, kept: Sequence[Tensor], n: int) -> None:
        """Have a row begin with the first n positions of what `read` returned."""
        for tensor, source in zip((*self.keys, *self.values), kept, strict=True):
            tensor[row, :, :n] = source[:, :n]
        self.lengths[row] = n

    def share(self, source: int, target: int, n: int) -> None:
        """Have a row begin with the first n positions of another one."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :n] = tensor[source, :, :n]
        self.lengths[target] = n


class View(KVCache):
    """Neighbouring rows of a slab, as the cache of one pass over T new positions of each."""

    def __init__(self, slab: Slab, first: int, stop: int, T: int) -> None:
        self.slab, self.first, self.stop = slab, first, stop
        self.lengths, self.capacity = slab.lengths[first:stop], slab.capacity
        self._even, self._end = min(self.lengths) == max(self.lengths), max(self.lengths) + T
        self.keys, self.values = ([of[first:stop] for of in tensors] for tensors in (slab.keys, slab.values))
        device = slab.keys[0].device
        starts = torch.tensor(self.lengths, device=device)
        self._positions = starts[:, None] + torch.arange(T, device=device)  # (B, T)
        self._rows = torch.arange(len(self.lengths), device=device)[:, None]  # (B, 1)

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """As of a `KVCache`; raises `Stopped` where the engine stops."""
        if self.slab.stop.is_set():
            raise Stopped
        keys, values = self.keys[layer], self.values[layer]
        end = self._end
        if self._even:
            keys[:, :, end - k.size(2) : end], values[:, :, end - k.size(2) : end] = k, v
        else:
            keys[self._rows, :, self._positions] = k.transpose(1, 2)
            values[self._rows, :, self._positions] = v.transpose(1, 2)
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, counts: Sequence[int]) -> None:
        """The rows of the slab now hold so many more positions."""
        super().advance(counts)
        self.slab.lengths[self.first : self.stop] = self.lengths

    def positions(self, T: int, device: torch.device | str = "cpu") -> Tensor:
        """Absolute positions of the T tokens of each row, [B, T]."""
        return self._positions


def position_bytes(config: GPT2Config, dtype: torch.dtype) -> int:
    """Bytes of the keys and values of one position of one row."""
    return 2 * config.n_layer * config.n_embd * dtype.itemsize
