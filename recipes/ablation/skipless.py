"""A model without residual additions whose initial weights were made for that: signals keep their variety.

After He et al. 2023, "Deep Transformers without Shortcuts" (arXiv 2302.10322), its Value-SkipInit: each head's pattern
is alpha I + beta softmax(...), with alpha = 1 and beta = 0 at the start, both learned, so at first every position keeps
its own signal. Value, projection and MLP matrices start orthogonal. The activation is a leaky ReLU whose slope is
tailored to the depth (Zhang et al. 2022, arXiv 2203.08120): two unrelated inputs end with a cosine of 0.5. (Their
value, 0.9, is for deeper models: at 12 blocks a plain ReLU stays below it.)

In: a model of gpt2. Out: the same with other blocks. Read with collapse.toml.
"""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.ablation.variants import NoResidualBlock, variant
from gpt2.attention import CausalSelfAttention
from gpt2.config import GPT2Config
from gpt2.forward_pass import Pass
from gpt2.model import GPT2

ETA = 0.5  # the cosine at the end of two inputs that are unrelated at the beginning


@variant("skipless")
class SkiplessGPT2(GPT2):
    """No residual additions; patterns start as the identity, matrices orthogonal, activations tailored."""

    def __init__(self, config: GPT2Config, seed: int = 0) -> None:
        super().__init__(config, seed)
        slope = tailored_slope(config.n_layer)
        blocks = [NoResidualBlock(config) for _ in range(config.n_layer)]
        for block in blocks:
            block.attn = SkipAttention(config)
            block.mlp.activation = LeakyReLU(slope)
        self.set_submodule("transformer.h", nn.ModuleList(blocks))
        self.init_weights(seed)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """As in the plain model; then the matrices on the path of the signal are made orthogonal."""
        super().init_weights(seed)
        C = self.config.n_embd
        for block in self.transformer.h:
            if not isinstance(block.attn, SkipAttention):
                return  # still the plain blocks, which the constructor is about to replace
            block.attn.alpha.fill_(1.0)
            block.attn.beta.fill_(0.0)
            for weight in (block.attn.c_attn.weight[2 * C :], block.attn.c_proj.weight):
                weight.copy_(orthogonal(weight))
            for weight in (block.mlp.c_fc.weight, block.mlp.c_proj.weight):
                weight.copy_(orthogonal(weight))


class SkipAttention(CausalSelfAttention):
    """alpha v + beta softmax(q k^T / sqrt(D)) v for each head."""

    def __init__(self, config: GPT2Config, layer: int = 0) -> None:
        super().__init__(config, layer)
        self.alpha = nn.Parameter(torch.ones(config.n_head))
        self.beta = nn.Parameter(torch.zeros(config.n_head))

    def mix(self, q: Tensor, k: Tensor, v: Tensor, here: Pass) -> Tensor:
        """[B, H, T, D] each -> [B, H, T, D]."""
        a, b = (x.view(1, -1, 1, 1) for x in (self.alpha, self.beta))
        return a * v + b * super().mix(q, k, v, replace(here))


class LeakyReLU(nn.Module):
    """x where it is positive, slope x elsewhere, scaled so that a normal input keeps its second moment."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope, self.gain = slope, math.sqrt(2 / (1 + slope**2))

    def forward(self, x: Tensor) -> Tensor:
        """x [...] -> the same shape."""
        return self.gain * F.leaky_relu(x, self.slope)


def cosine_after(cosine: float, slope: float) -> float:
    """The cosine of two signals after one such activation of wide random layers (Zhang et al. 2022, section 3)."""
    spread = (1 - slope) ** 2 / (math.pi * (1 + slope**2))
    return cosine + spread * (math.sqrt(max(0.0, 1 - cosine**2)) - cosine * math.acos(min(1.0, cosine)))


def tailored_slope(depth: int) -> float:
    """The slope at which two unrelated inputs reach the cosine ETA after `depth` activations, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        slope = (low + high) / 2
        cosine = 0.0
        for _ in range(depth):
            cosine = cosine_after(cosine, slope)
        low, high = (slope, high) if cosine > ETA else (low, slope)
    return (low + high) / 2


def orthogonal(weight: Tensor) -> Tensor:
    """The orthogonal matrix (scaled to keep a signal's mean square) that is nearest to a drawn one: [out, in]."""
    u, _, v = torch.linalg.svd(weight, full_matrices=False)
    out, into = weight.shape
    return u @ v * math.sqrt(max(1.0, out / into))
