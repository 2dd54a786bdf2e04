"""What is recorded of a model beside its loss: scales, gradients, positions, induction, dead neurons.

In: a model (a variant too) and rows of token ids. Out: plain numbers for the results file. All in eval mode, in fp32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gpt2.evaluation.context_use import FIRST, VISIBLE, Z, context_use_of_rows
from gpt2.model import GPT2
from gpt2.probe import Edit, Probe

TARGETS = 8192  # of which the context use is measured
ROWS = 8  # rows a pass: enough for steady numbers, little enough to cost nothing


def stream_scales(model: GPT2, ids: Tensor, targets: Tensor) -> dict[str, list[float]]:
    """Root mean square of the stream, and the size of the loss's gradient there, before block 0 and after each block.

    ids, targets [B, T]. The gradient is ||dL / d resid(l)[t]|| averaged over tokens, L the mean loss; it is not the
    norm of a parameter's gradient. Infinite and undefined numbers stay what they are.
    """
    points = ["embed.out", *(f"{layer}.resid_post" for layer in range(model.config.n_layer))]
    probe = Probe(read=points, grad=True)
    was_training = model.training
    model.eval()
    with torch.enable_grad():
        model(ids[:ROWS], targets[:ROWS], probe=probe).backward()
    model.zero_grad(set_to_none=True)
    model.train(was_training)
    return {
        "activation_rms": [probe[p].detach().square().mean().sqrt().item() for p in points],
        "gradient_norm": [probe.grad(p).norm(dim=-1).mean().item() for p in points],
    }


@torch.inference_mode()
def position_losses(model: GPT2, ids: Tensor, targets: Tensor, edit: Mapping[str, Edit] | None = None) -> list[float]:
    """Mean loss at each position over the rows: ids, targets [B, T] -> T numbers; rows with ignored targets count 0.

    edit   what to change on the way, by address
    """
    probe = Probe(edit=edit) if edit else None
    total, seen = torch.zeros(2, ids.size(1), device=ids.device)
    for first in range(0, len(ids), ROWS):
        x, y = ids[first : first + ROWS], targets[first : first + ROWS]
        total += model(x, y, reduction="none", probe=probe).sum(dim=0)
        seen += (y >= 0).sum(dim=0)
    return (total / seen.clamp(min=1)).tolist()


def in_context_score(losses: Sequence[float]) -> float:
    """Mean loss late (the last tenth of positions) minus early (the second tenth): below 0, context helps.

    After Olsson et al. 2022, "In-context Learning and Induction Heads", who take the 500th minus the 50th token.
    """
    tenth = max(1, len(losses) // 10)
    late, early = losses[-tenth:], losses[tenth : 2 * tenth]
    return sum(late) / len(late) - sum(early) / max(1, len(early))


def context_use(model: GPT2, ids: Tensor, targets: Tensor) -> dict[str, float] | None:
    """What the full context is worth over the last 8 tokens, on some of the rows [B, T]; None for rows under 16.

    `full` and `short` are the two mean losses, `use` their difference, and `error` its standard error over rows
    (gpt2/evaluation/context_use.py).
    """
    T = ids.size(1)
    if T < 2 * VISIBLE:
        return None
    rows = max(1, TARGETS // (T - min(FIRST, T // 2)))
    found = context_use_of_rows(model, ids[:rows], targets[:rows])
    return {"use": found.use, "full": found.full, "short": found.short, "error": (found.high - found.use) / Z}


@torch.inference_mode()
def induction_score(model: GPT2, samples: int = 4) -> float | None:
    """The largest mean attention of any head from a token's repeat to the token after its first occurrence.

    On s + s with s of n distinct random tokens: mean over the second copy of A[i, i - n + 1] (Olsson et al. 2022,
    section 2). None where no head has a pattern.
    """
    config = model.config
    n = min(50, config.n_positions // 2, config.vocab_size - 1)
    generator = torch.Generator().manual_seed(0)
    rows = torch.stack([torch.randperm(config.vocab_size, generator=generator)[:n] for _ in range(samples)])
    probe = Probe(read="*.attn.pattern")
    model(rows.repeat(1, 2).to(model.transformer.wte.weight.device), probe=probe)
    scores = []
    for layer in range(config.n_layer):
        try:
            pattern = probe[f"{layer}.attn.pattern"]  # (B, H, 2n, 2n)
        except ValueError:  # a block without attention
            continue
        scores.append(pattern.diagonal(offset=1 - n, dim1=-2, dim2=-1)[..., 1:].mean(dim=(0, 2)))  # rows n .. 2n - 1
    return torch.stack(scores).max().item() if scores else None


@torch.inference_mode()
def dead_neurons(model: GPT2, ids: Tensor) -> float | None:
    """Share of MLP neurons whose input never rises above 0 on these rows [B, T]; None without an MLP."""
    alive: list[Tensor] = []
    for first in range(0, len(ids), ROWS):
        probe = Probe(read="*.mlp.pre")
        model(ids[first : first + ROWS], probe=probe)
        try:
            here = [(probe[f"{layer}.mlp.pre"] > 0).flatten(0, 1).any(dim=0) for layer in range(model.config.n_layer)]
        except ValueError:
            return None
        alive = [a | b for a, b in zip(alive, here, strict=True)] if alive else here
    return 1 - torch.cat(alive).float().mean().item()


@torch.inference_mode()
def longer_losses(model: GPT2, tokens: Tensor, context: int, times: int = 4) -> list[float] | None:
    """Mean loss of each stretch of `context` positions in rows `times` as long as the model was trained on.

    tokens [N], cut into rows that do not overlap. None where the model has a table of positions: it has no vector for a
    position past the context, and refuses.
    """
    positions: nn.Module = model.transformer.wpe  # a variant may have put another there
    if isinstance(positions, nn.Embedding):
        return None
    T, trained = times * context, model.config
    rows = tokens[: (len(tokens) - 1) // T * T + 1]
    model.config = replace(trained, n_positions=T)
    losses = torch.tensor(position_losses(model, rows[:-1].view(-1, T), rows[1:].view(-1, T)))
    model.config = trained
    return losses.view(times, context).mean(dim=1).tolist()


def brief(value: Any, listed: bool = False) -> Any:
    """The same numbers, those inside lists cut to six digits: a study's results stay below a megabyte."""
    if isinstance(value, dict):
        return {key: brief(item, listed) for key, item in value.items()}
    if isinstance(value, list):
        return [brief(item, True) for item in value]
    return float(f"{value:.6g}") if listed and isinstance(value, float) else value
