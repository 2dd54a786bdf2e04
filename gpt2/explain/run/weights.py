"""Weights by what they do to the stream: a head's constant, the final norm's gain, what a neuron writes and promotes.

In: a model, a block, units. Out: tensors that nobody may change. Read next: edits.py, see/readout.py, see/neurons.py.
"""

import torch
from torch import Tensor, nn

from gpt2.model import GPT2


def value_bias(model: GPT2, layer: int) -> Tensor:
    """b_V of every head, [H, D]."""
    attn = model.transformer.h[layer].attn
    return attn.c_attn.bias.detach().chunk(3)[2].view(attn.n_head, attn.head_dim)


def affine(model: GPT2) -> tuple[Tensor, Tensor, bool]:
    """gamma [C], beta [C] of the final norm in float64, and whether it subtracts the mean."""
    norm: nn.Module = model.transformer.ln_f
    ones = torch.ones(model.config.n_embd, dtype=torch.float64, device=model.lm_head.weight.device)
    gamma, beta = getattr(norm, "weight", None), getattr(norm, "bias", None)
    return (
        ones if gamma is None else gamma.detach().double(),
        0 * ones if beta is None else beta.detach().double(),
        isinstance(norm, nn.LayerNorm),
    )


def neuron_writes(model: GPT2, layer: int) -> Tensor:
    """What each neuron of a block's MLP writes to the stream per unit of its activation: the rows of W_out, [F, C]."""
    return model.transformer.h[layer].mlp.c_proj.weight.detach().t()


def write_lengths(model: GPT2, layer: int, activations: Tensor) -> Tensor:
    """||a_n W_out[n]||, how much each neuron writes at these activations [F], in their number format: [F]."""
    return activations.abs() * neuron_writes(model, layer).to(activations).norm(dim=-1)


def promotes(model: GPT2, writes: Tensor) -> Tensor:
    """How much each write [n, C] raises each token's logit above the mean one, before the final norm divides: [n, V].

    <write, ghat_v>, ghat_v = gamma w_v - mean(gamma w_v), minus its mean over the vocabulary; in float64.
    """
    gamma, _, centred = affine(model)
    writes = writes.double()
    direction = gamma * (writes - writes.mean(-1, keepdim=True) if centred else writes)  # <c, g - mean(g)> is this . w
    weight = model.lm_head.weight.detach()
    scores = (direction.to(weight.dtype) @ weight.t()).double()
    return scores - scores.mean(-1, keepdim=True)
