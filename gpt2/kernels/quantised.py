"""The weights of a linear map in 8 or 4 bits a number, and back.

In: a weight [out, in]. Out: a `Quantised`, whose numbers are whole and small, and their scales.
Read next: linear.py, whose modules compute with one; checkpoint files hold its two tensors.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2.base.errors import Failure

Kind = Literal["int8", "int4"]
GROUP = 32  # numbers of a row that share a scale in int4


@dataclass(frozen=True)
class Quantised:
    """A weight w [out, in] as whole numbers q and scales.

    int8   one scale for each row: w = q * scale, with q from -127 to 127
    int4   one scale for each 32 numbers of a row: w = (q - 8) * scale, with q from 0 to 15

    kind     "int8" or "int4"
    values   q: int8 [out, in]; in int4 uint8 [out, in / 2], of which byte j holds q[2j] in its lower four bits and
             q[2j + 1] in its upper ones
    scale    float32 [out]; in int4 [out, in / 32]
    shape    (out, in)
    """

    kind: Kind
    values: Tensor
    scale: Tensor
    shape: tuple[int, int]

    def dequantise(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weight that these numbers stand for, [out, in]; it is computed in float32 and rounded to `dtype`."""
        return _weight(self.kind, self.values, self.scale).to(dtype)

    def rows(self, ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Some rows of the weight: ids of any shape [...] -> [..., in]. Raises IndexError for ids that it lacks."""
        return _weight(self.kind, F.embedding(ids, self.values), self.scale[ids]).to(dtype)


def quantise(weight: Tensor, kind: Kind) -> Quantised:
    """The nearest weight [out, in] of this kind; where 32 does not divide `in`, int4 is int8 instead.

    int8   the largest magnitude of a row becomes 127 (symmetric, Jacob et al. 2018, section 2.1, without zero point)
    int4   of each 32 numbers the one of largest magnitude becomes -8, as in the format Q4_0 of llama.cpp

    Raises ValueError for a weight that is not [out, in], Failure for one that is not finite.
    """
    if weight.dim() != 2 or kind not in ("int8", "int4"):
        raise ValueError(f"a weight {list(weight.shape)} in {kind!r}: give [out, in], and int8 or int4.")
    weight = weight.detach().to(torch.float32)
    if not bool(weight.isfinite().all()):
        raise Failure(
            "the weights are not all finite", "numbers of 8 bits cannot stand for them; load another checkpoint."
        )
    shape = (weight.size(0), weight.size(1))
    if kind == "int4" and shape[1] % GROUP == 0:
        groups = weight.view(shape[0], -1, GROUP)
        extreme = groups.gather(-1, groups.abs().argmax(dim=-1, keepdim=True))  # (out, in / 32, 1)
        scale = _ones_for_zeros(extreme / -8)
        q = (groups / scale + 8.5).floor().clamp(0, 15).to(torch.uint8).view(shape[0], -1, 2)
        return Quantised("int4", q[..., 0] | q[..., 1] << 4, scale.squeeze(-1), shape)
    scale = _ones_for_zeros(weight.abs().amax(dim=-1) / 127)
    q = (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
    return Quantised("int8", q, scale, shape)


def _ones_for_zeros(scale: Tensor) -> Tensor:
    return scale.where(scale != 0, 1.0)


def _weight(kind: Kind, values: Tensor, scale: Tensor) -> Tensor:
    """Values [..., in] or [..., in / 2], scales [...] or [..., in / 32] -> weights [..., in] in float32."""
    if kind == "int8":
        return values.to(torch.float32) * scale[..., None]
    q = torch.stack([values & 15, values >> 4], dim=-1).flatten(-2).to(torch.float32) - 8  # (..., in)
    return (q.unflatten(-1, (-1, GROUP)) * scale[..., None]).flatten(-2)
