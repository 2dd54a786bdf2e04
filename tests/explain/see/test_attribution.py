"""Logit attribution: every part against numpy in float64, and that the parts sum to the logit."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from gpt2 import load
from gpt2.ablation.models import VARIANTS, build
from gpt2.base.errors import UsageError
from gpt2.base.presets import PRESETS
from gpt2.explain import Run, effects, keep_constant, scale, take, to_first, trace, zero
from gpt2.explain.see.attribution import Attribution
from gpt2.model import GPT2
from tests.explained import BLOCKS, HEADS, TEXT, small, storyteller
from tests.twins import SMALL

L, H, D, C, T = 3, 3, 8, 24, 13
TARGET, FOIL = 17, 60


def form(foil: int | None, t: int) -> tuple[np.ndarray, float, float]:
    """ghat and <beta, w> as the definition has them, and sigma, from numpy's own pass."""
    n = small().numpy
    head, gamma, beta = (n.w[k] for k in ("lm_head.weight", "transformer.ln_f.weight", "transformer.ln_f.bias"))
    w = head[TARGET] - (head.mean(0) if foil is None else head[foil])
    g = gamma * w
    return g - g.mean(), float(beta @ w), float(n.values["final.scale"][t])


@pytest.mark.parametrize("foil", [None, FOIL])
@pytest.mark.parametrize("t", [0, 6, 12])
def test_every_part(foil: int | None, t: int) -> None:
    n, (ghat, constant, sigma) = small().numpy, form(foil, t)
    found = trace(small().model, small().ids).attribution(TARGET, vs="mean" if foil is None else foil, at=t)
    expected = {name: n.values[name][t] @ ghat / sigma for name in ("embed.tok", "embed.pos")}
    for l in range(L):
        w_o = n.w[f"transformer.h.{l}.attn.c_proj.weight"].T.reshape(H, D, C)
        b_v = n.w[f"transformer.h.{l}.attn.c_attn.bias"][2 * C :].reshape(H, D)
        for h in range(H):
            varying = (n.values[f"{l}.attn.z"][h, t] - b_v[h]) @ w_o[h]
            expected[f"{l}.head.{h}"] = varying @ ghat / sigma
        expected[f"{l}.attn.b_V"] = sum(b_v[h] @ w_o[h] for h in range(H)) @ ghat / sigma
        expected[f"{l}.attn.b_O"] = n.w[f"transformer.h.{l}.attn.c_proj.bias"] @ ghat / sigma
        expected[f"{l}.mlp"] = n.values[f"{l}.mlp.out"][t] @ ghat / sigma
    expected["final.beta"] = constant
    assert list(found.names) == list(expected)
    np.testing.assert_allclose(found.values.numpy(), list(expected.values()), rtol=1e-9, atol=1e-11)
    logits = n.values["logits"][t]
    whole = logits[TARGET] - (logits.mean() if foil is None else logits[foil])
    assert found.whole == pytest.approx(whole, rel=1e-10)
    assert found.spread == pytest.approx(np.ptp(logits), rel=1e-10)
    assert abs(found.error) < 1e-10 * found.spread


@pytest.mark.parametrize("layer", range(L))
def test_the_neurons_of_an_mlp(layer: int) -> None:
    n, (ghat, _, sigma) = small().numpy, form(FOIL, 8)
    run = trace(small().model, small().ids)
    found = run.attribution(TARGET, vs=FOIL, at=8, of=f"{layer}.mlp")
    w_out = n.w[f"transformer.h.{layer}.mlp.c_proj.weight"].T  # (F, C)
    expected = n.values[f"{layer}.mlp.post"][8] * (w_out @ ghat) / sigma
    np.testing.assert_allclose(found.values[:-1].numpy(), expected, rtol=1e-9, atol=1e-11)
    assert found[f"{layer}.mlp.b"] == pytest.approx(n.w[f"transformer.h.{layer}.mlp.c_proj.bias"] @ ghat / sigma)
    assert found.whole == pytest.approx(run.attribution(TARGET, vs=FOIL, at=8)[f"{layer}.mlp"], rel=1e-10)
    assert abs(found.error) < 1e-10 * found.spread


