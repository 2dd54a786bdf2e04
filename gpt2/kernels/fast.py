"""A model whose linear maps are computed in the way that is the fastest on this processor.

In: a GPT2. Out: another one of the very same parameters, for passes without gradients. The model itself stays as it is:
nothing in its forward pass asks for a way, and a change of its weights counts at once.
Read next: inference/decoder.py.
"""

import sys
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from gpt2.kernels.blocks import Blocks, FastGPT2, fuses
from gpt2.kernels.library import instructions
from gpt2.kernels.linear import QuantisedLinear, most_rows
from gpt2.kernels.packed import packed
from gpt2.kernels.ways import CLASSES, PLAIN, WAYS, Ways, assumed, ways
from gpt2.model import GPT2

LARGE = 128 << 20  # bytes of weights from which ways are measured
TO_PACK = 2**32  # bytes of weights up to which there may be a second copy
M = TypeVar("M", bound=nn.Module)


class FastLinear(nn.Linear):
    """A linear map, x [..., in] -> [..., out], by one way for each class of row counts."""

    by_class: tuple[Callable[[Tensor, Tensor, Tensor | None], Tensor], ...]
    read: tuple[Tensor | None, ...]  # a packed weight for a class, or None: the weight as it is

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        which = _class(x.numel() // self.in_features)
        weight = self.read[which]
        return self.by_class[which](x, self.weight if weight is None else weight, self.bias)


def fast(model: GPT2, steps: int = 1, rows: int = 1) -> GPT2:
    """The same parameters in modules of their own, in evaluation mode, for passes without gradients.

    steps  how many passes are wanted behind the first one: a weight is packed only where there are many
    rows   how many rows each of them has, at most; a weight is packed only where that makes them faster

    Where the kernel is the way of several classes, a row's result is the same to the last bit in any company of these
    sizes; the other ways sum in an order that depends on the number of rows.

    Where it is the way of one row, the blocks are computed in one call (blocks.py). Weights on a GPU, or of other types
    than float32 and bfloat16, are computed as ever.
    """
    maps = {id(m): m for m in model.modules() if type(m) is nn.Linear}
    weights = [m.weight for m in maps.values()]
    chosen = _chosen(weights, pack=steps >= 16)  # with fewer, what packing takes is not won back
    if "packed" not in chosen[: _class(rows) + 1]:
        chosen = _chosen(weights, pack=False)
    most = _most(chosen) if maps else most_rows()
    kinds: dict[type, type] = {nn.Linear: FastLinear} if chosen != PLAIN else {}
    if most and fuses(model):
        kinds[GPT2] = FastGPT2
    twin = _twin(model, {}, kinds)
    if isinstance(twin, FastGPT2):
        twin.fused = Blocks(twin.transformer.h, most)
    for new in twin.modules() if chosen != PLAIN else ():
        if isinstance(new, FastLinear):
            copy = packed(new.weight) if "packed" in chosen else None
            new.read = tuple(copy if way == "packed" else None for way in chosen)
            new.by_class = tuple(WAYS["onednn" if way == "packed" else way] for way in chosen)
    return twin.eval()


def way_of(computing: GPT2) -> str:
    """How a model that `fast` returned computes its linear maps for one token: by PyTorch ("torch"), by oneDNN with the
    weights as they are ("onednn") or "packed", or by our own "kernel"."""
    for one in computing.modules():
        if isinstance(one, QuantisedLinear):
            return "torch" if instructions() is None else "kernel"
        if isinstance(one, FastLinear):
            return "packed" if one.read[0] is not None else one.by_class[0].__name__.replace("linear", "torch")
    return "torch"


def _class(rows: int) -> int:
    return 0 if rows == 1 else sum(rows > most for most in CLASSES)


def _chosen(weights: list[Tensor], pack: bool) -> Ways:
    size = sum({weight.data_ptr(): weight.nbytes for weight in weights}.values())
    first = weights[0] if weights else torch.empty(0)
    alike = all(weight.dtype == first.dtype and weight.device.type == "cpu" for weight in weights)
    if not alike or first.dtype not in (torch.float32, torch.bfloat16):
        return PLAIN
    if size < LARGE:
        return assumed()
    return ways(first.dtype, pack and size <= TO_PACK)


def _most(chosen: Ways) -> int:
    """The rows up to which every class goes by the kernel."""
    classes = (*CLASSES, sys.maxsize)
    return max((most for n, most in enumerate(classes, 1) if chosen[:n] == ("kernel",) * n), default=0)


def _twin(module: M, made: dict[int, nn.Module], kinds: dict[type, type]) -> M:
    """A module that shares all that this one holds, parameters and hooks, but has children of its own."""
    new = made.get(id(module))
    if new is None:
        kind = kinds.get(type(module), type(module))
        new = made[id(module)] = object.__new__(kind)
        new.__dict__.update(module.__dict__)
        new.__dict__["_modules"] = {
            name: None if child is None else _twin(child, made, kinds) for name, child in module._modules.items()
        }
    return new  # type: ignore[return-value]
