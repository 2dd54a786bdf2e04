"""The optimisers of a run: AdamW for everything, or Muon for the matrices inside blocks and AdamW for the rest.

In: the model and the recipe's `[optim]`. Out: a list of `torch.optim` optimisers; each group holds its peak rate.
Weight decay goes to tensors of two or more dimensions only (Brown et al. 2020, appendix B, as usually reproduced).
"""

from typing import Any

import torch
from torch import Tensor, nn

from gpt2.training.machine.distributed import share_of, whole
from gpt2.training.recipe import OptimRecipe


class Muon(torch.optim.Muon):
    """Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") for blocks' matrices.

    PyTorch's class, with two differences in its step: the three thirds of `c_attn` are three matrices (q, k and v do
    different jobs), and the orthogonalisation runs in fp32 where the processor has no bf16 products. It needs whole
    matrices: where FSDP has spread them, every process gathers each update and orthogonalises all of it.
    """

    def __init__(self, params: Any, thirds: set[int], dtype: torch.dtype, **options: Any) -> None:
        super().__init__(params, **options)
        self.thirds, self.dtype = thirds, dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            matrices = [
                part.to(self.dtype)
                for p in moved
                for part in whole(self._update(p, group["momentum"])).chunk(3 if id(p) in self.thirds else 1)
            ]
            directions = iter(orthogonalize_all(matrices, group["ns_coefficients"], group["ns_steps"]))
            for p in moved:
                parts = [next(directions) for _ in range(3 if id(p) in self.thirds else 1)]
                full = torch.cat([part.to(p.dtype) * max(1.0, part.size(0) / part.size(1)) ** 0.5 for part in parts])
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(share_of(full, p), alpha=-group["lr"])

    def _update(self, p: Tensor, momentum: float) -> Tensor:
        """The gradient with Nesterov's momentum, before it is orthogonalised."""
        assert p.grad is not None
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        return p.grad.lerp(state["momentum_buffer"].lerp_(p.grad, 1 - momentum), momentum)


def orthogonalize_all(matrices: list[Tensor], coefficients: tuple[float, float, float], steps: int) -> list[Tensor]:
    """`orthogonalize` of each, those of one shape at once: many small products would wait for their launches."""
    places: dict[torch.Size, list[int]] = {}
    for place, matrix in enumerate(matrices):
        places.setdefault(matrix.shape, []).append(place)
    found: dict[int, Tensor] = {}
    for same in places.values():
        stack = torch.stack([matrices[place] for place in same])
        found |= zip(same, orthogonalize(stack, coefficients, steps), strict=True)
    return [found[place] for place in range(len(matrices))]


def orthogonalize(g: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """About U V^T of each g = U S V^T, by `steps` of the quintic Newton-Schulz iteration: [k, m, n] -> [k, m, n].

    x <- a x + (b xx^T + c (xx^T)^2) x, started from g over its Frobenius norm (Jordan et al. 2024).
    """
    a, b, c = coefficients
    tall = g.size(1) > g.size(2)
    x = g.mT if tall else g
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def build_optimizers(model: nn.Module, optim: OptimRecipe, bf16: bool) -> list[torch.optim.Optimizer]:
    """Optimisers over all parameters; `group["peak_lr"]` is what the schedule multiplies."""
    named = {id(p): (name, p) for name, p in model.named_parameters() if p.requires_grad}
    matrices = [p for name, p in named.values() if ".h." in name and p.dim() == 2]
    chosen = {id(p) for p in matrices} if optim.name == "muon" else set()
    rest = [p for key, (_, p) in named.items() if key not in chosen]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": optim.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    betas = (optim.beta1, optim.beta2)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=optim.lr, betas=betas, eps=optim.eps, fused=True)
    ]
    if chosen:
        thirds = {key for key, (name, _) in named.items() if name.endswith("c_attn.weight")}
        dtype = torch.bfloat16 if bf16 else torch.float32
        decay = optim.muon_weight_decay
        optimizers.append(Muon(matrices, thirds, dtype, lr=optim.muon_lr, weight_decay=decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers
