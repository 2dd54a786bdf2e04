"""The variants of the study evening that the project does not bring along: half of a component, or another form of it.

In: a model. Out: the same, changed, as in gpt2/ablation/variants.py. evening.toml names this file.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.ablation.variants import NoNorm, NoPositions, Nothing, variant
from gpt2.attention import CausalSelfAttention
from gpt2.block import MLP, Block, LayerNorm
from gpt2.config import GPT2Config
from gpt2.forward_pass import Pass
from gpt2.model import GPT2

# Attention


@variant("half-attention")
def leave_out_every_other_attention(model: GPT2) -> None:
    """Attention in blocks 0, 2, 4, ... alone; the other blocks are an MLP."""
    for block in model.transformer.h[1::2]:
        block.set_submodule("ln_1", NoNorm("ln_1"))
        block.set_submodule("attn", Nothing())


@variant("rotary-positions")
def use_rotary_positions(model: GPT2) -> None:
    """Queries and keys turned by an angle that grows with the position, in place of position vectors."""
    model.set_submodule("transformer.wpe", NoPositions(model.config))
    for block in model.transformer.h:
        block.set_submodule("attn", RotaryAttention(model.config))


class RotaryAttention(CausalSelfAttention):
    """Pairs (i, i + D/2) of a query and of a key turned by pos / 10000^(2i/D) (Su et al. 2021, section 3.2)."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        B, T, C = x.shape
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in self.c_attn(x).split(C, dim=2))
        q, k, v = here.qkv(turned(q, here.positions), turned(k, here.positions), v)  # (B, H, T, D)
        z = here.tap("attn.z", self.mix(q, k, v, here))
        out = here.heads(self, z, self.c_proj(z.transpose(1, 2).reshape(B, T, C)))
        return here.tap("attn.out", self.resid_dropout(out))


def turned(x: Tensor, positions: Tensor | None) -> Tensor:
    """x [B, H, T, D], D even, each vector turned by its position [T] or [B, T]."""
    assert positions is not None
    half = x.size(-1) // 2
    speeds = 10000 ** -(torch.arange(half, device=x.device) / half)
    angles = positions.unsqueeze(-1) * speeds  # ([B,] T, D / 2)
    if angles.dim() == 3:
        angles = angles.unsqueeze(1)  # the same for each head
    first, second = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


@variant("one-key-value-head")
def share_keys_and_values(model: GPT2) -> None:
    """One key and one value for all heads of a block; each head has queries of its own."""
    for block in model.transformer.h:
        block.set_submodule("attn", SharedKeyAttention(model.config))


