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
SLICE_ELEMENTS = 1 << 24  # logits held at once: 64 MB in fp32


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
        need_hidden, need_weight = (
            grad and need for need in ctx.needs_input_grad[:2]
        )  # a frozen head needs no d_weight
        total = torch.zeros((), dtype=wide, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if need_hidden else None
        d_weight = torch.zeros(weight.shape, dtype=wide, device=hidden.device) if need_weight else None
        step = max(1, SLICE_ELEMENTS // weight.size(0))
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, hidden.size(0), step):
                x, t = hidden[start : start + step], targets[start : start + step]
                seen = t != IGNORED
                index = t.masked_fill(~seen, 0)[:, None]
                log_p = F.log_softmax((x @ weight.t()).to(wide), dim=-1)  # (n, V)
                total = total - (log_p.gather(1, index)[:, 0] * seen).sum()
                if need_hidden or need_weight:
                    p = log_p.exp_()
                    p.scatter_add_(1, index, torch.full_like(index, -1, dtype=wide))
                    d_logits = p.mul_(seen[:, None]).to(hidden.dtype)
                    if d_hidden is not None:
                        d_hidden[start : start + step] = d_logits @ weight
                    if d_weight is not None:
                        d_weight += d_logits.t() @ x
        ctx.save_for_backward(d_hidden, d_weight)
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
