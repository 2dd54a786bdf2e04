"""Causal self-attention: the step at which a position reads from the positions before it.

In: the normed residual stream [B, T, C]. Out: what attention writes into the stream [B, T, C]. Read next: block.py.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.config import GPT2Config
from gpt2.forward_pass import Pass


class CausalSelfAttention(nn.Module):
    """softmax(q k^T / sqrt(D) + causal mask) v for each head, then one projection of all heads.

    Source: Vaswani et al. 2017, section 3.2; Radford et al. 2019, section 2.3.
    """

    def __init__(self, config: GPT2Config, layer: int = 0) -> None:
        super().__init__()
        self.n_head, self.head_dim = config.n_head, config.head_dim
        self.divisor = math.sqrt(config.head_dim) if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:  # Karamcheti et al. 2021, "Mistral"
            self.divisor *= layer + 1
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_pdrop = config.attn_pdrop
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        B, T, C = x.shape
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in self.c_attn(x).split(C, dim=2))
        q, k, v = here.qkv(q, k, v)  # (B, H, T, D), k and v (B, H, T_key, D): earlier positions first
        z = here.tap("attn.z", self.mix(q, k, v, here))  # (B, H, T, D)
        out = here.heads(self, z, self.c_proj(z.transpose(1, 2).reshape(B, T, C)))
        return here.tap("attn.out", self.resid_dropout(out))

    def mix(self, q: Tensor, k: Tensor, v: Tensor, here: Pass) -> Tensor:
        """Each position's weighted sum of values, [B, H, T, D]: by the fused kernel, or in steps that can be read."""
        dropout = self.attn_pdrop if self.training else 0.0
        if here.in_steps or here.wants("attn.scores", "attn.pattern"):
            return self.mix_in_steps(q, k, v, dropout, here)
        causal, scale = here.mask is None and q.size(2) > 1, 1 / self.divisor
        return F.scaled_dot_product_attention(q, k, v, here.mask, dropout, is_causal=causal, scale=scale)

    def mix_in_steps(self, q: Tensor, k: Tensor, v: Tensor, dropout: float, here: Pass) -> Tensor:
        """The same in separate steps, so that scores and pattern can be read and edited."""
        scores = here.tap("attn.scores", q @ k.transpose(-2, -1) / self.divisor)  # (B, H, T, T_key)
        pattern = scores.masked_fill(here.unseen(scores), -math.inf).softmax(dim=-1)
        return here.tap("attn.pattern", F.dropout(pattern, dropout)) @ v

    def head_writes(self, z: Tensor) -> Tensor:
        """What each head adds to the stream, z_h W_O: [B, H, T, D] -> [B, H, T, C]; with the bias they sum to out."""
        w = self.c_proj.weight.t().view(self.n_head, self.head_dim, -1)  # (H, D, C)
        return z @ w
