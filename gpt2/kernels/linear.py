"""STAND-IN until the branch with kernels is merged."""

import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.kernels.quantised import Quantised


class QuantisedLinear(nn.Module):
    def __init__(self, weight: Quantised, bias: Tensor | None = None) -> None:
        super().__init__()
        self.kind, self.shape = weight.kind, weight.shape
        self.register_buffer("values", weight.values)
        self.register_buffer("scale", weight.scale)
        self.register_buffer("bias", bias)

    @property
    def quantised(self) -> Quantised:
        return Quantised(self.kind, self.values, self.scale, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.quantised.dequantise(x.dtype), self.bias)


class QuantisedTokens(QuantisedLinear):
    def forward(self, ids: Tensor) -> Tensor:
        try:
            return self.quantised.rows(ids)
        except IndexError:
            raise ValueError(f"ids are not all in the vocabulary: it has 0 to {self.shape[0] - 1}.") from None
