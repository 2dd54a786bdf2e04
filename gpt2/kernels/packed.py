"""Weights in the order in which oneDNN reads them, packed once and never stale.

In: a weight. Out: its packed copy, the same one as long as the weight's numbers stay as they are. oneDNN is one of the
ways of ways.py; a copy costs as much memory as the weight, so that only what gains by it is packed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gpt2.base.onednn import fits

ROWS = 8  # at a time, for which weights are packed: the order that it gives is the faster one at a single row too

_packed = WeakTensorKeyDictionary()  # a weight -> what it was when it was packed, and its copy


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [..., in] -> [..., out] by the operation that PyTorch's own compiler puts in place of `F.linear` on a CPU.

    The weight may be packed. Where the operation does not take such numbers, or a gradient is wanted, PyTorch computes.
    Raises RuntimeError for products that oneDNN does not have on this processor.
    """
    if x.dtype != weight.dtype or not fits(weight) or torch.is_grad_enabled():
        return F.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def pack(weight: Tensor) -> Tensor:
    """The packed copy of a weight [out, in] as it is now; oneDNN must take it, see `fits`."""
    copy: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
    return copy


def packed(weight: Tensor) -> Tensor:
    """`pack`, done once for a weight. Each call reads the weight whole, a small part of what packing takes.

    It must: what changes numbers through `weight.data` leaves no trace but the numbers.
    """
    numbers = weight.detach()
    version = None if numbers.is_inference() else weight._version
    bits = numbers.view(torch.int16 if numbers.element_size() == 2 else torch.int32)
    sums = torch.cat([bits.sum(dim=dim, dtype=torch.int64) for dim in (0, 1)])
    before, where, sums_before, copy = _packed.get(weight, (None, None, None, None))
    if (before, where) != (version, numbers.data_ptr()) or not torch.equal(sums, sums_before):
        copy = pack(weight)
        _packed[weight] = version, numbers.data_ptr(), sums, copy
    found: Tensor = copy
    return found
