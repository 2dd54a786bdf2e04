"""Causal self-attention: the step at which a position reads from the positions before it.

In: the normed residual stream [B, T, C]. Out: what attention writes into the stream [B, T, C]. Read next: block.py.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.cache import KVCache, Mask
from gpt2.config import GPT2Config
from gpt2.probe import NO_PROBE, AnyProbe


class CausalSelfAttention(nn.Module):
    """softmax(q k^T / sqrt(D) + causal mask) v for each head, then one projection of all heads.

    Source: Vaswani et al. 2017, section 3.2; Radford et al. 2019, section 2.3.
    """

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.layer, self.n_head, self.head_dim = layer, config.n_head, config.head_dim
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)
        self.attn_pdrop, self.written_out = config.attn_pdrop, False  # training/device.py may have it written out

    def forward(self, x: Tensor, cache: KVCache | None = None, mask: Mask = None, probe: AnyProbe = NO_PROBE) -> Tensor:
        """x [B, T, C] -> [B, T, C]; with a cache, its keys and values come first."""
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, dim=2)
        q = probe.tap(self.layer, "attn.q", q.view(B, T, self.n_head, -1).transpose(1, 2))  # (B, H, T, D)
        k = probe.tap(self.layer, "attn.k", k.view(B, T, self.n_head, -1).transpose(1, 2))
        v = probe.tap(self.layer, "attn.v", v.view(B, T, self.n_head, -1).transpose(1, 2))
        if cache is not None:
            k, v = cache.update(self.layer, k, v)  # (B, H, T_key, D)
        dropout = self.attn_pdrop if self.training else 0.0
        if self.written_out or probe.wants(self.layer, "attn.scores", "attn.pattern"):
            z = self._written_out(q, k, v, mask, dropout, probe)
        else:
            z = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=mask is None and T > 1)
        z = probe.tap(self.layer, "attn.z", z)  # (B, H, T, D)
        out = self.c_proj(z.transpose(1, 2).reshape(B, T, C))
        if probe.wants(self.layer, "head.out"):
            heads = probe.tap(self.layer, "head.out", self.head_writes(z))
            if probe.steers(self.layer, "head.out"):
                out = heads.sum(dim=1) + self.c_proj.bias
        return probe.tap(self.layer, "attn.out", self.resid_dropout(out))

    def _written_out(self, q: Tensor, k: Tensor, v: Tensor, mask: Mask, dropout: float, probe: AnyProbe) -> Tensor:
        """The same attention in separate steps, so that scores and pattern can be read and edited."""
        T, T_key = q.size(2), k.size(2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)  # (B, H, T, T_key)
        scores = probe.tap(self.layer, "attn.scores", scores)
        if mask is None:
            mask = torch.ones(T, T_key, dtype=torch.bool, device=q.device).tril(T_key - T)
        pattern = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
        pattern = probe.tap(self.layer, "attn.pattern", F.dropout(pattern, dropout))
        return pattern @ v  # (B, H, T, D)

    def head_writes(self, z: Tensor) -> Tensor:
        """What each head adds to the stream, z_h W_O: [B, H, T, D] -> [B, H, T, C]; with the bias they sum to out."""
        w = self.c_proj.weight.t().view(self.n_head, self.head_dim, -1)  # (H, D, C)
        return z @ w
