"""The replaced components: each is the plain one with one thing changed, and its code is its explanation.

In and out: what the component that it replaces takes and gives, so that the model around it stays as it is. Read next:
variants.py, which puts them in.
"""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.attention import CausalSelfAttention
from gpt2.block import Block
from gpt2.config import GPT2Config
from gpt2.forward_pass import Pass
from gpt2.model import GPT2


class SinusoidalPositions(nn.Module):
    """Position vectors that nobody trains: sin and cos of pos / 10000^(2i/C) (Vaswani et al. 2017, section 3.5).

    Scaled to the size that token vectors start with: at amplitude 1 they would drown vectors of std 0.02.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.width, self.amplitude = config.n_embd, math.sqrt(2) * config.initializer_range

    def forward(self, positions: Tensor) -> Tensor:
        """positions [...] -> [..., C]."""
        i = torch.arange(0, self.width, 2, device=positions.device)
        angle = positions.unsqueeze(-1) / 10000 ** (i / self.width)  # (..., C / 2)
        both = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)
        return self.amplitude * both[..., : self.width]


class NoPositions(nn.Module):
    """Every position gets the vector 0: order can reach the model through the causal mask alone."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.width = config.n_embd

    def forward(self, positions: Tensor) -> Tensor:
        """positions [...] -> [..., C]."""
        return torch.zeros(*positions.shape, self.width, device=positions.device)


class NoNorm(nn.Module):
    """The identity where a norm stood; `NAME.out` is still the point behind it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def sigma(self, x: Tensor) -> None:
        """There is nothing to divide by."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> the same."""
        return x


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight: no centring, no bias (Zhang and Sennrich 2019, section 3)."""

    def __init__(self, config: GPT2Config, name: str) -> None:
        super().__init__()
        self.name, self.eps = name, config.layer_norm_epsilon
        self.weight = nn.Parameter(torch.ones(config.n_embd))

    def sigma(self, x: Tensor) -> Tensor:
        """What the norm divides by: x [B, T, C] -> [B, T]."""
        return (x.square().mean(dim=-1) + self.eps).sqrt()

    def divided(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The norm of x [B, T, C] with a given divisor [B, T]."""
        return x / sigma.unsqueeze(-1) * self.weight

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        return self.divided(x, self.sigma(x))


class PostNormBlock(Block):
    """ln_1(x + attn(x)), then ln_2(x + mlp(x)): the stream itself is normed, as in Vaswani et al. 2017, section 3.1."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = here.tap("resid_mid", here.norm(self.ln_1, x + self.attn(x, here)))
        return here.norm(self.ln_2, x + self.mlp(x, here))


class NoResidualBlock(Block):
    """mlp(ln_2(attn(ln_1(x)))): each step replaces the stream in place of adding to it."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = here.tap("resid_mid", self.attn(here.norm(self.ln_1, x), here))
        return self.mlp(here.norm(self.ln_2, x), here)


class Nothing(nn.Module):
    """Writes 0 where attention or an MLP stood."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> zeros."""
        return torch.zeros_like(x)


class SeeingAttention(CausalSelfAttention):
    """Attention without the causal mask: a position sees the very token that it is to predict."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]; with a cache (generation), what has been cached is all that there is to see."""
        if here.cache is None and here.mask is None:
            T = x.size(1)
            here = replace(here, mask=torch.ones(T, T, dtype=torch.bool, device=x.device))
        return super().forward(x, here)


def squared_relu(x: Tensor) -> Tensor:
    """max(0, x)^2 (So et al. 2021, section 4)."""
    return F.relu(x).square()


class UntiedGPT2(GPT2):
    """The head has a matrix of its own, drawn as other weights are."""

    def tie_weights(self) -> None:
        """Nothing is tied."""