class SharedKeyAttention(CausalSelfAttention):
    """Attention whose heads share keys and values (Shazeer 2019, "Fast Transformer Decoding", section 3)."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        del self.c_attn
        self.c_q = nn.Linear(config.n_embd, config.n_embd)
        self.c_k = nn.Linear(config.n_embd, config.head_dim)  # two maps: Muon takes each matrix for itself
        self.c_v = nn.Linear(config.n_embd, config.head_dim)

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        B, T, C = x.shape
        q = self.c_q(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, D)
        k, v = (part(x).unsqueeze(1).expand_as(q) for part in (self.c_k, self.c_v))
        q, k, v = here.qkv(q, k, v)
        z = here.tap("attn.z", self.mix(q, k, v, here))
        out = here.heads(self, z, self.c_proj(z.transpose(1, 2).reshape(B, T, C)))
        return here.tap("attn.out", self.resid_dropout(out))


# Norms and biases


@variant("no-final-norm")
def leave_out_final_norm(model: GPT2) -> None:
    """The head reads the stream as it leaves the last block."""
    model.set_submodule("transformer.ln_f", NoNorm("final"))


@variant("norm-without-weights")
def leave_out_scale_and_shift(model: GPT2) -> None:
    """LayerNorm without its learned scale and shift."""
    for block in model.transformer.h:
        block.set_submodule("ln_1", PlainNorm(model.config, "ln_1"))
        block.set_submodule("ln_2", PlainNorm(model.config, "ln_2"))
    model.set_submodule("transformer.ln_f", PlainNorm(model.config, "final"))


class PlainNorm(nn.Module):
    """(x - mean) / sigma, and nothing to learn."""

    def __init__(self, config: GPT2Config, name: str) -> None:
        super().__init__()
        self.name, self.eps = name, config.layer_norm_epsilon

    def sigma(self, x: Tensor) -> Tensor:
        """What the norm divides by: x [B, T, C] -> [B, T]."""
        return (x.var(dim=-1, unbiased=False) + self.eps).sqrt()

    def divided(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The norm of x [B, T, C] with a given divisor [B, T]."""
        return (x - x.mean(dim=-1, keepdim=True)) / sigma.unsqueeze(-1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        return F.layer_norm(x, x.shape[-1:], eps=self.eps)


@variant("no-biases")
def leave_out_biases(model: GPT2) -> None:
    """Every bias of a linear map, and the shift of every norm, held at 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear | LayerNorm) and module.bias is not None:
            size, device = module.bias.shape, module.bias.device
            del module.bias
            module.register_buffer("bias", torch.zeros(size, device=device), persistent=False)


@variant("no-residuals-post-norm")
def norm_what_replaces(model: GPT2) -> None:
    """Attention and MLP replace the stream, and a norm follows each; no final norm, as in post-norm."""
    blocks = nn.ModuleList(NoResidualPostNormBlock(model.config) for _ in model.transformer.h)
    model.set_submodule("transformer.h", blocks)
    model.set_submodule("transformer.ln_f", NoNorm("final"))


class NoResidualPostNormBlock(Block):
    """ln_1(attn(x)), then ln_2(mlp(x))."""

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = here.tap("resid_mid", here.norm(self.ln_1, self.attn(x, here)))
        return here.norm(self.ln_2, self.mlp(x, here))


# The MLP


@variant("gated-mlp")
def gate_mlps(model: GPT2) -> None:
    """GELU(x W) * (x V) between the two maps, narrower, so that a block has as many parameters."""
    for block in model.transformer.h:
        block.set_submodule("mlp", GatedMLP(model.config))


class GatedMLP(MLP):
    """(GELU(x W) * x V) W2 with 2/3 of the inner width (Shazeer 2020, "GLU Variants Improve Transformer")."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        inner = round(config.inner_dim * 2 / 3)
        self.c_fc = nn.Linear(config.n_embd, inner)
        self.c_gate = nn.Linear(config.n_embd, inner)
        self.c_proj = nn.Linear(inner, config.n_embd)

    def forward(self, x: Tensor, here: Pass) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        pre = here.tap("mlp.pre", self.c_gate(x))
        post = here.tap("mlp.post", self.activation(pre) * self.c_fc(x))
        return here.tap("mlp.out", self.dropout(self.c_proj(post)))


# Dropout at one place: the recipe's rate there, 0 elsewhere


@variant("dropout-embeddings")
def drop_embeddings_alone(model: GPT2) -> None:
    """Dropout behind the embeddings alone."""
    keep(model, "embeddings")


@variant("dropout-weights")
def drop_attention_weights_alone(model: GPT2) -> None:
    """Dropout on the weights of attention alone."""
    keep(model, "weights")


@variant("dropout-attention")
def drop_attention_alone(model: GPT2) -> None:
    """Dropout on what attention writes alone."""
    keep(model, "attention")


@variant("dropout-mlp")
def drop_mlp_alone(model: GPT2) -> None:
    """Dropout on what the MLP writes alone."""
    keep(model, "mlp")


def keep(model: GPT2, place: str) -> None:
    """Dropout at one of its four places: the others stand at 0."""
    if place != "embeddings":
        model.transformer.drop.p = 0.0
    for block in model.transformer.h:
        if place != "weights":
            block.attn.attn_pdrop = 0.0
        if place != "attention":
            block.attn.resid_dropout.p = 0.0
        if place != "mlp":
            block.mlp.dropout.p = 0.0