@pytest.mark.parametrize("head", ["0.head.0", "2.head.1"])
def test_the_source_positions_of_a_head(head: str) -> None:
    """A[i,j] (v_j - b_V) W_O for each j <= i; with the constant they are the head's whole write."""
    n, (ghat, _, sigma) = small().numpy, form(FOIL, 8)
    layer, h = int(head[0]), int(head[-1])
    w_o = n.w[f"transformer.h.{layer}.attn.c_proj.weight"].T.reshape(H, D, C)[h]
    b_v = n.w[f"transformer.h.{layer}.attn.c_attn.bias"][2 * C :].reshape(H, D)[h]
    pattern, v = n.values[f"{layer}.attn.pattern"][h, 8], n.values[f"{layer}.attn.v"][h]
    run = trace(small().model, small().ids)
    found = run.attribution(TARGET, vs=FOIL, at=8, of=head)
    expected = [pattern[j] * (v[j] - b_v) @ w_o @ ghat / sigma for j in range(9)]
    np.testing.assert_allclose(found.values[:-1].numpy(), expected, rtol=1e-9, atol=1e-11)
    assert found[f"{head}.b_V"] == pytest.approx(b_v @ w_o @ ghat / sigma, rel=1e-9)
    varying = run.attribution(TARGET, vs=FOIL, at=8)[head]
    assert float(found.values[:-1].sum()) == pytest.approx(varying, rel=1e-9)
    assert abs(found.error) < 1e-10 * found.spread
    assert found.labels[3] == f"3 {n.ids[3]}"


def test_all_neurons_and_all_sources_at_once() -> None:
    run = trace(small().model, small().ids)
    every = run.attribution(TARGET, vs=FOIL, of="*.mlp")
    whole = run.attribution(TARGET, vs=FOIL)
    assert len(every.names) == L * (4 * C + 1)
    assert every.whole == pytest.approx(sum(whole[f"{l}.mlp"] for l in range(L)), rel=1e-10)
    assert abs(every.error) < 1e-10 * every.spread
    name, value = every.top(1)[0]
    assert value == pytest.approx(run.attribution(TARGET, vs=FOIL, of=name[:5])[name], rel=1e-12)
    sources = run.attribution(TARGET, vs=FOIL, of="1.head.*")
    expected = sum(whole[n] for n in whole.names if n.startswith("1.head.") or n == "1.attn.b_V")
    assert sources.whole == pytest.approx(expected, rel=1e-10)
    assert sources.labels[2] == f"1.head.0 <- 2 {small().ids[0, 2]}"


def largest_error(run: Run) -> float:
    """Over every fourth position, against the prediction's runner-up and centred, in shares of the logits' range."""
    errors = []
    for t in range(0, run.ids.size(1), 4):
        best, second = run.logits[0, t].topk(2).indices.tolist()
        for found in (run.attribution(best, vs=second, at=t), run.attribution(vs="mean", at=t)):
            errors.append(abs(found.error) / found.spread)
    return max(errors)


def test_the_error_in_float64_and_in_fp32() -> None:
    read = ["*.attn.z", "*.attn.out", "*.mlp.out", "embed.tok", "embed.pos", "final.scale", "final.out"]
    assert 0 < largest_error(trace(small().model, small().ids, read=read)) < 1e-10
    single = GPT2(SMALL).eval()
    single.load_state_dict(small().model.state_dict())
    assert 1e-10 < largest_error(trace(single, small().ids, read=read)) < 1e-4
    assert 1e-10 < largest_error(trace(storyteller(), TEXT, read=read)) < 1e-4


def test_the_124m_shape() -> None:
    """Random to the last bias, with the final norm's gain far from 1, as OpenAI's is."""
    with torch.device("meta"):
        model = GPT2(PRESETS["gpt2"])
    model.to_empty(device="cpu").tie_weights()
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.eval().parameters():
            p.uniform_(-0.035, 0.035) if p.dim() == 2 else p.uniform_(-0.5, 0.5)
        for norm in (m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)):
            norm.weight.add_(8 if norm is model.transformer.ln_f else 1)
    found = trace(model, [464, 3797, 3332, 319, 262]).attribution(2603, vs=4314)
    assert len(found.names) == 2 + 12 * (12 + 3) + 1
    assert abs(found.error) < 1e-4 * found.spread
    assert max(abs(v) for _, v in found.top(3)) > 0.01 * found.spread


