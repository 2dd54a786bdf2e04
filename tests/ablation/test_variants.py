"""Variants: each differs from the plain model in the one thing that it names."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from gpt2 import GPT2, GPT2Config
from gpt2.ablation.models import VARIANTS, build
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load_model, save
from gpt2.probe import Probe

CONFIG = GPT2Config(
    vocab_size=61, n_positions=16, n_embd=24, n_layer=2, n_head=3, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0
)
IDS = torch.randint(0, 61, (2, 12), generator=torch.Generator().manual_seed(1))


def variant(name: str, config: GPT2Config = CONFIG) -> GPT2:
    return build(config, {"name": name}, seed=3).eval()


def stream(model: GPT2, *read: str) -> Probe:
    probe = Probe(read=read)
    model(IDS, probe=probe)
    return probe


@pytest.mark.parametrize("name", VARIANTS)
def test_shared_parameters_start_as_in_the_plain_model_and_the_rest_is_another_function(name: str) -> None:
    plain, changed = GPT2(CONFIG, seed=3).eval(), variant(name)
    ours = dict(plain.named_parameters())
    for key, parameter in changed.named_parameters():
        scale = math.sqrt(2 * CONFIG.n_layer) if name == "unscaled-init" and key.endswith("c_proj.weight") else 1
        if key in ours:
            assert torch.equal(parameter, ours[key] * scale), key
    assert not torch.allclose(plain(IDS), changed(IDS), atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_gets_a_gradient_and_a_checkpoint_brings_the_same_function_back(name: str, tmp_path) -> None:
    model = variant(name)
    model(IDS[:, :-1], IDS[:, 1:]).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    save(model, None, tmp_path / "model")
    again = load_model(tmp_path / "model", build=build)
    assert type(again) is type(model)
    assert again.variant == {"name": name, "arguments": {}}
    assert torch.equal(again(IDS), model(IDS))
    with pytest.raises(ValueError, match=name):
        load_model(tmp_path / "model")


def test_causality_is_kept_by_all_but_the_one_without_a_mask() -> None:
    other = IDS.clone()
    other[:, 8] = (other[:, 8] + 1) % 61
    for name in VARIANTS:
        model = variant(name)
        same = torch.equal(model(IDS)[:, :8], model(other)[:, :8])
        assert same == (name != "no-mask"), name


def test_an_untied_head_scores_with_its_own_matrix() -> None:
    model = variant("untied-head")
    hidden = model.hidden(IDS)
    assert torch.equal(model(IDS), F.linear(hidden, model.lm_head.weight))
    assert not torch.equal(model.lm_head.weight, model.transformer.wte.weight)
    assert 0.015 < model.lm_head.weight.std() < 0.025


def test_sinusoidal_positions_are_those_of_vaswani() -> None:
    vectors = variant("sinusoidal-positions").transformer.wpe(torch.arange(5))
    assert vectors[3, 4] == pytest.approx(0.02 * math.sqrt(2) * math.sin(3 / 10000 ** (4 / 24)), rel=1e-5)
    assert vectors[3, 5] == pytest.approx(0.02 * math.sqrt(2) * math.cos(3 / 10000 ** (4 / 24)), rel=1e-5)


@pytest.mark.parametrize("name", ["sinusoidal-positions", "no-positions"])
def test_models_without_a_table_of_positions_read_further_than_they_were_trained(name: str) -> None:
    model = variant(name)
    with pytest.raises(ValueError, match="17 positions"):
        model(IDS.repeat(1, 2)[:, :17])
    model.config = replace(model.config, n_positions=64)
    assert model(IDS.repeat(1, 5)).isfinite().all()


def test_without_positions_the_first_block_sees_a_bag_of_earlier_tokens() -> None:
    swapped = IDS[:, [3, 1, 0, 2, *range(4, 12)]]
    one = replace(CONFIG, n_layer=1)
    for name, same in [("no-positions", True), ("sinusoidal-positions", False)]:
        model = variant(name, one)
        assert torch.allclose(model(IDS)[:, -1], model(swapped)[:, -1], atol=1e-6) == same


def test_norms_against_torch() -> None:
    probe = stream(variant("rms-norm"), "0.resid_pre", "0.ln_1.out", "1.resid_post", "final.out")
    assert torch.allclose(probe["0.ln_1.out"], F.rms_norm(probe["0.resid_pre"], (24,), eps=1e-5), atol=1e-6)
    assert torch.allclose(probe["final.out"], F.rms_norm(probe["1.resid_post"], (24,), eps=1e-5), atol=1e-6)
    probe = stream(variant("no-norm"), "0.resid_pre", "0.ln_1.out", "1.resid_post", "final.out")
    assert torch.equal(probe["0.ln_1.out"], probe["0.resid_pre"])
    assert torch.equal(probe["final.out"], probe["1.resid_post"])


def test_post_norm_norms_the_stream_itself() -> None:
    probe = stream(variant("post-norm"), "0.resid_pre", "0.attn.out", "0.resid_mid", "0.mlp.out", "0.resid_post")
    mid = F.layer_norm(probe["0.resid_pre"] + probe["0.attn.out"], (24,))
    assert torch.allclose(probe["0.resid_mid"], mid, atol=1e-6)
    assert torch.allclose(probe["0.resid_post"], F.layer_norm(mid + probe["0.mlp.out"], (24,)), atol=1e-6)


def test_without_residuals_each_step_replaces_the_stream() -> None:
    probe = stream(variant("no-residuals"), "0.attn.out", "0.resid_mid", "0.mlp.out", "0.resid_post")
    assert torch.equal(probe["0.resid_mid"], probe["0.attn.out"])
    assert torch.equal(probe["0.resid_post"], probe["0.mlp.out"])


def test_unscaled_attention_has_scores_sqrt_d_times_larger() -> None:
    names = ("0.attn.q", "0.attn.k", "0.attn.scores")
    plain, changed = stream(GPT2(CONFIG, seed=3).eval(), *names), stream(variant("unscaled-attention"), *names)
    scores = plain["0.attn.q"] @ plain["0.attn.k"].transpose(-1, -2)
    assert torch.allclose(changed["0.attn.scores"], scores, atol=1e-5)
    assert torch.allclose(changed["0.attn.scores"], plain["0.attn.scores"] * math.sqrt(8), atol=1e-5)


@pytest.mark.parametrize(("name", "power"), [("relu", 1), ("squared-relu", 2)])
def test_activations(name: str, power: int) -> None:
    probe = stream(variant(name), "1.mlp.pre", "1.mlp.post")
    assert torch.equal(probe["1.mlp.post"], probe["1.mlp.pre"].clamp(min=0) ** power)


def test_what_is_taken_out_writes_nothing() -> None:
    probe = stream(variant("no-mlp"), "0.resid_mid", "0.resid_post")
    assert torch.equal(probe["0.resid_mid"], probe["0.resid_post"])
    probe = stream(variant("no-attention"), "0.resid_pre", "0.resid_mid")
    assert torch.equal(probe["0.resid_pre"], probe["0.resid_mid"])


def test_an_unknown_variant_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'no-mask'"):
        build(CONFIG, {"name": "nomask"})
