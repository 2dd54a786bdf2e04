"""What the ledger's figures are computed by, on numbers whose answer is known."""

import math

import pytest
import torch

from gpt2.ablation.models import build
from gpt2.config import GPT2Config
from scripts.guides.measure_embeddings import explained_by_distance, explained_by_distance_and_place
from scripts.guides.measure_inside import solved, spearman, wilson
from scripts.guides.watched import counted_losses, mean_cosine, neurons_off, own_share, positions_alike
from tests.docs.test_readme import ROOT

SMALL = GPT2Config(n_positions=8, vocab_size=16, n_embd=16, n_layer=2, n_head=2)
SKIPLESS = ROOT / "recipes" / "ablation" / "skipless.py"


def ids(rows=2):
    """Some tokens [rows, 8], and the ones that follow."""
    block = torch.randint(0, 16, (rows, 9), generator=torch.Generator().manual_seed(0))
    return block[:, :-1], block[:, 1:]


def test_positions_that_are_one_vector_have_collapsed():
    one = torch.randn(1, 1, 5).expand(1, 4, 5)
    assert mean_cosine(one) == pytest.approx(1)
    assert own_share(one) == pytest.approx(0, abs=1e-6)
    assert mean_cosine(torch.eye(4)[None]) == pytest.approx(0)
    assert own_share(torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])) == pytest.approx(1)
    # a mean that all share raises the cosine, and leaves what is own as it is
    shared = torch.eye(4)[None] + 10
    assert mean_cosine(shared) > 0.9
    assert 0 < own_share(shared) < 0.1


def test_gradients_of_queries_keys_and_values_are_those_of_the_weights():
    model = build(SMALL).eval()
    x, y = ids()
    looked = positions_alike(model, x, y)
    model(x, y).backward()
    thirds = model.transformer.h[1].attn.c_attn.weight.grad.split(16)
    assert [looked[name][1] for name in "qkv"] == pytest.approx([float(t.norm()) for t in thirds], rel=1e-4)
    assert len(looked["cosine"]) == len(looked["own"]) == 3
    assert looked["loss"] == pytest.approx(model(x, y).item())


def test_without_residuals_positions_are_more_alike():
    x, y = ids()
    plain, bare = (positions_alike(build(SMALL, v), x, y) for v in (None, {"name": "no-residuals"}))
    assert bare["own"][-1] < plain["own"][-1]


def test_counts_predict_by_how_often_tokens_came():
    rows = torch.tensor([[0, 1, 1], [0, 1, 2]])  # what is predicted: 1, 1, 1, 2; each counts once more
    found = counted_losses(rows, torch.zeros(1, 2), torch.tensor([[1, 2]]), vocabulary=3)
    assert found["unigram"] == pytest.approx(-(math.log(4 / 7) + math.log(2 / 7)) / 2)
    assert found["position_unigram"] == pytest.approx(found["unigram"], abs=1e-3)  # two tokens beside the prior


def test_neurons_that_write_nothing_cost_nothing():
    model = build(SMALL).eval()
    for block in model.transformer.h:
        torch.nn.init.zeros_(block.mlp.c_proj.weight)
    assert neurons_off(model, *ids())["tenth_off"] == pytest.approx(0, abs=1e-6)
    assert neurons_off(build(SMALL).eval(), *ids())["tenth_off"] != 0


def test_place_explains_what_distance_cannot():
    i, j = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    near = torch.exp(-(i - j).abs() / 20)
    assert explained_by_distance(near) == pytest.approx(1)
    assert explained_by_distance_and_place(near) == pytest.approx(1)
    changing = torch.exp(-(i - j).abs() / (5 + torch.minimum(i, j)))  # early positions differ faster
    assert explained_by_distance(changing) < explained_by_distance_and_place(changing) - 0.05


def test_a_linear_map_and_two_statistics():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
    w = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]]).double()
    assert torch.allclose(solved(x, x @ w), w, atol=0.02)  # the ridge pulls a little
    assert wilson(96, 100) == pytest.approx([0.96, 0.9016, 0.9843], abs=1e-4)
    assert spearman(x, x) == pytest.approx(1)
    assert spearman(x, -x) == pytest.approx(1)  # cosines do not see a turn


def test_the_skipless_model_starts_with_each_position_by_itself():
    model = build(SMALL, {"name": "skipless"}, file=SKIPLESS).eval()
    x, _ = ids(1)
    other = x.clone()
    other[0, 0] = (other[0, 0] + 1) % 16
    with torch.no_grad():
        a, b = model(x), model(other)
    assert torch.equal(a[0, 1:], b[0, 1:])  # the patterns are the identity
    assert not torch.equal(a[0, 0], b[0, 0])
    for block in model.transformer.h:
        torch.nn.init.ones_(block.attn.beta)
    with torch.no_grad():
        assert not torch.equal(model(x)[0, 1:], model(other)[0, 1:])
