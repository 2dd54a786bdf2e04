"""Linear maps on a CPU through oneDNN, where PyTorch would take MKL or read weights in a slow order.

Out: contexts in which `F.linear` is the operation that PyTorch's own compiler puts in its place on a CPU
(torch.ops.mkldnn._linear_pointwise), with weights as they are or packed. It has no gradient. Measured in docs/log.md.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

ROWS = 8  # at a time, for which weights are packed: the order that it gives is the faster one at a single row too
LARGEST = 2**32  # bytes of weights: a larger model has no room for a second copy on a modest machine
Packed = dict[int, Tensor]  # a weight's id() -> the same numbers in the order in which oneDNN reads them


def linear_by_onednn(weight: Tensor, packed: Mapping[int, Tensor] | None = None) -> AbstractContextManager[Any]:
    """The context for a model whose weights are like this one: a plain one where oneDNN has nothing to offer.

    packed   from `pack`; without it weights are read as they are, which pays in float32 alone
    """
    return _OneDNN(packed or {}) if _fits(weight) and (packed or weight.dtype == torch.float32) else nullcontext()


def pack(model: nn.Module) -> Packed:
    """The weights of a model's linear maps as they are now, packed for few rows at a time; {} where it would not help.

    It takes as long as some steps of decoding, and as much memory as the weights.
    """
    weights = {id(m.weight): m.weight.detach() for m in model.modules() if isinstance(m, nn.Linear)}
    if not all(map(_fits, weights.values())) or sum(w.nbytes for w in weights.values()) > LARGEST:
        return {}
    return {key: torch.ops.mkldnn._reorder_linear_weight(w, ROWS) for key, w in weights.items()}


@contextmanager
def forward_only(weight: Tensor) -> Iterator[None]:
    """No gradients, and oneDNN where whole texts gain by it: on processors with AVX-512 (without, MKL is as fast)."""
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    with torch.no_grad(), linear_by_onednn(weight) if wide else nullcontext():
        yield


def _fits(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False  # a PyTorch without oneDNN has none of its operations
    bf16 = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.backends.mkldnn.is_available() and (bf16 or weight.dtype == torch.float32)


class _OneDNN(TorchFunctionMode):
    def __init__(self, packed: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.packed = packed

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and args[0].dtype == args[1].dtype and args[1].dtype != torch.float64:
            x, weight, bias = (*args, None)[:3]
            return torch.ops.mkldnn._linear_pointwise(x, self.packed.get(id(weight), weight), bias, "none", [], "")
        return func(*args, **(kwargs or {}))
