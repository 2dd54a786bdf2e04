"""Pairs of one model, ours and transformers', with the same weights: every parameter random and none of them zero."""

import torch
from torch import Tensor
from transformers import GPT2Config as HFConfig
from transformers import GPT2LMHeadModel

from gpt2.checkpoint.weights import NoDraws
from gpt2.config import GPT2Config
from gpt2.model import GPT2

CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # stored [in, out] by transformers

SMALL = GPT2Config(vocab_size=97, n_positions=40, n_embd=24, n_layer=3, n_head=3)


def hf_name_to_ours(name: str, value: Tensor) -> Tensor:
    """A tensor of transformers' model in our orientation."""
    return value.t() if name.endswith(CONV1D) else value


def entropy_share(model: GPT2LMHeadModel, ids: Tensor) -> float:
    """Mean entropy of the attention rows, as a share of a uniform row's."""
    with torch.no_grad():
        patterns = torch.stack(model(ids, output_attentions=True).attentions)[..., 1:, :]  # (L, B, H, T - 1, T)
    entropy = -(patterns * patterns.clamp(min=1e-300).log()).sum(-1)
    return (entropy / torch.arange(2, ids.size(1) + 1).log()).mean().item()


def twins(
    config: GPT2Config, seed: int, ids: Tensor, dtype: torch.dtype = torch.float64
) -> tuple[GPT2, GPT2LMHeadModel]:
    """Ours and transformers' (eager), random to the last bias, attention sharper than half of uniform on `ids`."""
    with NoDraws():  # every parameter is drawn below
        hf = GPT2LMHeadModel(hf_config(config)).to(dtype).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in hf.named_parameters():
            offset = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
            p.copy_(
                offset
                + torch.randn(p.shape, generator=generator, dtype=torch.float64)
                * (0.3 if p.dim() < 2 else p.size(-1) ** -0.5)
            )
        while entropy_share(hf, ids) >= 0.5:
            for block in hf.transformer.h:
                block.attn.c_attn.weight *= 1.2
    with torch.device("meta"), NoDraws():
        ours = GPT2(config)
    same = {
        name: hf_name_to_ours(name, x).clone(memory_format=torch.contiguous_format)
        for name, x in hf.state_dict().items()
    }
    ours.load_state_dict(same, assign=True)
    ours.tie_weights()
    ours.eval()
    return ours, hf


def hf_config(config: GPT2Config, **more: object) -> HFConfig:
    """The same configuration for transformers."""
    return HFConfig(
        vocab_size=config.vocab_size, n_positions=config.n_positions, n_embd=config.n_embd, n_layer=config.n_layer,
        n_head=config.n_head, n_inner=config.n_inner, bos_token_id=0, eos_token_id=0, attn_implementation="eager",
        loss_type="ForCausalLMLoss", activation_function=config.activation_function,
        layer_norm_epsilon=config.layer_norm_epsilon, scale_attn_weights=config.scale_attn_weights,
        scale_attn_by_inverse_layer_idx=config.scale_attn_by_inverse_layer_idx,
        tie_word_embeddings=config.tie_word_embeddings, **more,
    )  # fmt: skip
