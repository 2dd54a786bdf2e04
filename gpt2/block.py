"""One block: attention moves information between positions, the MLP works within each position.

In: the residual stream [B, T, C]. Out: the stream after two additions to it. Read next: model.py.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.attention import CausalSelfAttention
from gpt2.config import GPT2Config
from gpt2.forward_pass import Pass


class LayerNorm(nn.LayerNorm):
    """(x - mean) / sigma * weight + bias, with sigma = sqrt(variance + eps) (Ba et al. 2016, section 3)."""

    def __init__(self, config: GPT2Config, name: str) -> None:
        super().__init__(config.n_embd, eps=config.layer_norm_epsilon)
        self.name = name

    def sigma(self, x: Tensor) -> Tensor:
        """What the norm divides by: x [B, T, C] -> [B, T]."""
        return (x.var(dim=-1, unbiased=False) + self.eps).sqrt()

    def divided(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The norm of x [B, T, C] with a given divisor [B, T]."""
        return (x - x.mean(dim=-1, keepdim=True)) / sigma.unsqueeze(-1) * self.weight + self.bias


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation function that a configuration names: GPT-2's own is `gelu_new`, GELU in the tanh form.

    That is 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): Hendrycks and Gimpel 2016, section 2. The erf form,
    `gelu`, gives other logits. The names are those of `transformers`; several of them mean one function.
    """
    if name in ("gelu_new", "gelu_accurate", "gelu_fast", "gelu_python_tanh", "gelu_pytorch_tanh"):
        return partial(F.gelu, approximate="tanh")
    others: dict[str, Callable[[Tensor], Tensor]] = {
        "gelu_10": lambda x: F.gelu(x).clamp(-10, 10),
        "gelu_python": F.gelu,
        "laplace": lambda x: 0.5 * (1 + torch.erf((x - 0.707107) / (0.282095 * math.sqrt(2)))),
        "linear": lambda x: x,
        "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "relu2": lambda x: F.relu(x).square(),
        "sqrtsoftplus": lambda x: F.softplus(x).sqrt(),
        "swish": F.silu,
    }
    return others.get(name) or getattr(F, name)


class MLP(nn.Module):
    """Two linear maps with an activation function between them, in GPT-2 GELU, for each position alone."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, config.inner_dim)
        self.activation = activation(config.activation_function)
        self.c_proj = nn.Linear(config.inner_dim, config.n_embd)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        pre = here.tap("mlp.pre", self.c_fc(x))  # (B, T, 4C)
        post = here.tap("mlp.post", self.activation(pre))
        return here.tap("mlp.out", self.dropout(self.c_proj(post)))  # (B, T, C)


class Block(nn.Module):
    """x + attn(ln_1(x)), then x + mlp(ln_2(x)): pre-norm, so the stream itself is never normed.

    Source: Radford et al. 2019, section 2.3.
    """

    def __init__(self, config: GPT2Config, layer: int = 0) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(config, "ln_1")
        self.attn = CausalSelfAttention(config, layer)
        self.ln_2 = LayerNorm(config, "ln_2")
        self.mlp = MLP(config)

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = here.tap("resid_mid", x + self.attn(here.norm(self.ln_1, x), here))
        return x + self.mlp(here.norm(self.ln_2, x), here)