# Edited runs


EDITS = [
    {"1.head.2": zero}, {"1.attn": zero}, {"1.attn.pattern": scale(0.5)}, {"0.mlp": scale(2), "2.head.0": to_first()},
    {"1.resid_mid": scale(0.5)}, {"1.block": zero}, {"embed.out": scale(2)}, {"2.resid_pre@8": scale(-1)},
    {"embed.pos": zero}, {"final.scale": scale(2)}, {"1.head.1.out": scale(3)}, {"2.head.1": keep_constant()},
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_run_still_adds_up(edit: dict) -> None:
    found = trace(small().model, small().ids, edit=edit).attribution(TARGET, vs=FOIL, at=8)
    assert abs(found.error) < 1e-10 * found.spread


def test_what_an_edit_added_to_the_stream_is_a_part_of_its_own() -> None:
    run = trace(small().model, small().ids)
    patched = trace(small().model, small().ids, edit={"1.resid_mid": take(trace(small().model, small().ids.flip(1)))})
    parts = patched.attribution(TARGET, vs=FOIL)
    assert [(n, k) for n, k in zip(parts.names, parts.kinds) if k == "edit"] == [("1.resid_mid (edit)", "edit")]
    assert "edit" not in run.attribution(TARGET).kinds


def test_a_heads_constant_is_apart_only_where_its_weights_sum_to_1() -> None:
    plain = trace(small().model, small().ids).attribution(TARGET, vs=FOIL)
    off = trace(small().model, small().ids, edit={"2.head.1": zero}).attribution(TARGET, vs=FOIL)
    assert off["2.head.1"] == 0
    assert off["2.attn.b_V"] != plain["2.attn.b_V"]
    every = trace(small().model, small().ids, edit={"2.attn.z": zero}).attribution(TARGET, vs=FOIL)
    assert every["2.attn.b_V"] == 0
    whole = trace(small().model, small().ids, edit={"2.attn": zero}).attribution(TARGET, vs=FOIL)
    assert whole["2.attn"] == 0
    assert "2.head.1" not in whole.names


# Other architectures


@pytest.mark.parametrize("name", [n for n in VARIANTS if n not in ("post-norm", "no-residuals")])
def test_variants_add_up_too(name: str) -> None:
    """RMSNorm without centring, no norm at all, an untied head, without attention or MLPs, and the rest."""
    model = build(SMALL, {"name": name, "arguments": {}}).double().eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator, dtype=torch.float64), alpha=0.3)
    found = trace(model, small().ids).attribution(TARGET, vs=FOIL)
    assert abs(found.error) < 1e-10 * found.spread


@pytest.mark.parametrize(("dtype", "close"), [(torch.bfloat16, 4e-3), (torch.float16, 5e-4)])
def test_half_precision_adds_up_to_its_own_rounding(dtype: torch.dtype, close: float) -> None:
    """It was refused as a model with a strange final norm."""
    run = trace(load("storyteller", dtype=dtype), TEXT)
    found, wanted = run.attribution(" loved", vs=" was"), trace(storyteller(), TEXT).attribution(" loved", vs=" was")
    assert abs(found.error) < close * found.spread
    assert (found.values - wanted.values).abs().max() < 3 * close * found.spread
    assert effects(run, zero, "7.mlp", " loved", " was").error < 2 * close * found.spread


@pytest.mark.parametrize("name", ["no-attention", "no-mlp"])
def test_a_component_that_is_not_there_is_not_divided(name: str) -> None:
    """It ended in an AttributeError."""
    run = trace(build(SMALL, {"name": name, "arguments": {}}).eval(), small().ids)
    of = {"no-attention": "1.head.0", "no-mlp": "*.mlp"}[name]
    with pytest.raises(UsageError, match=f"without {re.escape(of)}: there is nothing to divide"):
        run.attribution(TARGET, vs=FOIL, of=of)


