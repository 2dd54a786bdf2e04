"""The head report: scores against transformers' attentions in numpy, baselines, copying by brute force, labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel
from twins import SMALL, twins

from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.explain.change.head_report import HeadReport
from gpt2.explain.change.heads import SAMPLES, copying_scores, heads, repeated
from gpt2.explain.change.intervals import Estimate
from gpt2.explain.run.reference import reference
from gpt2.model import GPT2

L, H, D, C = SMALL.n_layer, SMALL.n_head, SMALL.head_dim, SMALL.n_embd
N = 19  # (40 - 1) // 2
generator = torch.Generator().manual_seed(5)
TEXT = [torch.randint(12, (n,), generator=generator).tolist() for n in (25, 31, 18)]  # few types, so many repeats


@pytest.fixture(scope="module")
def models() -> tuple[GPT2, GPT2LMHeadModel]:
    return twins(SMALL, 21, torch.tensor([TEXT[0]]))


@pytest.fixture(scope="module")
def report(models) -> HeadReport:
    return heads(models[0], reference(models[0], TEXT))


def attentions(hf: GPT2LMHeadModel, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return torch.stack(hf(torch.tensor([ids]), output_attentions=True).attentions)[:, 0].numpy()


def test_random_rows_hold_distinct_tokens_twice() -> None:
    rows = repeated(97, N, eot=7, seed=0, first=7)
    assert len(rows) == SAMPLES
    for row in rows:
        assert row[0] == 7
        assert row[1 : N + 1] == row[N + 1 :]
        assert len(set(row)) == N + 1
    assert rows[0] != rows[1]


def test_scores_on_random_tokens(models, report) -> None:
    offsets = {"previous": 1, "current": 0, "duplicate": N, "induction": N - 1}
    found: dict[str, list[np.ndarray]] = {}
    for row in repeated(97, N, None, 0, None):
        a = attentions(models[1], row)
        for name, back in offsets.items():
            found.setdefault(name, []).append(np.mean([a[:, :, i, i - back] for i in range(N, 2 * N)], axis=0))
        found.setdefault("first", []).append(a[:, :, N:, 0].mean(-1))
    for name, values in found.items():
        np.testing.assert_allclose(report.random.found[name].value, np.mean(values, axis=0), atol=1e-12)
        assert report.random.uniform[name] == pytest.approx(np.mean(1 / np.arange(N + 1, 2 * N + 1)))
    assert (report.n, report.samples, report.bos) == (N, SAMPLES, False)


def test_scores_on_text(models, report) -> None:
    sums: dict[str, np.ndarray] = {}
    rows: dict[str, int] = {}
    flat: dict[str, float] = {}
    entropy, distance, count = 0, 0, 0
    for ids in TEXT:
        a = attentions(models[1], ids)
        for i in range(1, len(ids)):
            sets = {
                "previous": [i - 1],
                "current": [i],
                "first": [0],
                "duplicate": [j for j in range(i) if ids[j] == ids[i]],
                "induction": [j for j in range(1, i + 1) if ids[j - 1] == ids[i]],
            }
            for name, keys in sets.items():
                if keys:
                    sums[name] = sums.get(name, 0) + a[:, :, i, keys].sum(-1)
                    rows[name] = rows.get(name, 0) + 1
                    flat[name] = flat.get(name, 0) + len(keys) / (i + 1)
            weights = a[:, :, i, : i + 1]
            entropy = entropy - (weights * np.log(weights)).sum(-1) / np.log(i + 1)
            distance = distance + (weights * (i - np.arange(i + 1))).sum(-1)
            count += 1
    for name, total in sums.items():
        np.testing.assert_allclose(report.natural.found[name].value, total / rows[name], atol=1e-12)
        assert report.natural.uniform[name] == pytest.approx(flat[name] / rows[name])
    np.testing.assert_allclose(report.entropy.value, entropy / count, atol=1e-12)
    np.testing.assert_allclose(report.distance.value, distance / count, atol=1e-12)


def test_the_initial_model_attends_nearly_uniformly(report) -> None:
    for scores in (report.random, report.natural):
        for name, value in scores.initial.items():
            assert value.shape == (L, H)
            assert (value - scores.uniform[name]).abs().max() < 0.02


def test_copying_is_that_of_the_whole_matrix(models) -> None:
    hf = {name: p.detach().numpy() for name, p in models[1].named_parameters()}
    wte = hf["transformer.wte.weight"]
    e = wte - wte.mean(1, keepdims=True)
    u = (wte - wte.mean(0)) * hf["transformer.ln_f.weight"]
    u = u - u.mean(1, keepdims=True)
    found = copying_scores(models[0])
    for l in range(L):
        w_v = hf[f"transformer.h.{l}.attn.c_attn.weight"][:, 2 * C :]  # transformers stores [in, out]
        w_o = hf[f"transformer.h.{l}.attn.c_proj.weight"]
        for h in range(H):
            part = slice(h * D, (h + 1) * D)
            reads = (e * hf[f"transformer.h.{l}.ln_1.weight"]) @ w_v[:, part]
            eigenvalues = np.linalg.eigvals(reads @ w_o[part] @ u.T)  # (V)
            assert found[l, h].item() == pytest.approx((eigenvalues.sum() / abs(eigenvalues).sum()).real, abs=1e-8)


def test_the_causal_column_is_a_hooked_ablation(models, report) -> None:
    _, hf = models
    rows = torch.tensor(repeated(97, N, None, 0, None))
    kept = []
    projection = hf.transformer.h[1].attn.c_proj
    handle = projection.register_forward_pre_hook(lambda m, a: kept.append(a[0]))
    with torch.no_grad():
        plain = hf(rows).logits.log_softmax(-1)
    handle.remove()
    part = slice(2 * D, 3 * D)  # head 2
    mean = kept[0][:, 1:, part].mean((0, 1))

    def ablate(module, arguments):
        z = arguments[0].clone()
        z[..., part] = mean
        return (z,)

    handle = projection.register_forward_pre_hook(ablate)
    with torch.no_grad():
        edited = hf(rows).logits.log_softmax(-1)
    handle.remove()
    at, following = torch.arange(N, 2 * N - 1), rows[:, N + 1 :]
    rise = (plain - edited)[:, at].gather(2, following[:, :, None])[..., 0].mean(1)
    assert report.effect.value[1, 2].item() == pytest.approx(rise.mean().item(), abs=1e-10)
    losses = -plain[:, at].gather(2, following[:, :, None])[..., 0].mean()
    assert report.losses.value[1].item() == pytest.approx(losses.item(), abs=1e-10)


def test_a_previous_token_head_is_found() -> None:
    """A head built by hand: position i asks for code i, position j offers code j + 1."""
    config = GPT2Config(vocab_size=40, n_positions=31, n_embd=64, n_layer=1, n_head=2)
    model = GPT2(config, seed=1).eval()
    with torch.no_grad():
        model.transformer.wte.weight.mul_(0.1)
        model.transformer.wpe.weight.copy_(torch.eye(31, 64))
        attn = model.transformer.h[0].attn
        attn.c_attn.weight.zero_()
        attn.c_attn.weight[:32, :32] = 3 * torch.eye(32)
        attn.c_attn.weight[64:96, :32] = 3 * torch.eye(32).roll(1, 0)
    report = heads(model, reference(model, [ids for ids in TEXT if max(ids) < 40]))
    named = {(label.layer, label.head, label.name, label.on) for label in report.labels}
    assert named == {(0, 0, "previous-token", "random tokens, twice"), (0, 0, "previous-token", "text")}
    assert report.random.found["previous"].low[0, 0] > 0.9
    assert "previous-token pattern: 0.head.0; causal: none of them" in report.verdict()
    assert "No head is an induction head." in report.verdict()


def estimate(value: torch.Tensor, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


def test_labels_need_score_interval_and_effect(report) -> None:
    scores = torch.full((L, H), 0.1, dtype=torch.float64)
    scores[0, 0], scores[1, 1], scores[2, 2] = 0.9, 0.41, 0.39
    effect = torch.zeros(L, H, dtype=torch.float64)
    effect[0] = torch.tensor([1.0, 0.9, 0.2])
    effect[1, 1] = 0.3

    def labels(half: float, effect_half: float) -> list[tuple[int, int, bool]]:
        random = replace(report.random, found={"induction": estimate(scores, half)})
        natural = replace(report.natural, found={})
        made = replace(report, random=random, natural=natural, effect=estimate(effect, effect_half))
        return [(label.layer, label.head, label.causal) for label in made.labels]

    assert labels(0.01, 0.01) == [(0, 0, True), (1, 1, True)]
    assert labels(0.4, 0.01) == [(0, 0, True)]  # the interval of 0.41 reaches down to the baseline
    assert labels(0.01, 0.2) == [(0, 0, False), (1, 1, True)]  # 1.0 +- 0.2 is not above its layer's others
    assert labels(0.01, 0.35) == [(0, 0, False), (1, 1, False)]  # 0.3 +- 0.35 is not above 0


def test_without_the_causal_check_nothing_is_causal(models) -> None:
    report = heads(models[0], reference(models[0], TEXT), causal=False)
    assert report.effect is None
    assert not report.causal.any()
    assert report.to_dict()["loss_rise"] is None


def test_it_shows_itself(report) -> None:
    lines = str(report).splitlines()
    assert sum(".head." in line for line in lines) >= L * H
    data = report.to_dict()
    assert data["scores"]["text"]["induction"]["value"] == report.natural.found["induction"].value.tolist()
    assert len(report.plot().axes) == 12 + 12


def test_refusals(models) -> None:
    with pytest.raises(UsageError, match="too small"):
        heads(GPT2(GPT2Config(vocab_size=9, n_positions=4, n_embd=8, n_layer=1, n_head=1)), reference(models[0], TEXT))
    with pytest.raises(UsageError, match=r"no <.endoftext.>"):
        heads(models[0], reference(models[0], TEXT), bos=True)
