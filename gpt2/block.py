"""One block: attention moves information between positions, the MLP works within each position.

In: the residual stream [B, T, C]. Out: the stream after two additions to it. Read next: model.py.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.attention import CausalSelfAttention
from gpt2.cache import KVCache, Mask
from gpt2.config import GPT2Config
from gpt2.probe import NO_PROBE, AnyProbe


class LayerNorm(nn.LayerNorm):
    """(x - mean) / sigma * weight + bias, with sigma = sqrt(variance + eps) (Ba et al. 2016, section 3)."""

    def __init__(self, config: GPT2Config, layer: int | None, name: str) -> None:
        super().__init__(config.n_embd, eps=config.layer_norm_epsilon)
        self.layer, self.name = layer, name

    def forward(self, x: Tensor, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> [B, T, C]; sigma [B, T] is the point `NAME.scale`."""
        out = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        if probe.wants(self.layer, f"{self.name}.scale"):
            sigma = (x.var(dim=-1, unbiased=False) + self.eps).sqrt()
            sigma = probe.tap(self.layer, f"{self.name}.scale", sigma)
            if probe.steers(self.layer, f"{self.name}.scale"):
                out = (x - x.mean(dim=-1, keepdim=True)) / sigma.unsqueeze(-1) * self.weight + self.bias
        return probe.tap(self.layer, f"{self.name}.out", out)


class MLP(nn.Module):
    """Two linear maps with GELU between them, for each position alone.

    GELU in the tanh form, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): Hendrycks and Gimpel 2016, section 2.
    The erf form gives other logits.
    """

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.c_fc = nn.Linear(config.n_embd, config.inner_dim)
        self.c_proj = nn.Linear(config.inner_dim, config.n_embd)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        pre = probe.tap(self.layer, "mlp.pre", self.c_fc(x))  # (B, T, 4C)
        post = probe.tap(self.layer, "mlp.post", F.gelu(pre, approximate="tanh"))
        return probe.tap(self.layer, "mlp.out", self.dropout(self.c_proj(post)))  # (B, T, C)


class Block(nn.Module):
    """x + attn(ln_1(x)), then x + mlp(ln_2(x)): pre-norm, so the stream itself is never normed.

    Source: Radford et al. 2019, section 2.3.
    """

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.ln_1 = LayerNorm(config, layer, "ln_1")
        self.attn = CausalSelfAttention(config, layer)
        self.ln_2 = LayerNorm(config, layer, "ln_2")
        self.mlp = MLP(config, layer)

    def forward(self, x: Tensor, cache: KVCache | None = None, mask: Mask = None, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        resid_pre = probe.tap(self.layer, "resid_pre", x)
        resid_mid = resid_pre + self.attn(self.ln_1(resid_pre, probe), cache, mask, probe)
        resid_mid = probe.tap(self.layer, "resid_mid", resid_mid)
        resid_post = resid_mid + self.mlp(self.ln_2(resid_mid, probe), probe)
        if probe.wants(self.layer, "block"):
            write = probe.tap(self.layer, "block", resid_post - resid_pre)
            if probe.steers(self.layer, "block"):
                resid_post = resid_pre + write
        return probe.tap(self.layer, "resid_post", resid_post)