@pytest.mark.parametrize("name", ["post-norm", "no-residuals"])
def test_a_stream_that_is_no_sum_is_refused(name: str) -> None:
    model = build(SMALL, {"name": name, "arguments": {}}).double().eval()
    run = trace(model, small().ids)
    for ask in (
        run.attribution,
        lambda target: run.attribution(target, of="1.mlp"),
        lambda target: effects(run, zero, "1.mlp", target),
    ):
        with pytest.raises(UsageError, match=r"no counterpart .* 0\.resid_mid .* use gpt2 explain off") as caught:
            ask(TARGET)
        assert "\n" not in str(caught.value)


def test_the_foil_is_the_likeliest_other_token() -> None:
    run = trace(small().model, small().ids)
    first, second = run.logits[0, 8].topk(2).indices.tolist()
    assert run.attribution(at=8).to_dict() == run.attribution(first, vs=second, at=8).to_dict()
    assert run.attribution(second, at=8).to_dict() == run.attribution(second, vs=first, at=8).to_dict()
    found, wanted = effects(run, zero, "1.mlp", at=8), effects(run, zero, "1.mlp", first, second, at=8)
    assert found.to_dict() == wanted.to_dict()
    assert run.attribution(first, vs="mean", at=8).foil is None


# Shown, and refused


def test_it_shows_itself() -> None:
    found = trace(storyteller(), TEXT).attribution(" loved", vs=" was")
    lines = str(found).splitlines()
    assert lines[0] == "·loved after 12 ·She: its lead over ·was"
    assert lines[2].split() == [found.top(1)[0][0], f"{found.top(1)[0][1]:+.3f}"]
    assert "remaining error" in lines[-1]
    shown = sum(float(line.split()[-1]) for line in lines[2:-1])
    assert shown == pytest.approx(found.whole, abs=0.01)
    assert all(abs(a[1]) >= abs(b[1]) for a, b in pairwise(found.top(50)))
    record = json.loads(json.dumps(found.to_dict()))
    assert sum(part["value"] for part in record["parts"]) + record["error"] == pytest.approx(record["whole"])
    assert record["target"] == "·loved"
    bars = found.plot(5).axes[0].patches
    assert [bar.get_width() for bar in bars][:5] == pytest.approx([v for _, v in found.top(5)])
    assert sum(bar.get_width() for bar in bars) == pytest.approx(found.whole, abs=1e-5)


def attribute(**options: object) -> Attribution:
    return trace(storyteller(), TEXT).attribution(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": " loved", "vs": " loved"}, "target and foil are the same token, ·loved: choose another foil"),
        ({"target": "floor"}, "choose a word of one token, such as ' floor'"),
        ({"target": " loved", "vs": " zyxw"}, "' zyxw' is 4 tokens"),
        ({"target": 9000}, "there is no token 9000"),
        ({"at": 13}, "there is no position 13"),
        ({"row": 1}, "there is no row 1"),
        ({"of": f"{BLOCKS}.mlp"}, f"there is no layer {BLOCKS}, this model has 0 to {BLOCKS - 1}"),
        ({"of": f"1.head.{HEADS}"}, f"there is no head {HEADS}, this model has 0 to {HEADS - 1}"),
        ({"of": "1.attn"}, r"'1.attn' cannot be divided: write MLPs (2.mlp, *.mlp) or heads (3.head.7, 3.head.*)"),
    ],
)
def test_refusals(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        attribute(**options)
    assert sentence in str(caught.value)


def test_refusals_of_edited_runs() -> None:
    run = trace(small().model, small().ids, edit={"1.head.2": zero, "0.mlp": zero})
    for of in ("1.head.2", "0.mlp"):
        with pytest.raises(UsageError, match="leave out that edit"):
            run.attribution(of=of)
    with pytest.raises(UsageError, match="leave out that edit"):
        trace(small().model, small().ids, edit={"logits": scale(2)}).attribution()
    with pytest.raises(UsageError, match=r"there is no part '5\.mlp': they are embed\.tok"):
        run.attribution()["5.mlp"]
