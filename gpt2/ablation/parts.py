"""The replaced components: each is the plain one with one thing changed, and its code is its explanation.

In and out: what the component that it replaces takes and gives, so that the model around it stays as it is. Read next:
variants.py, which puts them in.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.attention import CausalSelfAttention
from gpt2.block import MLP, Block
from gpt2.cache import KVCache, Mask
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.probe import NO_PROBE, AnyProbe


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

    def __init__(self, layer: int | None, name: str) -> None:
        super().__init__()
        self.layer, self.name = layer, name

    def forward(self, x: Tensor, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> the same."""
        return probe.tap(self.layer, f"{self.name}.out", x)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight: no centring, no bias (Zhang and Sennrich 2019, section 3)."""

    def __init__(self, config: GPT2Config, layer: int | None, name: str) -> None:
        super().__init__()
        self.layer, self.name, self.eps = layer, name, config.layer_norm_epsilon
        self.weight = nn.Parameter(torch.ones(config.n_embd))

    def forward(self, x: Tensor, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> [B, T, C]; the divisor [B, T] is the point `NAME.scale`."""
        sigma = probe.tap(self.layer, f"{self.name}.scale", (x.square().mean(dim=-1) + self.eps).sqrt())
        return probe.tap(self.layer, f"{self.name}.out", x / sigma.unsqueeze(-1) * self.weight)


class PostNormBlock(Block):
    """ln_1(x + attn(x)), then ln_2(x + mlp(x)): the stream itself is normed, as in Vaswani et al. 2017, section 3.1."""

    def forward(self, x: Tensor, cache: KVCache | None = None, mask: Mask = None, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = probe.tap(self.layer, "resid_pre", x)
        x = probe.tap(self.layer, "resid_mid", self.ln_1(x + self.attn(x, cache, mask, probe), probe))
        return probe.tap(self.layer, "resid_post", self.ln_2(x + self.mlp(x, probe), probe))


class NoResidualBlock(Block):
    """mlp(ln_2(attn(ln_1(x)))): each step replaces the stream in place of adding to it."""

    def forward(self, x: Tensor, cache: KVCache | None = None, mask: Mask = None, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = probe.tap(self.layer, "resid_pre", x)
        x = probe.tap(self.layer, "resid_mid", self.attn(self.ln_1(x, probe), cache, mask, probe))
        return probe.tap(self.layer, "resid_post", self.mlp(self.ln_2(x, probe), probe))


class NoAttention(nn.Module):
    """Writes 0: no position learns anything of another."""

    def forward(self, x: Tensor, cache: KVCache | None = None, mask: Mask = None, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> zeros."""
        return torch.zeros_like(x)


class NoMLP(nn.Module):
    """Writes 0: a position only gathers from others, and never works on what it gathered."""

    def forward(self, x: Tensor, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> zeros."""
        return torch.zeros_like(x)


class SeeingAttention(CausalSelfAttention):
    """Attention without the causal mask: a position sees the very token that it is to predict."""

    def forward(self, x: Tensor, cache: KVCache | None = None, mask: Mask = None, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> [B, T, C]; with a cache (generation), what has been cached is all that there is to see."""
        if cache is None and mask is None:
            T = x.size(1)
            mask = torch.ones(T, T, dtype=torch.bool, device=x.device)
        return super().forward(x, cache, mask, probe)


class UnscaledQueries(nn.Linear):
    """c_attn whose queries come out sqrt(D) times larger: dividing scores by sqrt(D) then changes nothing."""

    head_dim: int

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, 3C]."""
        q, k, v = super().forward(x).chunk(3, dim=-1)
        return torch.cat((q * math.sqrt(self.head_dim), k, v), dim=-1)


class ReluMLP(MLP):
    """ReLU, or its square (So et al. 2021, section 4), where GELU stood."""

    power = 1

    def forward(self, x: Tensor, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        pre = probe.tap(self.layer, "mlp.pre", self.c_fc(x))
        post = probe.tap(self.layer, "mlp.post", F.relu(pre) ** self.power)
        return probe.tap(self.layer, "mlp.out", self.dropout(self.c_proj(post)))


class SquaredReluMLP(ReluMLP):
    """max(0, x)^2."""

    power = 2


class UntiedGPT2(GPT2):
    """The head has a matrix of its own, drawn as other weights are."""

    def tie_weights(self) -> None:
        """Nothing is tied."""
