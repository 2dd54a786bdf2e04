"""Ours against transformers' GPT-2 on the same weights: logits, loss and every gradient; and that faults are caught."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2LMHeadModel
from transformers.activations import ACT2FN

from gpt2.base.presets import PRESETS
from gpt2.config import ACTIVATIONS, GPT2Config
from gpt2.model import GPT2
from tests.twins import SMALL, hf_config, hf_name_to_ours, twins


def tokens(config: GPT2Config, seed: int, B: int = 2, T: int = 17) -> Tensor:
    return torch.randint(config.vocab_size, (B, T), generator=torch.Generator().manual_seed(seed))


def logit_difference(ours: GPT2, hf: GPT2LMHeadModel, ids: Tensor) -> float:
    """Largest difference of logits, in standard deviations of the reference's."""
    with torch.no_grad():
        reference = hf(ids).logits
        return ((ours(ids) - reference).abs().max() / reference.std()).item()


def gradient_differences(ours: GPT2, hf: GPT2LMHeadModel, ids: Tensor) -> dict[str, float]:
    """||g - g_ref|| / ||g_ref|| of each parameter. transformers' own loss is computed in fp32, so not used here."""
    targets = F.pad(ids[:, 1:], (0, 1), value=-100)
    ours.zero_grad()
    hf.zero_grad()
    loss = ours(ids, targets)
    reference = F.cross_entropy(hf(ids).logits.flatten(0, 1), targets.flatten())
    assert abs(loss.item() - reference.item()) < (1e-12 if loss.dtype == torch.float64 else 1e-5)
    loss.backward()
    reference.backward()
    expected = {name: hf_name_to_ours(name, p.grad) for name, p in hf.named_parameters()}
    return {n: ((p.grad - expected[n]).norm() / expected[n].norm()).item() for n, p in ours.named_parameters()}


CONFIGS = [
    SMALL,
    replace(SMALL, n_layer=1, n_head=1, n_embd=8, n_inner=20, vocab_size=31),
    replace(SMALL, n_layer=4, n_head=8, n_embd=64, n_positions=17),
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_float64_logits_loss_and_gradients(config: GPT2Config, seed: int) -> None:
    ids = tokens(config, seed)
    ours, hf = twins(config, seed, ids)
    assert logit_difference(ours, hf, ids) < 1e-10
    differences = gradient_differences(ours, hf, ids)
    assert max(differences.values()) < 1e-9, differences


FAMILY = [
    *(replace(SMALL, activation_function=name) for name in ACTIVATIONS),
    replace(SMALL, scale_attn_weights=False),
    replace(SMALL, scale_attn_by_inverse_layer_idx=True),
    replace(SMALL, scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True),
    replace(SMALL, tie_word_embeddings=False),
    replace(SMALL, layer_norm_epsilon=0.1),
    replace(SMALL, activation_function="relu", scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False),
]


@pytest.mark.parametrize("config", FAMILY, ids=lambda c: ", ".join(f"{n}={v}" for n, v in departures(c).items()))
def test_the_whole_family_in_float64(config: GPT2Config) -> None:
    ids = tokens(config, 1)
    ours, hf = twins(config, 1, ids)
    assert logit_difference(ours, hf, ids) < 1e-10
    differences = gradient_differences(ours, hf, ids)
    assert max(differences.values()) < 1e-9, differences


def departures(config: GPT2Config) -> dict[str, object]:
    """The fields in which a configuration is not SMALL's."""
    return {name: value for name, value in vars(config).items() if value != getattr(SMALL, name)}


def test_every_activation_without_parameters_is_there() -> None:
    theirs = {name for name in ACT2FN if not list(ACT2FN[name].parameters())}
    assert set(ACTIVATIONS) == theirs


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reordered_attention_is_the_same_function(dtype: torch.dtype) -> None:
    """In float32; in half precision only transformers' eager attention differs, and its default is what we compute."""
    ids = tokens(SMALL, 1)
    ours, hf = twins(SMALL, 1, ids, dtype)
    reordered = GPT2LMHeadModel(hf_config(SMALL, reorder_and_upcast_attn=True)).to(dtype).eval()
    reordered.load_state_dict(hf.state_dict())
    if dtype != torch.float32:
        reordered.set_attn_implementation("sdpa")
    assert logit_difference(ours, reordered, ids) < (1e-5 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_float32_within_the_difference_between_two_of_theirs(seed: int) -> None:
    config = replace(SMALL, n_embd=96, n_positions=64)
    ids = tokens(config, seed, T=64)
    ours, hf = twins(config, seed, ids, torch.float32)
    with torch.no_grad():
        eager = hf(ids).logits
        hf.set_attn_implementation("sdpa")
        theirs = (hf(ids).logits - eager).abs().max()
        assert 0 < theirs < 1e-3
        assert (ours(ids) - eager).abs().max() <= 2 * theirs
        assert abs(ours(ids[:, :-1], ids[:, 1:]).item() - hf(ids, labels=ids).loss.item()) < 1e-5


def erf_gelu(ours: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in ours.transformer.h:
        block.mlp.activation = F.gelu


def small_eps(ours: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ours.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6


def no_attention_scale(ours: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in ours.transformer.h:
        block.attn.divisor = 1.0


def no_biases(ours: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ours.modules():
        if isinstance(module, torch.nn.Linear) and module.bias is not None:
            torch.nn.init.zeros_(module.bias)


def no_layer_norm_affine(ours: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ours.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.reset_parameters()


def swapped_q_and_k(ours: GPT2, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in ours.transformer.h:
        q, k, v = block.attn.c_attn.weight.data.chunk(3)
        block.attn.c_attn.weight.data = torch.cat([k, q, v])


FAULTS = [erf_gelu, small_eps, no_attention_scale, no_biases, no_layer_norm_affine, swapped_q_and_k]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(
    fault: Callable[[GPT2, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tokens(SMALL, 1)
    ours, hf = twins(SMALL, 1, ids)
    assert logit_difference(ours, hf, ids) < 1e-10
    fault(ours, monkeypatch)
    assert logit_difference(ours, hf, ids) > 1e-7
    assert max(gradient_differences_without_loss(ours, hf, ids).values()) > 1e-7


def gradient_differences_without_loss(ours: GPT2, hf: GPT2LMHeadModel, ids: Tensor) -> dict[str, float]:
    targets = F.pad(ids[:, 1:], (0, 1), value=-100)
    ours(ids, targets).backward()
    F.cross_entropy(hf(ids).logits.flatten(0, 1), targets.flatten()).backward()
    expected = {name: hf_name_to_ours(name, p.grad) for name, p in hf.named_parameters()}
    return {n: ((p.grad - expected[n]).norm() / expected[n].norm()).item() for n, p in ours.named_parameters()}


def test_the_124m_shape_in_float64() -> None:
    config = PRESETS["gpt2"]
    ids = tokens(config, 5, B=1, T=12)
    ours, hf = twins(config, 5, ids)
    assert logit_difference(ours, hf, ids) < 1e-10
    differences = gradient_differences(ours, hf, ids)
    assert max(differences.values()) < 1e-9, differences


def test_the_124m_shape_in_float32() -> None:
    config = PRESETS["gpt2"]
    ids = tokens(config, 6, B=1, T=48)
    ours, hf = twins(config, 6, ids, torch.float32)
    with torch.no_grad():
        eager = hf(ids).logits
        hf.set_attn_implementation("sdpa")
        theirs = (hf(ids).logits - eager).abs().max()
        assert (ours(ids) - eager).abs().max() <= 2 * theirs
