"""Switching off: losses, KL and logits as transformers' model with hooks gives them; what a kind means; intervals."""

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel
from twins import SMALL, twins

from gpt2.base.errors import UsageError
from gpt2.explain.change.intervals import bootstrap, wilson
from gpt2.explain.change.off import excerpt, off
from gpt2.explain.change.switch import KINDS, Kind, switch
from gpt2.explain.run.reference import Reference, reference
from gpt2.explain.run.trace import trace
from gpt2.model import GPT2

L, H, D = SMALL.n_layer, SMALL.n_head, SMALL.head_dim
generator = torch.Generator().manual_seed(11)
TEXT = [torch.randint(97, (n,), generator=generator).tolist() for n in (9, 14, 6)]
MEANS = [torch.randint(97, (n,), generator=generator).tolist() for n in (12, 20, 15, 9)]


@pytest.fixture(scope="module")
def models() -> tuple[GPT2, GPT2LMHeadModel]:
    return twins(SMALL, 9, torch.tensor([MEANS[1]]))


@pytest.fixture(scope="module")
def texts(models) -> tuple[Reference, Reference]:
    return reference(models[0], TEXT), reference(models[0], MEANS)


def hooked(hf: GPT2LMHeadModel, ids: list[int], place: str, value) -> Tensor:
    """Logits [T, V] of transformers' model; `value(x)` replaces what the component writes."""
    layer, what, *head = place.split(".")
    block = hf.transformer.h[int(layer)]
    if what == "head":
        part = slice(int(head[0]) * D, (int(head[0]) + 1) * D)

        def replaced(module, arguments):
            z = arguments[0].clone()
            z[..., part] = value(z[..., part])
            return (z, *arguments[1:])

        handle = block.attn.c_proj.register_forward_pre_hook(replaced)
    elif what == "mlp":
        handle = block.mlp.register_forward_hook(lambda m, a, out: value(out))
    elif what == "attn":
        handle = block.attn.register_forward_hook(lambda m, a, out: (value(out[0]), *out[1:]))
    else:
        handle = block.register_forward_hook(lambda m, a, out: a[0] if isinstance(out, Tensor) else (a[0], *out[1:]))
    with torch.no_grad():
        logits = hf(torch.tensor([ids])).logits[0]
    handle.remove()
    return logits


def written(hf: GPT2LMHeadModel, ids: list[int], place: str) -> Tensor:
    """What a component writes, [T, D or C]."""
    kept = []
    hooked(hf, ids, place, lambda x: kept.append(x[0]) or x)
    return kept[0]


def reference_change(hf: GPT2LMHeadModel, ids: list[int], place: str, value) -> tuple[float, float, float]:
    """Sums over one document of loss change, KL and logit change, in numpy."""
    with torch.no_grad():
        plain = hf(torch.tensor([ids])).logits[0].numpy()
    edited = hooked(hf, ids, place, value).numpy()
    log_p, log_q = (x - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)) - x.max(-1, keepdims=True)
                    for x in (plain, edited))  # fmt: skip
    kl = (np.exp(log_p) * (log_p - log_q)).sum()
    at, following = np.arange(len(ids) - 1), np.array(ids[1:])
    loss = (log_p - log_q)[at, following].sum()
    return loss, kl, (edited - plain)[at, following].sum()


@pytest.mark.parametrize("kind", ["mean", "zero", "constant"])
def test_changes_are_those_of_a_hooked_pass(models, texts, kind: Kind) -> None:
    ours, hf = models
    names = [f"{l}.head.{h}" for l in range(L) for h in range(H)]
    if kind != "constant":
        names += [f"{l}.{what}" for l in range(L) for what in ("attn", "mlp", "block")]
    result = off(ours, names, kind, *texts)
    assert result.components == tuple(names)
    tokens = sum(len(ids) - 1 for ids in TEXT)
    for k, place in enumerate(names):
        if place.endswith("block"):
            value = None
        elif kind == "mean":
            mean = torch.cat([written(hf, ids, place)[1:] for ids in MEANS]).mean(0)
            value = mean.expand_as
        elif kind == "zero":
            value = torch.zeros_like
        else:
            layer, _, head = place.split(".")
            bias = hf.transformer.h[int(layer)].attn.c_attn.bias.detach()[2 * H * D :].view(H, D)[int(head)]
            value = bias.expand_as
        sums = np.array([reference_change(hf, ids, place, value) for ids in TEXT])
        assert result.change.value[k].item() == pytest.approx(sums[:, 0].sum() / tokens, abs=1e-10), place
        assert result.kl.value[k].item() == pytest.approx(sums[:, 1].sum() / (tokens + 3), abs=1e-10), place
        assert result.logit.value[k].item() == pytest.approx(sums[:, 2].sum() / tokens, abs=1e-10), place


def test_the_other_kinds_are_the_edits_that_trace_takes(models, texts) -> None:
    ours, _ = models
    text, means = texts
    for kind, names in {
        "first": ["1.head.2", "0.attn"],
        "position mean": ["1.head.0", "2.mlp", "0.attn"],
        "mean": ["0.ln_2.scale", "final.scale", "embed.pos", "0.head.1,2.mlp"],
        "resample": ["1.head.1", "0.mlp"],
        "constant": ["1.attn"],
    }.items():
        result = off(ours, names, kind, text, means)
        for k, name in enumerate(names):
            for number, document in enumerate(result.documents):
                other = trace(ours, MEANS[number], read="all") if kind == "resample" else None
                ids = torch.tensor([document.ids])
                plain = trace(ours, ids).logits[0].log_softmax(-1)
                edited = trace(ours, ids, edit=switch(ours, name, kind, means, other)).logits[0].log_softmax(-1)
                kl = (plain.exp() * (plain - edited)).sum(-1)
                torch.testing.assert_close(document.kl[k], kl, rtol=0, atol=1e-10)
                assert kl.max() > 1e-6  # the edit did something


