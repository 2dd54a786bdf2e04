"""The variants: a plain GPT-2 with one component replaced, and nothing else different. Their code explains them.

Under `@variant(NAME)` stands a function that puts other components into a model before its weights are drawn, or a
class of GPT2 that is another as a whole. What stands in for a component takes and gives what the component did. Every
parameter is drawn from (seed, its name), so a variant starts from the plain model's values wherever they share one.

In: a model. Out: the same, changed. Read next: models.py, which makes a model by the name of its variant.

Widths, depths, heads and dropouts are no variants: they are settings of the plain model, and a study sets them.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.attention import CausalSelfAttention
from gpt2.block import Block
from gpt2.config import GPT2Config
from gpt2.forward_pass import Pass
from gpt2.model import GPT2

Change = Callable[[GPT2], None] | type[GPT2]
C = TypeVar("C", bound=Change)
NAME = "_variant"  # the attribute that says which variant a function or a class is


def variant(name: str) -> Callable[[C], C]:
    """Say which variant the function or the class below is; models.py finds it by that."""

    def named(change: C) -> C:
        setattr(change, NAME, name)
        return change

    return named


# Position vectors


@variant("sinusoidal-positions")
def use_sinusoidal_positions(model: GPT2) -> None:
    """Fixed sine and cosine vectors in place of the learned table."""
    model.set_submodule("transformer.wpe", SinusoidalPositions(model.config))


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


@variant("no-positions")
def leave_out_positions(model: GPT2) -> None:
    """Every position gets the vector 0: order can reach the model through the causal mask alone."""
    model.set_submodule("transformer.wpe", NoPositions(model.config))


class NoPositions(nn.Module):
    """The vector 0, whatever the position."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.width = config.n_embd

    def forward(self, positions: Tensor) -> Tensor:
        """positions [...] -> [..., C]."""
        return torch.zeros(*positions.shape, self.width, device=positions.device)


# Norms


@variant("post-norm")
def norm_after_adding(model: GPT2) -> None:
    """LayerNorm after each addition, on the stream itself; none at the end, where the last block's stands."""
    model.set_submodule("transformer.h", nn.ModuleList(PostNormBlock(model.config) for _ in model.transformer.h))
    model.set_submodule("transformer.ln_f", NoNorm("final"))


class PostNormBlock(Block):
    """ln_1(x + attn(x)), then ln_2(x + mlp(x)): the stream itself is normed, as in Vaswani et al. 2017, section 3.1."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = here.tap("resid_mid", here.norm(self.ln_1, x + self.attn(x, here)))
        return here.norm(self.ln_2, x + self.mlp(x, here))


@variant("no-norm")
def leave_out_norms(model: GPT2) -> None:
    """No LayerNorm anywhere."""
    for block in model.transformer.h:
        block.set_submodule("ln_1", NoNorm("ln_1"))
        block.set_submodule("ln_2", NoNorm("ln_2"))
    model.set_submodule("transformer.ln_f", NoNorm("final"))


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


@variant("rms-norm")
def use_rms_norm(model: GPT2) -> None:
    """RMSNorm in place of every LayerNorm."""
    for block in model.transformer.h:
        block.set_submodule("ln_1", RMSNorm(model.config, "ln_1"))
        block.set_submodule("ln_2", RMSNorm(model.config, "ln_2"))
    model.set_submodule("transformer.ln_f", RMSNorm(model.config, "final"))


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


# What a block does


@variant("no-residuals")
def replace_stream(model: GPT2) -> None:
    """Attention and MLP replace the stream in place of adding to it."""
    model.set_submodule("transformer.h", nn.ModuleList(NoResidualBlock(model.config) for _ in model.transformer.h))


class NoResidualBlock(Block):
    """mlp(ln_2(attn(ln_1(x)))): each step replaces the stream in place of adding to it."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = here.tap("resid_mid", self.attn(here.norm(self.ln_1, x), here))
        return self.mlp(here.norm(self.ln_2, x), here)


@variant("no-attention")
def leave_out_attention(model: GPT2) -> None:
    """Blocks of an MLP alone, without the norm that stood before attention: no position learns of another."""
    for block in model.transformer.h:
        block.set_submodule("ln_1", NoNorm("ln_1"))
        block.set_submodule("attn", Nothing())


@variant("no-mlp")
def leave_out_mlp(model: GPT2) -> None:
    """Blocks of attention alone, without the norm that stood before the MLP."""
    for block in model.transformer.h:
        block.set_submodule("ln_2", NoNorm("ln_2"))
        block.set_submodule("mlp", Nothing())


class Nothing(nn.Module):
    """Writes 0 where attention or an MLP stood."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> zeros."""
        return torch.zeros_like(x)


# Inside attention and the MLP


@variant("no-mask")
def see_later_positions(model: GPT2) -> None:
    """Attention to later positions too."""
    for block in model.transformer.h:
        block.set_submodule("attn", SeeingAttention(model.config))


class SeeingAttention(CausalSelfAttention):
    """Attention without the causal mask: a position sees the very token that it is to predict."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]; with a cache (generation), what has been cached is all that there is to see."""
        if here.cache is None and here.mask is None:
            T = x.size(1)
            here = replace(here, mask=torch.ones(T, T, dtype=torch.bool, device=x.device))
        return super().forward(x, here)


@variant("unscaled-attention")
def leave_scores_undivided(model: GPT2) -> None:
    """Scores that are not divided by sqrt(D)."""
    for block in model.transformer.h:
        block.attn.divisor = 1.0


@variant("relu")
def use_relu(model: GPT2) -> None:
    """ReLU in place of GELU."""
    for block in model.transformer.h:
        block.mlp.activation = F.relu


@variant("squared-relu")
def use_squared_relu(model: GPT2) -> None:
    """The square of ReLU in place of GELU (So et al. 2021, section 4)."""
    for block in model.transformer.h:
        block.mlp.activation = squared_relu


def squared_relu(x: Tensor) -> Tensor:
    """max(0, x)^2, of each number of x."""
    return F.relu(x).square()


# The model as a whole


@variant("untied-head")
class UntiedGPT2(GPT2):
    """A head with a matrix of its own, drawn as other weights are."""

    def tie_weights(self) -> None:
        """Nothing is tied."""


@variant("unscaled-init")
class UnscaledInitGPT2(GPT2):
    """Residual projections start as large as all other weights, not divided by sqrt(2 n_layer)."""

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """As in the plain model, then the division undone."""
        super().init_weights(seed)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                parameter.mul_(math.sqrt(2 * self.config.n_layer))
