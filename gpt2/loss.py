"""Next-token cross-entropy from the hidden states, in fp32, a slice of positions at a time.

In: final hidden states, the head's matrix, targets. Out: the summed loss, with its gradients.
Logits for a whole batch are the largest tensor of a training step (B T V); here only one slice of them exists, and the
slice's gradient is taken while it is there, so that nothing is computed twice.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100  # a target of -100 counts for nothing
SLICE_ELEMENTS = 1 << 26  # logits held at once: 128 MB in bf16, 256 in fp32
GPU_SLICE_ELEMENTS = 1 << 28  # the same on a GPU, which smaller slices do not fill
CACHE_ELEMENTS = 1 << 20  # logits that a processor's cache holds in fp32: softmax passes over these again and again
COLUMNS = 64  # products in half precision are fast where sizes divide by this; 50257 is odd


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """-log p(target) for each position: logits [N, V], targets [N] -> [N] in fp32 or wider, 0 where ignored."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    return F.cross_entropy(logits.to(wide), targets, ignore_index=IGNORED, reduction="none")


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Sum over positions of -log softmax(hidden weight^T)[target]: [N, C], [V, C], [N] -> a scalar, fp32 or wider."""
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    return _LinearCrossEntropy.apply(hidden, weight, targets, torch.is_grad_enabled())


class _LinearCrossEntropy(torch.autograd.Function):
    """d loss / d logits = softmax(logits) - onehot(target), taken slice by slice in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, grad: bool) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        need_hidden, need_weight = (grad and need for need in ctx.needs_input_grad[:2])  # not that of a frozen head
        V, N = weight.size(0), hidden.size(0)
        padding = -V % COLUMNS if hidden.dtype != wide else 0
        if padding:
            weight = F.pad(weight, (0, 0, 0, padding))  # (V + padding, C)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if need_hidden else None
        d_weight: Tensor | None = None
        step = max(1, (GPU_SLICE_ELEMENTS if hidden.is_cuda else SLICE_ELEMENTS) // V)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, N, step):
                x, t = hidden[start : start + step], targets[start : start + step]
                logits = x @ weight.t()  # (n, V + padding)
                if padding:
                    logits[:, V:] = -torch.inf
                turn = _turn_in_cache if hidden.device.type == "cpu" else _turn
                total = total + turn(logits, t, need_hidden or need_weight)
                if d_hidden is not None:
                    d_hidden[start : start + step] = logits @ weight
                if need_weight:
                    part = logits.t() @ x
                    d_weight = (part if step >= N else part.to(wide)) if d_weight is None else d_weight.add_(part)
        ctx.save_for_backward(d_hidden, None if d_weight is None else d_weight[:V])
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        d_hidden, d_weight = ctx.saved_tensors
        (grad,) = grads
        if d_hidden is not None:
            d_hidden = (d_hidden * grad).to(d_hidden.dtype)
        if d_weight is not None:
            d_weight = (d_weight * grad).to(ctx.weight_dtype)
        return d_hidden, d_weight, None, None


def _turn(logits: Tensor, targets: Tensor, grad: bool) -> Tensor:
    """The summed loss of logits [n, V], which become its gradient in place where `grad` is set."""
    seen = targets != IGNORED
    index = targets.masked_fill(~seen, 0)[:, None]
    log_p = F.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)
    loss = -(log_p.gather(1, index)[:, 0] * seen).sum()
    if grad:
        p = log_p.exp_()
        p.scatter_add_(1, index, torch.full_like(index, -1, dtype=p.dtype))
        logits.copy_(p.mul_(seen[:, None]))
    return loss


@torch.library.custom_op("gpt2::turn_in_cache", mutates_args={"logits"})
def _turn_in_cache(logits: Tensor, targets: Tensor, grad: bool) -> Tensor:
    """`_turn`, a few rows at a time. One operation for the compiler, which would fuse the rows of a slice otherwise."""
    rows = max(1, CACHE_ELEMENTS // logits.size(1))
    parts = zip(logits.split(rows), targets.split(rows), strict=True)
    return torch.stack([_turn(x, t, grad) for x, t in parts]).sum()


@_turn_in_cache.register_fake
def _(logits: Tensor, targets: Tensor, grad: bool) -> Tensor:
    return logits.new_empty((), dtype=torch.promote_types(logits.dtype, torch.float32))
