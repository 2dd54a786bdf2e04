"""The study evening: its own variants, and that everything in its file stands before the first run."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gpt2 import GPT2, GPT2Config
from gpt2.ablation.models import VARIANTS, build, read_variants
from gpt2.ablation.study import load_study
from gpt2.probe import Probe
from gpt2.training.optimizer import build_optimizers
from gpt2.training.recipe import OptimRecipe

ROOT = Path(__file__).parents[2]
FILE = ROOT / "recipes" / "ablation" / "evening_variants.py"
OWN = [name for name in read_variants(FILE) if name not in VARIANTS]
CONFIG = GPT2Config(
    vocab_size=61, n_positions=16, n_embd=24, n_layer=2, n_head=3, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0
)
IDS = torch.randint(0, 61, (2, 12), generator=torch.Generator().manual_seed(1))


def variant(name: str, config: GPT2Config = CONFIG) -> GPT2:
    return build(config, {"name": name}, seed=3, file=FILE).eval()


def stream(model: GPT2, *read: str) -> Probe:
    probe = Probe(read=read)
    model(IDS, probe=probe)
    return probe


@pytest.mark.parametrize("name", OWN)
def test_an_own_variant_trains_and_keeps_causality(name: str) -> None:
    plain, model = GPT2(CONFIG, seed=3).eval(), variant(name)
    ours = dict(plain.named_parameters())
    shared = [key for key, p in model.named_parameters() if key in ours and p.shape == ours[key].shape]
    assert all(torch.equal(dict(model.named_parameters())[key], ours[key]) for key in shared)
    model(IDS[:, :-1], IDS[:, 1:]).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    for optimizer in build_optimizers(model, OptimRecipe(name="muon"), bf16=False):
        optimizer.step()
    other = IDS.clone()
    other[:, 8] = (other[:, 8] + 1) % 61
    assert torch.equal(model(IDS)[:, :8], model(other)[:, :8])
    assert not torch.equal(model(IDS)[:, 8:], model(other)[:, 8:])


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    model = variant("rotary-positions", replace(CONFIG, n_layer=1, n_positions=40))
    same = torch.full((1, 30), 7)
    probe = Probe(read="0.attn.scores")
    model(same, probe=probe)
    scores = probe["0.attn.scores"][0]  # every token is the same, so that only positions differ
    for distance in (0, 1, 5):
        diagonal = scores.diagonal(-distance, dim1=-2, dim2=-1)
        assert torch.allclose(diagonal, diagonal[:, :1].expand_as(diagonal), atol=1e-6)
    probe = Probe(read=("0.attn.q", "0.ln_1.out"))
    model(same, probe=probe)
    q = model.transformer.h[0].attn.c_attn(probe["0.ln_1.out"])[0, 5, :8]  # of head 0 at position 5
    angles = 5 / 10000 ** (torch.arange(4) / 4)
    turned = torch.view_as_real(torch.polar(torch.ones(4), angles) * torch.complex(q[:4], q[4:]))
    assert torch.allclose(probe["0.attn.q"][0, 0, 5], turned.T.flatten(), atol=1e-6)


def test_heads_share_one_key_and_value() -> None:
    probe = stream(variant("one-key-value-head"), "0.attn.q", "0.attn.k", "0.attn.v")
    for name, same in [("q", False), ("k", True), ("v", True)]:
        heads = probe[f"0.attn.{name}"]
        assert torch.equal(heads[:, 0], heads[:, 1]) == same


def test_half_of_the_blocks_have_attention() -> None:
    probe = stream(variant("half-attention"), "*.resid_pre", "*.resid_mid")
    assert not torch.equal(probe["0.resid_pre"], probe["0.resid_mid"])
    assert torch.equal(probe["1.resid_pre"], probe["1.resid_mid"])


def test_norms_and_biases() -> None:
    probe = stream(variant("norm-without-weights"), "0.resid_pre", "0.ln_1.out")
    assert torch.allclose(probe["0.ln_1.out"], F.layer_norm(probe["0.resid_pre"], (24,)), atol=1e-6)
    probe = stream(variant("no-final-norm"), "1.resid_post", "final.out")
    assert torch.equal(probe["1.resid_post"], probe["final.out"])
    model = variant("no-biases")
    assert not [name for name, _ in model.named_parameters() if name.endswith("bias")]
    probe = stream(variant("no-residuals-post-norm"), "0.attn.out", "0.resid_mid", "0.mlp.out", "0.resid_post")
    assert torch.allclose(probe["0.resid_mid"], F.layer_norm(probe["0.attn.out"], (24,)), atol=1e-6)
    assert torch.allclose(probe["0.resid_post"], F.layer_norm(probe["0.mlp.out"], (24,)), atol=1e-6)


def test_a_gated_mlp_has_as_many_parameters() -> None:
    wide = replace(CONFIG, n_embd=96, n_head=4)
    sizes = [sum(p.numel() for p in m.transformer.h.parameters()) for m in (variant("gated-mlp", wide), GPT2(wide))]
    assert abs(sizes[0] / sizes[1] - 1) < 0.01
    model = variant("gated-mlp")
    probe = stream(model, "0.ln_2.out", "0.mlp.out")
    x, mlp = probe["0.ln_2.out"], model.transformer.h[0].mlp
    by_hand = F.linear(x, mlp.c_gate.weight, mlp.c_gate.bias)
    by_hand = F.gelu(by_hand, approximate="tanh") * F.linear(x, mlp.c_fc.weight, mlp.c_fc.bias)
    assert torch.allclose(probe["0.mlp.out"], F.linear(by_hand, mlp.c_proj.weight, mlp.c_proj.bias), atol=1e-6)


@pytest.mark.parametrize("place", ["embeddings", "weights", "attention", "mlp"])
def test_dropout_at_one_place(place: str) -> None:
    config = replace(CONFIG, embd_pdrop=0.5, attn_pdrop=0.5, resid_pdrop=0.5)
    model = variant(f"dropout-{place}", config)
    block = model.transformer.h[1]
    rates = {
        "embeddings": model.transformer.drop.p, "weights": block.attn.attn_pdrop,
        "attention": block.attn.resid_dropout.p, "mlp": block.mlp.dropout.p,
    }  # fmt: skip
    assert rates == {name: 0.5 * (name == place) for name in rates}
    model.train()
    assert not torch.equal(model(IDS), model(IDS))


def test_the_study_is_whole() -> None:
    study = load_study(ROOT / "recipes" / "ablation" / "evening.toml")
    assert len(study.primary) == 8
    assert study.blocks
    assert study.hours == 10
    assert all(c.expect and c.why for c in study.contestants.values() if c.kind != "reference")
    assert set(OWN) <= {c.variant for c in study.contestants.values()}
    assert not set(study.seeds) & set(study.tune_seeds)
    mix = [c for c in study.contestants.values() if c.rate_of]
    assert {c.variant for c in mix} >= {c.variant for c in study.primary if c.variant}
    assert math.isclose(study.branches[-1], 0.5)


def test_the_table_of_the_search_is_that_of_its_results() -> None:
    from benchmarks.context_search import table

    shown = table(ROOT / "results" / "ablation" / "evening-search.jsonl")
    assert shown in (ROOT / "docs" / "ablation_evening.md").read_text(encoding="utf-8")
