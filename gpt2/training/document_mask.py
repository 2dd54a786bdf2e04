"""Packed documents that do not see each other (`data.document_mask`): positions and a mask that a pass is given.

In: the ids of a batch. Out: the positions of its tokens, and who may see whom. Read next: loop.py.
"""

import torch
from torch import Tensor


def document_positions(ids: Tensor, eot_id: int) -> dict[str, Tensor]:
    """`positions` [B, T] and `mask` [B, 1, T, T] of ids [B, T], in which `<|endoftext|>` begins a document.

    A document is `<|endoftext|>` and what follows it, as generation and evaluation put one before a text: every token
    sees the tokens of its own document up to itself, and positions count from 0 in each document, so that a packed
    document is scored as it would be alone. The price: positions beyond the longest document are never trained.
    """
    starts = ids == eot_id  # (B, T)
    T = ids.size(1)
    place = torch.arange(T, device=ids.device)
    first = torch.where(starts, place, 0).cummax(dim=1).values
    document = starts.cumsum(dim=1)  # (B, T)
    same = document[:, :, None] == document[:, None, :]
    mask = same & torch.ones(T, T, dtype=torch.bool, device=ids.device).tril()
    return {"positions": place - first, "mask": mask[:, None]}
