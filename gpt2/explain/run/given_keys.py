"""Keys and values of earlier positions that are given, read, and never written.

In: keys and values [B or 1, H, P, D] per layer. Out: what a pass asks of a cache. Read next: sweep.py, where many rows
share a beginning; program.py, where a model is exported.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from gpt2.cache import KVCache, Mask


class GivenKeys(KVCache):
    """A cache that keeps nothing of the pass; every row holds the same number of earlier positions."""

    def __init__(self, keys: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        self.keys, self.values = list(keys), list(values)
        self.lengths = [keys[0].size(2)]

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The earlier keys and values, then these: [B, H, P + T, D] each."""
        rows = (len(k), -1, -1, -1)
        return (
            torch.cat([self.keys[layer].expand(rows), k], dim=2),
            torch.cat([self.values[layer].expand(rows), v], dim=2),
        )

    def positions(self, T: int, device: torch.device | str = "cpu") -> Tensor:
        """Absolute positions of the T tokens that follow, [T]."""
        return self.lengths[0] + torch.arange(T, device=device)

    def mask(self, T: int, device: torch.device | str = "cpu") -> Mask:
        """True where key position <= query position, [1, 1, T, P + T]."""
        keys = torch.arange(self.lengths[0] + T, device=device)
        return (keys <= self.positions(T, device)[:, None])[None, None]

    def advance(self, counts: Sequence[int]) -> None:
        """Nothing is kept, so nothing moves on."""