def test_a_first_key_head_writes_the_first_value(models, texts) -> None:
    """Off by "first": the head's z is the value vector of position 0, computed here from transformers' weights."""
    ours, hf = models
    ids = TEXT[0]
    kept = []
    block = hf.transformer.h[1]
    handle = block.ln_1.register_forward_hook(lambda m, a, out: kept.append(out))
    with torch.no_grad():
        hf(torch.tensor([ids]))
        v = block.attn.c_attn(kept[0])[0, 0, 2 * H * D :].view(H, D)[2]
    handle.remove()
    result = off(ours, ["1.head.2"], "first", *texts)
    loss, kl, logit = reference_change(hf, ids, "1.head.2", lambda x: v.expand_as(x))
    document = result.documents[0]
    assert document.loss_change.sum().item() == pytest.approx(loss, abs=1e-10)
    assert document.kl.sum().item() == pytest.approx(kl, abs=1e-10)
    assert document.logit_change.sum().item() == pytest.approx(logit, abs=1e-10)


@pytest.mark.parametrize(
    ("component", "kind", "message"),
    [
        ("1.mlp", "first", "cannot be switched off by 'first': choose mean, zero"),
        ("1.mlp", "constant", "choose mean, zero"),
        ("1.block", "resample", "choose mean, zero"),
        ("final.scale", "zero", "choose mean"),
        ("embed.pos", "resample", "choose mean, zero"),
        ("1.mlp", "median", "no kind 'median'"),
        ("1.head.3", "mean", "no head 3"),
        ("1.mpl", "mean", "nearest"),
    ],
)
def test_refusals(models, texts, component: str, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        off(models[0], [component], kind, *texts)


def test_resampling_needs_another_document(models) -> None:
    alone = reference(models[0], TEXT[:1])
    with pytest.raises(UsageError, match="besides the text itself"):
        off(models[0], ["0.mlp"], "resample", alone, alone)
    with pytest.raises(UsageError, match="nothing to switch off"):
        off(models[0], [])


def test_it_tells_what_it_read_and_shows_itself(models, texts) -> None:
    told = []
    result = off(
        models[0], ["*.head.*", "0.attn", "0.head.0,1.mlp"], "mean", *texts, progress=lambda *n: told.append(n)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert result.text["sha256"] == texts[0].sha256
    assert result.means["sha256"] == texts[1].sha256
    first = result.components[result.order[0]]
    assert str(result).splitlines()[2].split()[:2] == [first, f"{result.change.value.max():+.4f}"]
    data = result.to_dict()
    assert data["components"][-1]["off"] == "0.head.0,1.mlp"
    assert data["components"][0]["loss_change"]["value"] == result.change.value[0].item()
    assert len(result.plot().axes) == 2  # heat map and scale
    assert len(off(models[0], ["0.mlp", "1.mlp"], "zero", *texts).plot().axes) == 1  # bars


def test_an_excerpt_is_a_beginning(models, texts) -> None:
    cut = excerpt(models[0], texts[0], documents=2, tokens=7)
    assert cut.rows == (tuple(TEXT[0][:7]), tuple(TEXT[1][:7]))
    assert cut.sha256 != texts[0].sha256


def test_every_kind_is_known_to_heads(models, texts) -> None:
    run = trace(models[0], MEANS[1], read="*.attn.z")
    assert [list(switch(models[0], "1.head.0", kind, texts[1], run)) for kind in KINDS] == [["1.head.0"]] * len(KINDS)


def test_bootstrap_is_a_ratio_with_its_spread_over_documents() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(5, 50, size=40)
    sums = counts * 2.0 + rng.normal(0, 3, size=40)
    estimate = bootstrap(torch.tensor(sums), torch.tensor(counts))
    assert estimate.value.item() == pytest.approx(sums.sum() / counts.sum())
    # the linearised standard error of a ratio (Cochran 1977, section 6.4)
    error = np.sqrt(np.sum((sums - estimate.value.item() * counts) ** 2)) / counts.sum()
    assert (estimate.high - estimate.low).item() == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert bootstrap(torch.full((5,), 3.0)).low.item() == 3.0
    assert torch.equal(bootstrap(torch.tensor(sums)).low, bootstrap(torch.tensor(sums)).low)
    assert bootstrap(torch.ones(1, 2)).low.isnan().all()  # one document says nothing of others
    with pytest.raises(ValueError, match="no documents"):
        bootstrap(torch.ones(0))


def test_bootstrap_covers_the_truth() -> None:
    """200 experiments at once, 30 documents each: a 95% interval holds the mean in about 93 of 100."""
    draws = np.random.default_rng(1).normal(size=(30, 200))
    estimate = bootstrap(torch.tensor(draws))
    inside = ((estimate.low < 0) & (estimate.high > 0)).double().mean().item()
    assert 0.88 < inside < 0.97


def test_wilson_solves_its_quadratic() -> None:
    for successes, n in ((8, 10), (0, 10), (100, 100), (57, 100)):
        share, z = successes / n, 1.959963984540054
        # the ends are where the normal test just rejects: (p - share)^2 = z^2 p (1 - p) / n
        low, high = sorted(np.roots([1 + z * z / n, -2 * share - z * z / n, share * share]).real)
        estimate = wilson(successes, n)
        assert estimate.low.item() == pytest.approx(low, abs=1e-9)
        assert estimate.high.item() == pytest.approx(high, abs=1e-9)
    assert f"{wilson(8, 10):.2f}" == "0.80 [0.49, 0.94]"
