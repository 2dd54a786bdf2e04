"""Neurons, embeddings and the stream's norms, against numpy and transformers in float64."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gpt2.base.errors import UsageError
from gpt2.explain import reference, trace
from gpt2.explain.change.neurons import neuron
from gpt2.explain.run.weights import neuron_writes, promotes
from gpt2.explain.see.embeddings import neighbours, position_similarity
from gpt2.explain.see.stream import gradient_norms, stream
from gpt2.model import GPT2
from tests.explained import BLOCKS, TEXT, in_numpy, small, storyteller
from tests.twins import SMALL

DOCUMENTS = [[5, 9, 9, 31, 2, 77, 14, 3], [1, 2, 3, 50, 4, 4, 90], list(range(13, 33))]
UNIT = 17


def passes() -> list:
    return [in_numpy(small().model, torch.tensor(ids)) for ids in DOCUMENTS]


def test_contexts_share_and_mean_of_a_neuron() -> None:
    found = neuron(small().model, f"1.mlp.post#{UNIT}", DOCUMENTS, contexts=4)
    values = [n.values["1.mlp.post"][:, UNIT] for n in passes()]
    every = np.concatenate([v[1:] for v in values])
    assert found.mean == pytest.approx(every.mean(), rel=1e-10)
    assert found.active == (every > 0).mean()
    assert found.largest == pytest.approx(every.max(), rel=1e-10)
    places = sorted(((v[t], d, t) for d, v in enumerate(values) for t in range(1, len(v))), reverse=True)
    for context, (value, document, position) in zip(found.contexts, places):
        assert (context.document, context.position) == (document, position)
        assert context.activation == pytest.approx(value, rel=1e-10)
        assert context.token == str(DOCUMENTS[document][position])
        assert context.before == tuple(map(str, DOCUMENTS[document][max(0, position - 8) : position]))
        assert context.after == tuple(map(str, DOCUMENTS[document][position + 1 : position + 4]))


def test_what_a_neuron_promotes_is_what_one_unit_more_of_it_adds_to_the_logits() -> None:
    n = small().numpy
    w_out = n.w["transformer.h.1.mlp.c_proj.weight"][:, UNIT]
    g = n.w["transformer.ln_f.weight"] * n.w["lm_head.weight"]  # (V, C)
    scores = (g - g.mean(-1, keepdims=True)) @ w_out
    scores -= scores.mean()
    (found,) = promotes(small().model, neuron_writes(small().model, 1)[[UNIT]])
    np.testing.assert_allclose(found.numpy(), scores, rtol=1e-9, atol=1e-12)
    found = neuron(small().model, f"1.mlp.post#{UNIT}", DOCUMENTS, tokens=3)
    order = np.argsort(-scores)
    assert [name for name, _ in found.promoted] == [str(i) for i in order[:3]]
    assert [name for name, _ in found.suppressed] == [str(i) for i in order[::-1][:3]]


@pytest.mark.parametrize("layer", [0, 2])
def test_the_loss_change_of_a_neuron_held_at_its_mean(layer: int) -> None:
    """By transformers, its activation replaced by a hook of torch's own."""
    hf = small().hf
    held = np.concatenate([n.values[f"{layer}.mlp.post"][1:, UNIT] for n in passes()]).mean()

    def replace(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        output[..., UNIT] = held
        return output

    def losses() -> list[float]:
        found = []
        for row in DOCUMENTS:
            ids = torch.tensor([row])
            with torch.no_grad():
                found.append(F.cross_entropy(hf(ids).logits[0, :-1], ids[0, 1:], reduction="sum").item())
        return found

    before = losses()
    hook = hf.transformer.h[layer].mlp.act.register_forward_hook(replace)
    after = losses()
    hook.remove()
    found = neuron(small().model, f"{layer}.mlp.post#{UNIT}", DOCUMENTS).loss_change
    expected = (sum(after) - sum(before)) / sum(len(row) - 1 for row in DOCUMENTS)
    assert float(found.value) == pytest.approx(expected, rel=1e-8)
    assert abs(expected) > 1e-4
    assert found.low <= found.value <= found.high


def test_a_neuron_shows_itself_and_its_progress() -> None:
    shares: list[float] = []
    few = reference(storyteller(), ["The cat sat on the mat. It was a big cat.", "The dog ran."])
    found = neuron(storyteller(), "4.mlp.post#13", few, contexts=2, progress=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]
    lines = str(found).splitlines()
    assert lines[0].startswith(f"4.mlp.post#13: active at {found.active:.1%}")
    assert f"[{found.contexts[0].token}]".replace("·", " ") in lines[2]
    assert any(line.startswith("held at its mean, the loss changes by") for line in lines)
    record = json.loads(json.dumps(found.to_dict()))
    assert record["text"]["sha256"] == few.sha256
    assert record["contexts"][0]["activation"] == found.contexts[0].activation


def test_what_a_neuron_refuses() -> None:
    for address in ("1.mlp", "1.mlp.pre#3", "*.mlp.post#3", "1.mlp.post#3@2", "1.mlp.post@2#3", "logits#3"):
        with pytest.raises(
            ValueError, match=r"is not a neuron: write LAYER\.mlp\.post#NUMBER, such as \d\.mlp\.post#\d+\.$"
        ):
            neuron(small().model, address, DOCUMENTS)
    for address, example in (
        ("5", "0.mlp.post#5"),
        ("1.7", "1.mlp.post#7"),
        ("cat", "0.mlp.post#0"),
        ("9.7", "0.mlp.po"),
    ):
        with pytest.raises(UsageError, match=f"is not a neuron: write LAYER.mlp.post#NUMBER, such as {example}"):
            neuron(small().model, address, DOCUMENTS)
    with pytest.raises(UsageError, match=r"did you mean 1.mlp.post#7"):
        neuron(small().model, "1.mlp.7", DOCUMENTS)
    with pytest.raises(UsageError, match="there is no #96, this point has 0 to 95"):
        neuron(small().model, "1.mlp.post#96", DOCUMENTS)


# Embeddings


def test_neighbours_are_by_cosine() -> None:
    w = small().numpy.w["transformer.wte.weight"]
    cosines = w @ w[20] / np.linalg.norm(w, axis=1) / np.linalg.norm(w[20])
    found = neighbours(small().model, 20, k=5)
    order = [i for i in np.argsort(-cosines) if i != 20]
    assert found.ids.tolist() == order[:5]
    np.testing.assert_allclose(found.cosines.numpy(), cosines[order[:5]], rtol=1e-10)
    others = np.delete(cosines, 20)
    assert found.typical == pytest.approx((others.mean(), others.std()), rel=1e-9)


def test_neighbours_of_a_word() -> None:
    found = neighbours(storyteller(), " girl", k=3)
    assert "·boy" in found.labels[:2]
    assert "·boy" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["labels"] == list(found.labels)
    assert len(found.plot().axes[0].patches) == 4  # three bars, and where all others lie
    assert len(neighbours(small().model, 5, k=500).ids) == SMALL.vocab_size - 1
    with pytest.raises(UsageError, match="choose a word of one token"):
        neighbours(storyteller(), " zyxw")
    with pytest.raises(UsageError, match="k is 0"):
        neighbours(storyteller(), " girl", k=0)


def test_position_similarity() -> None:
    w = small().numpy.w["transformer.wpe.weight"]
    unit = w / np.linalg.norm(w, axis=1, keepdims=True)
    found = position_similarity(small().model)
    np.testing.assert_allclose(found.cosines.numpy(), unit @ unit.T, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.norms.numpy(), np.linalg.norm(w, axis=1), rtol=1e-12)
    assert found.by_distance(3) == pytest.approx(np.mean([unit[i] @ unit[i + 3] for i in range(1, 37)]))
    assert str(found).splitlines()[2].split() == ["1", f"{found.by_distance(1):.3f}"]
    assert found.plot().axes[0].images[0].get_array().shape == (40, 40)
    with pytest.raises(UsageError, match="ask for 0 to 38"):
        found.by_distance(39)


# The stream


def test_norms_cosines_and_scales_of_the_stream() -> None:
    n, found = small().numpy, stream(trace(small().model, small().ids))
    points = ["0.resid_pre", *(f"{l}.{p}" for l in range(3) for p in ("resid_mid", "resid_post"))]
    assert list(found.points) == points
    x = np.stack([n.values[p] for p in points])
    norms = np.linalg.norm(x, axis=-1)
    np.testing.assert_allclose(found.norms.numpy(), norms, rtol=1e-10)
    np.testing.assert_allclose(found.final.numpy(), (x * x[-1]).sum(-1) / norms / norms[-1], rtol=1e-9, atol=1e-12)
    ends, lengths = x[::2], norms[::2]
    turned = (ends[1:] * ends[:-1]).sum(-1) / lengths[1:] / lengths[:-1]
    np.testing.assert_allclose(found.turned.numpy(), turned, rtol=1e-9, atol=1e-12)
    scales = [f"{l}.{p}.scale" for l in range(3) for p in ("ln_1", "ln_2")] + ["final.scale"]
    assert list(found.norm_layers) == scales
    np.testing.assert_allclose(found.scales.numpy(), np.stack([n.values[s] for s in scales]), rtol=1e-10)
    writes = np.stack([n.values[f"{l}.{p}.out"] for l in range(3) for p in ("attn", "mlp")])
    np.testing.assert_allclose(found.write_norms.numpy(), np.linalg.norm(writes, axis=-1), rtol=1e-10)


def test_gradient_norms_are_those_of_transformers() -> None:
    hf, ids = small().hf, small().ids[:1]
    streams: list[torch.Tensor] = []
    hooks = [
        block.register_forward_hook(lambda m, i, out: streams.append(out[0] if isinstance(out, tuple) else out))
        for block in hf.transformer.h
    ]
    embedded: list[torch.Tensor] = []
    hooks.append(hf.transformer.drop.register_forward_hook(lambda m, i, out: embedded.append(out)))
    loss = F.cross_entropy(hf(ids).logits[0, :-1], ids[0, 1:])
    for hook in hooks:
        hook.remove()
    expected = torch.autograd.grad(loss, [*embedded, *streams], retain_graph=True)
    found = gradient_norms(small().model, ids)
    torch.testing.assert_close(found.norms, torch.stack([g[0].norm(dim=-1) for g in expected]), rtol=1e-9, atol=1e-14)
    assert found.loss == pytest.approx(loss.item(), rel=1e-12)
    assert found.norms[-1, -1] == 0
    parts = {"token vectors": hf.transformer.wte, "position vectors": hf.transformer.wpe}
    parts |= {f"block {l}": hf.transformer.h[l] for l in range(3)} | {"final norm": hf.transformer.ln_f}
    assert found.parts == tuple(parts)
    for name, norm in zip(found.parts, found.parameters.tolist()):
        gradients = torch.autograd.grad(loss, list(parts[name].parameters()), retain_graph=True)
        assert norm == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item(), rel=1e-9), name
    assert all(p.grad is None for p in small().model.parameters())


def test_an_untied_head_has_gradients_of_its_own() -> None:
    model = GPT2(SMALL).double()
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    assert gradient_norms(model, small().ids[:1]).parts[-1] == "head"
    assert model.training


def test_the_streams_views() -> None:
    found = stream(trace(storyteller(), TEXT))
    assert str(found).splitlines()[2].split()[0] == "0.resid_pre"
    points = 2 * BLOCKS + 1
    sizes = {"norms": points, "final": points, "scales": points, "turned": BLOCKS, "write_norms": 2 * BLOCKS}
    for what, rows in sizes.items():
        assert found.plot(what).axes[0].images[0].get_array().shape == (rows, 13)
    json.dumps(found.to_dict())
    with pytest.raises(UsageError, match="choose norms, final"):
        found.plot("length")
    gradients = gradient_norms(storyteller(), TEXT)
    assert str(gradients).splitlines()[2].split()[0] == "embed.out"
    assert gradients.plot().axes[0].images[0].get_array().shape == (BLOCKS + 1, 13)
    with pytest.raises(UsageError, match="at least two tokens"):
        gradient_norms(small().model, [5])
    with pytest.raises(UsageError, match="there is no row 1"):
        stream(trace(storyteller(), TEXT), row=1)
