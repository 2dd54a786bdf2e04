"""The direction in the stream that a logit reads, and the scale that it is divided by.

In: a run, positions, tokens. Out: for each row a vector ghat [C] and sigma, so that the stream r at that position has

    logit = <r, ghat> / sigma + <beta, w>,   ghat = gamma w - mean(gamma w),   sigma = sqrt(var(r) + eps)

Raw weights, nothing folded; sigma is the run's own, so the sum is exact and linear in r. Of two tokens the difference
of their rows w is taken, without a foil w minus its mean over the vocabulary. RMSNorm: nothing is centred, sigma is
sqrt(mean(r^2) + eps); no norm: sigma is 1. Read next: attribution.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.explain.run.weights import affine

if TYPE_CHECKING:
    from gpt2.explain.run.trace import Run


def slack(dtype: torch.dtype) -> float:
    """How far apart, as a share, rounding may leave two ways to one value of this number format."""
    return max(1e-3, 4 * torch.finfo(dtype).eps)


class NoSum(UsageError):
    """In this model, a variant, the logit is not a sum over components."""


@dataclass(frozen=True, eq=False)
class Readout:
    """One row for each prediction; everything in float64."""

    rows: Tensor  # (N), rows of the run
    at: Tensor  # (N), positions
    direction: Tensor  # (N, C), ghat of the target, minus the foil's or the vocabulary's mean
    constant: Tensor  # (N), <beta, w>
    sigma: Tensor  # (N)
    whole: Tensor  # (N), the logit that the parts sum to
    spread: Tensor  # (N), largest minus smallest logit

    def pick(self, x: Tensor) -> Tensor:
        """A stream-shaped tensor [B, T, ...] at each prediction's row and position, in float64: [N, ...]."""
        return x[self.rows, self.at].double()

    def read(self, write: Tensor) -> Tensor:
        """What a write [N, C] (or [N, ..., C]) adds to the logit: <write, ghat> / sigma."""
        shape = (len(self.rows), *[1] * (write.dim() - 2))
        return torch.einsum("n...c,nc->n...", write.double(), self.direction) / self.sigma.view(shape)


def readout(run: "Run", targets: Tensor, foils: Tensor | None, rows: Tensor, at: Tensor) -> Readout:
    """The readout of `targets` [N] against `foils` [N], or centred where there are none; `at` counts from 0.

    Raises UsageError for a run that edits what comes after the final norm, and for a norm without such a form.
    """
    late = [text for text in run.edits if text.startswith(("final.out", "logits"))]
    if late:
        raise UsageError(
            f"{late[0]} is edited, and what comes after the norm is not a sum over components: leave out that edit."
        )
    weight = run.model.lm_head.weight.detach()
    gamma, beta, centred, sigma = _final_norm(run, rows, at)
    other = weight.mean(0, dtype=torch.float64) if foils is None else weight[foils].double()
    w = weight[targets].double() - other  # (N, C)
    direction = gamma * w
    if centred:
        direction = direction - direction.mean(-1, keepdim=True)
    logits = run.values.stored(None, "logits")[rows, at].detach().double()  # (N, V)
    base = logits.mean(-1) if foils is None else logits.gather(1, foils[:, None])[:, 0]
    whole = logits.gather(1, targets[:, None])[:, 0] - base
    spread = logits.max(-1).values - logits.min(-1).values
    return Readout(rows, at, direction, w @ beta, sigma, whole, spread)


def _final_norm(run: "Run", rows: Tensor, at: Tensor) -> tuple[Tensor, Tensor, bool, Tensor]:
    """gamma, beta, whether the mean is subtracted, sigma [N] of this run; checked against what the norm really gave."""
    gamma, beta, centred = affine(run.model)
    x = run.values.stored(run.model.config.n_layer - 1, "resid_post")[rows, at].detach().double()
    out = run.values.stored(None, "final.out")[rows, at].detach().double()
    scaled = "final.scale" in run.values
    sigma = run.values.stored(None, "final.scale")[rows, at].detach().double() if scaled else torch.ones_like(x[:, 0])
    mean = x.mean(-1, keepdim=True) if centred else 0
    if ((x - mean) / sigma[:, None] * gamma + beta - out).norm() > slack(run.model.lm_head.weight.dtype) * out.norm():
        name = type(run.model.transformer.ln_f).__name__
        raise NoSum(
            f"exact attribution has no counterpart in this model, since its final norm, a {name}, is not linear once "
            "its scale is held: use gpt2 explain off, which measures what each component is worth."
        )
    return gamma, beta, centred, sigma
