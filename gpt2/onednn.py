"""Linear maps in float32 on a CPU through oneDNN, where PyTorch would take MKL: twice as fast at one row and at many.

Out: contexts in which `F.linear` is the operation that PyTorch's own compiler puts in its place on a CPU
(torch.ops.mkldnn._linear_pointwise). It has no gradient. Measured in docs/log.md.
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
    fits = weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    return _OneDNN() if fits and hasattr(torch.ops.mkldnn, "_linear_pointwise") else nullcontext()


@contextmanager
def forward_only(weight: Tensor) -> Iterator[None]:
    """No gradients, and oneDNN where whole texts gain by it: on processors with AVX-512 (without, MKL is as fast)."""
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    with torch.no_grad(), linear_by_onednn(weight) if wide else nullcontext():
        yield


class _OneDNN(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and args[0].dtype == args[1].dtype == torch.float32:
            x, weight, bias = (*args, None)[:3]
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return func(*args, **(kwargs or {}))
