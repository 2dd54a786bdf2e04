"""What is measured of a model for the ledger, in a training or before one: positions, gradients, neurons, counts.

In: a model and rows of tokens. Out: plain numbers. Read with train.py.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2.ablation.measure import ROWS, position_losses
from gpt2.model import GPT2
from gpt2.probe import Probe

DRAWS = 8  # random choices of a tenth of all neurons
PRIOR = 10_000.0  # how many tokens of the whole text count as seen at each position, beside those seen there


def positions_alike(model: GPT2, ids: Tensor, targets: Tensor) -> dict[str, Any]:
    """How alike the streams of different positions are after each block, and the gradients of q, k and v: lists.

    cosine    the mean cosine between the streams of two positions of a row
    own       the share of the stream's norm that is left when its mean over the positions is taken out: 0 is rank 1.
              A mean that all positions share raises the cosine by itself, so this says more
    loss      on these rows
    q, k, v   the norm of the loss's gradient at each third of `c_attn`'s weights, block by block
    """
    points = ["embed.out", *(f"{layer}.resid_post" for layer in range(model.config.n_layer))]
    probe = Probe(points)
    was_training = model.training
    model.eval()
    with torch.enable_grad():
        loss = model(ids[:ROWS], targets[:ROWS], probe=probe)
        loss.backward()
    streams = [probe[point].detach().double() for point in points]
    thirds = [block.attn.c_attn.weight.grad.double().split(model.config.n_embd) for block in model.transformer.h]
    model.zero_grad(set_to_none=True)
    model.train(was_training)
    return {
        "loss": float(loss.detach()),
        "cosine": [mean_cosine(x) for x in streams],
        "own": [own_share(x) for x in streams],
        **{name: [float(third[i].norm()) for third in thirds] for i, name in enumerate("qkv")},
    }


def mean_cosine(x: Tensor) -> float:
    """The mean cosine between two different positions of a row: x [B, T, C]."""
    T = x.size(1)
    unit = F.normalize(x, dim=-1)
    return float(((unit @ unit.transpose(1, 2)).sum((1, 2)) - T).mean() / (T * (T - 1)))


def own_share(x: Tensor) -> float:
    """The norm of what differs from the mean over positions, as a share of the whole norm: x [B, T, C]."""
    return float(((x - x.mean(1, keepdim=True)).norm(dim=(1, 2)) / x.norm(dim=(1, 2))).mean())


@torch.no_grad()
def neurons_off(model: GPT2, ids: Tensor, targets: Tensor) -> dict[str, float]:
    """How much the loss rises when a random tenth of all MLP neurons is set to 0: the mean over DRAWS choices."""
    generator = torch.Generator().manual_seed(0)
    shape = (model.config.n_layer, model.config.inner_dim)
    rises = []
    plain = sum(position_losses(model, ids, targets)) / ids.size(1)
    for _ in range(DRAWS):
        kept = torch.rand(shape, generator=generator) >= 0.1
        edit = {f"{layer}.mlp.post": (lambda x, m=kept[layer]: x * m) for layer in range(shape[0])}
        rises.append(sum(position_losses(model, ids, targets, edit)) / ids.size(1) - plain)
    return {"tenth_off": sum(rises) / len(rises)}


def counted_losses(rows: Tensor, ids: Tensor, targets: Tensor, vocabulary: int) -> dict[str, float]:
    """The loss of predicting by counts alone: of tokens, and of tokens at each position of a row.

    rows     the training text, [N, T + 1]
    targets  what is predicted, [B, T]

    Each token counts as seen once more than it was. At a position the counts are mixed with those of the whole text,
    as if PRIOR more tokens had been seen there: of each token a position has seen few.
    """
    aims = rows[:, 1:]
    whole = torch.bincount(aims.flatten(), minlength=vocabulary).double() + 1
    share = whole / whole.sum()
    unigram = -share.log()[targets].mean()
    T = targets.size(1)
    at = torch.zeros(T, vocabulary, dtype=torch.float64)
    at.index_put_((torch.arange(T).expand_as(aims), aims), torch.ones((), dtype=torch.float64), accumulate=True)
    placed = (at + PRIOR * share) / (at.sum(1, keepdim=True) + PRIOR)
    position = -placed.log()[torch.arange(T).expand_as(targets), targets].mean()
    return {"unigram": float(unigram), "position_unigram": float(position)}
