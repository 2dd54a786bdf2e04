"""The modules of a quantised model: linear maps and the table of token vectors, with weights of 8 or 4 bits.

In: a GPT2. Out: the same model, whose maps hold a `Quantised` each. What asks such a module for its `weight` gets the
one that its numbers stand for, so that all that reads weights works as before; no parameter is left in it to train.
Read next: fast.py, which lets a model of plain weights use the same kernel.
"""

import sys
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.kernels.library import is_wide, multiply, takes
from gpt2.kernels.quantised import Kind, Quantised, quantise
from gpt2.model import GPT2

FEW = 8  # rows up to which a slow product by small weights is faster than a weight made anew


class _Holds(nn.Module):
    """The buffers `values` and `scale` of a `Quantised`; the scales stay float32 whatever the model becomes."""

    values: Tensor
    scale: Tensor
    like: Tensor  # empty, of the model's type

    def __init__(self, numbers: Quantised, dtype: torch.dtype) -> None:
        super().__init__()
        self.kind, self.shape = numbers.kind, numbers.shape
        self.register_buffer("values", numbers.values)
        self.register_buffer("scale", numbers.scale)
        self.register_buffer("like", torch.empty(0, dtype=dtype, device=numbers.values.device), persistent=False)

    @property
    def quantised(self) -> Quantised:
        """The numbers as they are now."""
        return Quantised(self.kind, self.values, self.scale, self.shape)

    @property
    def weight(self) -> Tensor:
        """The weight that the numbers stand for, [out, in] in the model's type: made anew each time."""
        return self.quantised.dequantise(self.like.dtype)

    def _apply(self, fn: Any, recurse: bool = True) -> "_Holds":
        scale = self.scale
        super()._apply(fn, recurse)
        if self.scale.dtype != torch.float32:
            self.scale = scale.to(self.scale.device)
        return self

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"{self.kind}, {self.shape[0]} x {self.shape[1]}"


class QuantisedLinear(_Holds):
    """y = x w^T + b with w of 8 or 4 bits a number: x [..., in] -> [..., out], in the type of x.

    numbers  the weight
    bias     [out], or None
    dtype    the type of the model's other numbers, in which `weight` is given

    It has a gradient with respect to x. Where the kernel is, and no gradient is wanted, it computes in whole numbers:
    each 64 numbers of x are rounded to 8 bits, or to 16 for int4, and each row of y is the same to the last bit as it
    is alone. Otherwise PyTorch computes: up to 8 rows by int8 weights with its own kernel, all else by the weight made
    anew.
    """

    bias: Tensor | None

    def __init__(self, numbers: Quantised, bias: Tensor | None = None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(numbers, dtype)
        self.out_features, self.in_features = numbers.shape
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        if x.numel() <= most_rows() * self.in_features and takes(x, self.values, self.bias):
            return multiply(x, self.values, self.bias, self.scale)
        if self.kind == "int8" and 0 < x.numel() <= FEW * self.in_features and self._is_plain(x):
            y = torch._weight_int8pack_mm(x.reshape(-1, self.in_features).float(), self.values, self.scale)
            y = y if self.bias is None else y + self.bias
            return y.view(*x.shape[:-1], self.out_features).to(x.dtype)
        return F.linear(x, self.quantised.dequantise(x.dtype), self.bias)

    def _is_plain(self, x: Tensor) -> bool:
        return x.device.type == self.values.device.type == "cpu" and not (torch.is_grad_enabled() and x.requires_grad)


def most_rows() -> int:
    """Rows up to which the kernel computes a product by weights of 8 or 4 bits."""
    return sys.maxsize if is_wide() else FEW


class QuantisedTokens(_Holds):
    """The table of token vectors with 8 bits a number: ids of any shape [...] -> [..., C] in the model's type."""

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of ids. Raises IndexError for ids outside the vocabulary, as `nn.Embedding` does."""
        return self.quantised.rows(ids, self.like.dtype)


def quantise_model(model: GPT2, kind: Kind) -> GPT2:
    """The same model, changed in place: its linear maps and its table of token vectors hold numbers of `kind`.

    In "int4" the table of token vectors and the head stay "int8": each of their rows is a token of its own, and what
    they lose goes straight into the logits. So does a map whose rows 32 does not divide. Position vectors, norms and
    biases stay as they are.

    Raises Failure for weights that are not finite, and leaves the model as it was.
    """
    made: dict[int, Quantised] = {}
    new: list[tuple[str, nn.Module]] = []
    ends = (model.transformer.wte, model.lm_head)

    def numbers(module: nn.Module, of: Kind) -> Quantised:
        weight = cast(Tensor, module.weight)
        if id(weight) not in made:  # a tied head's is the table's
            made[id(weight)] = quantise(weight, of)
        return made[id(weight)]

    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and module is model.transformer.wte:
            new.append((name, QuantisedTokens(numbers(module, "int8"), module.weight.dtype)))
        elif type(module) is nn.Linear:
            bias = None if module.bias is None else module.bias.detach()
            of: Kind = "int8" if module in ends else kind
            new.append((name, QuantisedLinear(numbers(module, of), bias, module.weight.dtype)))
    for name, module in new:
        model.set_submodule(name, module.train(model.training))
    return model
