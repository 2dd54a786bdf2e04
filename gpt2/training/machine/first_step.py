"""The first compiled step beside the same step without the compiler: once in each process that compiles.

In: how the loss of some rows is computed by a forward pass, that pass compiled, and the model itself. Out: nothing, or
`Miscompiled`, after which the loop goes on without the compiler. The check draws no random number of the run's, so
that a run stays what it was, bit for bit. Read next: loop.py.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gpt2.training.machine.compiler import Miscompiled

ROUNDING = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""How far the mean loss of a batch may lie from the eager one, in nats, or relative to a loss above 1: well above what
rounding does (docs/log.md)."""

Loss = Callable[[Callable[..., Any]], Tensor]


class FirstStep:
    """The comparison of one process. `loss(forward)` is the summed loss of the step's first rows by that pass.

    done   whether a compiled pass was found right, so that nothing more is compared
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype, agree: Callable[[float], tuple[float, ...]]) -> None:
        """agree: the sum of a number over all processes, which must end the comparison alike."""
        self.model, self.dtype, self.agree = model, dtype, agree
        self.eager: float | None = None
        self.done = False

    def prepare(self, loss: Loss, compiled: Callable[..., Any], counted: int) -> None:
        """Compute the eager loss of rows with `counted` targets; the model is in training mode.

        With dropout the compiled pass draws other numbers than the eager one, so that their losses differ. There, both
        are compared without dropout and without gradients, which compiles the forward pass once more.
        """
        devices = [p.device for p in self.model.parameters() if p.device.type == "cuda"][:1]
        with torch.no_grad(), torch.random.fork_rng(devices):
            before = _random_states(devices)
            self.eager, self.counted = self._eagerly(loss), counted
            same = all(torch.equal(a, b) for a, b in zip(before, _random_states(devices)))
            if self.agree(0.0 if same else 1.0)[0]:
                self.model.eval()
                self.eager = self._eagerly(loss)
                self.compare(loss(compiled))
                self.model.train()

    def compare(self, loss: Tensor) -> None:
        """Raise `Miscompiled`, in all processes, where this compiled loss of the rows is not the eager one."""
        assert self.eager is not None
        eager, got = self.eager / max(1, self.counted), loss.item() / max(1, self.counted)
        near = abs(got - eager) <= ROUNDING[self.dtype] * max(1.0, abs(eager))  # False for NaN
        if self.agree(float(math.isfinite(eager) and not near))[0]:
            self.eager = None
            raise Miscompiled(f"its first loss is {got:.6g}, that of the model without it {eager:.6g}")
        self.done = True

    def _eagerly(self, loss: Loss) -> float:
        with torch.compiler.set_stance("force_eager"):  # blocks under FSDP are compiled in place
            return loss(self.model).item()


def _random_states(devices: list[torch.device]) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]
