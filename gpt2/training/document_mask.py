"""Packed documents that do not see each other (`data.document_mask`): passed to the model in place of a cache.

In: the ids of a batch. Out: for each pass, the positions of its tokens and who may see whom. Read next: loop.py.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class DocumentMask:
    """What `GPT2.hidden` asks of a cache, from something that stores nothing.

    A document is `<|endoftext|>` and what follows it, as generation and evaluation put one before a text: every token
    sees the tokens of its own document up to itself, and positions count from 0 in each document, so that a packed
    document is scored as it would be alone. The price: positions beyond the longest document are never trained.
    """

    def __init__(self, ids: Tensor, eot_id: int) -> None:
        """ids [B, T] of the batch."""
        self.starts = ids == eot_id  # (B, T)
        self.lengths = (0,)

    def positions(self, T: int, device: torch.device | str = "cpu") -> Tensor:
        """The place of each token in its document, [B, T]."""
        place = torch.arange(T, device=device)
        first = torch.where(self.starts, place, 0).cummax(dim=1).values
        return place - first

    def mask(self, T: int, device: torch.device | str = "cpu") -> Tensor:
        """True where the key is in the query's document and not after it, [B, 1, T, T]."""
        document = self.starts.cumsum(dim=1)  # (B, T)
        same = document[:, :, None] == document[:, None, :]
        return (same & torch.ones(T, T, dtype=torch.bool, device=device).tril())[:, None]

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values as they came."""
        return k, v

    def advance(self, counts: Sequence[int]) -> None:
        """Nothing is kept, so nothing moves on."""
