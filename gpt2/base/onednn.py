"""Linear maps on a CPU through oneDNN, for whole texts, where PyTorch would take MKL.

Out: contexts in which `F.linear` is the operation that PyTorch's own compiler puts in its place on a CPU
(torch.ops.mkldnn._linear_pointwise). It has no gradient. Measured in docs/log.md. Few rows at a time, as in generation,
go other ways: gpt2/kernels.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


def linear_by_onednn(weight: Tensor) -> AbstractContextManager[Any]:
    """The context for a model whose weights are like this one: a plain one where oneDNN has nothing to offer."""
    return _OneDNN() if weight.dtype == torch.float32 and fits(weight) else nullcontext()


@contextmanager
def forward_only(weight: Tensor) -> Iterator[None]:
    """No gradients, and oneDNN where whole texts gain by it: on processors with AVX-512 (without, MKL is as fast)."""
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    with torch.no_grad(), linear_by_onednn(weight) if wide else nullcontext():
        yield


def fits(weight: Tensor) -> bool:
    """Whether oneDNN takes weights of this type here."""
    if weight.device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False  # a PyTorch without oneDNN has none of its operations
    bf16 = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.backends.mkldnn.is_available() and (bf16 or weight.dtype == torch.float32)


class _OneDNN(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and args[0].dtype == args[1].dtype and args[1].dtype != torch.float64:
            return torch.ops.mkldnn._linear_pointwise(*(*args, None)[:3], "none", [], "")
        return func(*args, **(kwargs or {}))
