"""Sizes, initialisation, causality, dropout and the loss of the plain model."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gpt2.base.costs import flops_per_token, n_params
from gpt2.base.presets import PRESETS
from gpt2.config import GPT2Config
from gpt2.forward_pass import Pass
from gpt2.model import GPT2

CONFIG = GPT2Config(vocab_size=61, n_positions=24, n_embd=32, n_layer=3, n_head=4)
PUBLISHED = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "distilgpt2": 81_912_576,
}


@pytest.mark.parametrize("name", PRESETS)
def test_parameter_counts(name: str) -> None:
    with torch.device("meta"):
        model = GPT2(PRESETS[name])
    assert sum(p.numel() for p in model.parameters()) == n_params(PRESETS[name]) == PUBLISHED[name]


def test_flops_are_those_of_the_matrix_products() -> None:
    T = 20
    model = GPT2(CONFIG).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(torch.zeros(1, T, dtype=torch.long))
    # PyTorch's counter takes attention as if nothing were masked (and knows the written-out kernel only).
    assert counter.get_total_flops() == T * flops_per_token(CONFIG, T)


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_layer", 0), ("vocab_size", -1), ("n_embd", 30), ("activation_function", "prelu"), ("attn_pdrop", 1.0),
     ("layer_norm_epsilon", 0.0), ("n_positions", 2.5), ("n_inner", 0), ("n_head", True)],
)  # fmt: skip
def test_a_bad_size_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        replace(CONFIG, **{field: value})


def test_initialisation_is_keyed_by_name() -> None:
    first, deeper = GPT2(CONFIG, seed=3), GPT2(replace(CONFIG, n_layer=5), seed=3)
    other = GPT2(CONFIG, seed=4)
    shared = dict(deeper.named_parameters())
    for name, p in first.named_parameters():
        if "c_proj.weight" in name:  # their spread depends on the depth, their direction does not
            torch.testing.assert_close(p * math.sqrt(3), shared[name] * math.sqrt(5))
        else:
            assert torch.equal(p, shared[name]), name
        if p.dim() == 2:
            assert not torch.equal(p, dict(other.named_parameters())[name])


def test_initial_spreads_and_loss() -> None:
    model = GPT2(GPT2Config(vocab_size=2000, n_positions=256, n_embd=128, n_layer=4, n_head=4), seed=1).eval()
    std = {name: p.std().item() for name, p in model.named_parameters() if p.dim() == 2}
    assert std["transformer.wte.weight"] == pytest.approx(0.02, rel=0.02)
    assert std["transformer.wpe.weight"] == pytest.approx(0.01, rel=0.02)
    assert std["transformer.h.2.mlp.c_fc.weight"] == pytest.approx(0.02, rel=0.02)
    assert std["transformer.h.2.mlp.c_proj.weight"] == pytest.approx(0.02 / math.sqrt(8), rel=0.02)
    assert std["transformer.h.2.attn.c_proj.weight"] == pytest.approx(0.02 / math.sqrt(8), rel=0.02)
    assert model.lm_head.weight is model.transformer.wte.weight
    ids = torch.randint(2000, (4, 65), generator=torch.Generator().manual_seed(0))
    assert math.log(2000) < model(ids[:, :-1], ids[:, 1:]).item() < math.log(2000) + 0.1


@pytest.mark.parametrize("T", [2, 9, 24])
def test_causality_is_bit_exact(T: int) -> None:
    model = GPT2(CONFIG, seed=2).eval()
    ids = torch.randint(61, (2, T), generator=torch.Generator().manual_seed(T))
    with torch.no_grad():
        before = model(ids)
        for t in range(T):
            changed = ids.clone()
            changed[:, t] = (changed[:, t] + 1) % 61
            after = model(changed)
            assert torch.equal(before[:, :t], after[:, :t])
            assert not torch.equal(before[:, t], after[:, t])


@pytest.mark.parametrize(
    ("rates", "place"),
    [({"embd_pdrop": 0.5}, "embeddings"), ({"attn_pdrop": 0.5}, "pattern"), ({"resid_pdrop": 0.5}, "writes")],
)
def test_each_dropout_acts_in_training_only(rates: dict[str, float], place: str) -> None:
    none = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    model = GPT2(replace(CONFIG, **{**none, **rates}))
    ids = torch.arange(20)[None]
    assert not torch.equal(model.train()(ids), model(ids)), place
    assert torch.equal(model.eval()(ids), model(ids)), place


def test_loss_ignores_minus_100_and_reduces_as_asked() -> None:
    model = GPT2(CONFIG).eval()
    ids = torch.randint(61, (3, 12), generator=torch.Generator().manual_seed(0))
    targets = torch.randint(61, (3, 12), generator=torch.Generator().manual_seed(1))
    targets[0, :5] = targets[2, 7] = -100
    reference = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), reduction="none").view(3, 12)
    torch.testing.assert_close(model(ids, targets, reduction="none"), reference)
    torch.testing.assert_close(model(ids, targets, reduction="sum"), reference.sum())
    torch.testing.assert_close(model(ids, targets), reference.sum() / 30)
    assert model(ids, torch.full_like(ids, -100)).item() == 0.0


def test_loss_in_slices_is_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of 5 of 36 positions, the last one shorter: same loss and gradients as the whole."""
    model = GPT2(CONFIG).double().eval()
    ids = torch.randint(61, (3, 12), generator=torch.Generator().manual_seed(0))
    targets = ids.roll(1, 1)
    targets[1, 3] = -100
    F.cross_entropy(model(ids).flatten(0, 1), targets.flatten()).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    monkeypatch.setattr("gpt2.loss.SLICE_ELEMENTS", 5 * 61)
    model(ids, targets).backward()
    for name, p in model.named_parameters():
        assert (p.grad - expected[name]).norm() <= 1e-12 * expected[name].norm(), name


def test_without_gradients_the_loss_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model = GPT2(CONFIG).eval()
    ids = torch.zeros(1, 4, dtype=torch.long)
    monkeypatch.setattr("torch.empty_like", lambda *a, **k: pytest.fail("room was made for a gradient"))
    with torch.no_grad():
        assert model(ids, ids).item() > 0


def test_loss_under_autocast_is_taken_in_fp32() -> None:
    model = GPT2(CONFIG).train()
    ids = torch.randint(61, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(ids, ids)
    assert loss.dtype == torch.float32
    assert abs(loss.item() - model(ids, ids).item()) < 0.2  # dropout differs, the scale does not
    loss.backward()
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


def test_past_the_context_is_refused() -> None:
    model = GPT2(CONFIG)
    with pytest.raises(ValueError, match="25 positions: this model takes 1 to 24"):
        model(torch.zeros(1, 25, dtype=torch.long))
    with pytest.raises(ValueError, match="25 positions: this model takes 1 to 24"):
        Pass().begin(model, torch.zeros(1, 25, 32))
    with pytest.raises(ValueError, match="0 positions"):
        model(torch.zeros(1, 0, dtype=torch.long))
