"""A model whose linear maps go the fastest way: the same numbers, never of old weights, and the model untouched."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gpt2.base.onednn import fits
from gpt2.config import GPT2Config
from gpt2.inference.decoder import Decoder
from gpt2.kernels import fast as module
from gpt2.kernels import library, packed, ways
from gpt2.kernels.fast import FastLinear, fast
from gpt2.model import GPT2

CONFIG = GPT2Config(vocab_size=97, n_positions=64, n_embd=32, n_layer=2, n_head=4)
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
EACH = [
    pytest.param("kernel", marks=pytest.mark.skipif(library.library() is None, reason="the kernel is not compiled")),
    pytest.param("onednn", marks=pytest.mark.skipif(not ONEDNN, reason="this PyTorch has no oneDNN")),
    pytest.param("packed", marks=pytest.mark.skipif(not ONEDNN, reason="this PyTorch has no oneDNN")),
]


def make(dtype: torch.dtype = torch.float32) -> GPT2:
    return GPT2(CONFIG, seed=1).eval().to(dtype)


def go(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """From now on models of any size go this way."""
    monkeypatch.setattr(module, "_chosen", lambda weights, pack: (way,) * 4 if pack or way != "packed" else ways.PLAIN)


def steps(model: GPT2) -> torch.Tensor:
    """Logits of a prefill of unequal prompts and of two steps."""
    decoder = Decoder(model)
    first = decoder.prefill([[1, 2, 3], [4, 5]], room=20)
    return torch.stack([first, decoder.step([[7], [8]]), decoder.step([[9], [10]])])


@pytest.mark.parametrize("way", EACH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_every_way_gives_the_same_logits(way: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(dtype)
    if way != "kernel" and not fits(model.lm_head.weight):
        pytest.skip("oneDNN has no bf16 on this processor")
    want, close = steps(model), 1e-5 if dtype == torch.float32 else 2e-2
    go(monkeypatch, way)
    torch.testing.assert_close(steps(model), want, atol=close, rtol=close)


@pytest.mark.parametrize("way", EACH)
def test_weights_that_changed_count_at_once(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place behind autograd's back, by load_state_dict, by a new parameter, by a new module."""
    model, other = make(), GPT2(CONFIG, seed=2)
    go(monkeypatch, way)

    def negate() -> None:
        model.transformer.h[1].mlp.c_proj.weight.data.mul_(-1)

    def load() -> None:
        model.load_state_dict(other.state_dict())

    def give() -> None:
        model.transformer.h[0].mlp.c_fc.weight = nn.Parameter(other.transformer.h[0].mlp.c_fc.weight * 3)

    def replace() -> None:
        model.transformer.h[0].attn.c_attn = nn.Linear(32, 96)

    before = steps(model)
    for change in (negate, load, give, replace):
        change()
        after = steps(model)
        assert (after - before).abs().max() > 1e-4, change.__name__
        with monkeypatch.context() as plain:
            plain.setattr(module, "_chosen", lambda weights, pack: ways.PLAIN)
            torch.testing.assert_close(after, steps(model), atol=1e-5, rtol=1e-5)
        before = after


@pytest.mark.skipif(not ONEDNN, reason="this PyTorch has no oneDNN")
def test_a_weight_is_packed_once_and_its_copy_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = packed.pack
    monkeypatch.setattr(packed, "pack", lambda weight: asked.append(weight) or real(weight))
    model = make()
    go(monkeypatch, "packed")
    for _ in range(3):
        steps(model)
    assert len(asked) == 4 * CONFIG.n_layer + 1
    kept = len(packed._packed)
    asked.clear()
    del model
    assert len(packed._packed) <= kept - 4 * CONFIG.n_layer - 1
    assert type(fast(make(), steps=1).lm_head) is nn.Linear  # too few steps to pay


def test_a_weight_is_packed_only_for_passes_that_read_it_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row goes by the kernel here; a prompt that is read once does not pay for a second copy of the weights."""
    with_copies, without = ("torch", "packed", "packed", "torch"), ("torch", "onednn", "torch", "torch")
    monkeypatch.setattr(module, "_chosen", lambda weights, pack: with_copies if pack else without)
    monkeypatch.setattr(packed, "pack", lambda weight: pytest.fail("packed"))
    assert [of.__name__ for of in fast(make(), steps=20, rows=1).lm_head.by_class[:2]] == ["linear", "onednn"]
    monkeypatch.undo()
    if ONEDNN:
        monkeypatch.setattr(module, "_chosen", lambda weights, pack: with_copies if pack else without)
        assert fast(make(), steps=20, rows=2).lm_head.read[1] is not None


@pytest.mark.skipif(library.library() is None, reason="the kernel is not compiled")
def test_the_model_stays_as_it_is_and_shares_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = make().train(), []
    layer = model.transformer.h[1].mlp.c_fc
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    go(monkeypatch, "kernel")
    twin = fast(model)
    assert isinstance(twin, GPT2)
    assert type(model) is GPT2
    assert type(layer) is nn.Linear
    assert model.training
    assert not twin.training
    assert not twin.transformer.drop.training
    assert isinstance(twin.lm_head, FastLinear)
    assert twin.lm_head.weight is twin.transformer.wte.weight is model.lm_head.weight
    with torch.no_grad():
        twin(torch.tensor([[1, 2]]))
    assert seen == [(1, 2, 128)]  # a hook of the model's is called
    model(torch.tensor([[1, 2]])).sum().backward()


def test_a_gradient_comes_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.ones(1, 8, requires_grad=True), torch.ones(3, 8)
    for way in ways.WAYS.values():
        (grad,) = torch.autograd.grad(way(x, weight, None).sum(), x)
        assert torch.equal(grad, torch.full((1, 8), 3.0))


def test_what_gains_nothing_goes_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other types, several types in one model: PyTorch's own products; and of a small model nothing is measured."""
    monkeypatch.setattr(module, "ways", lambda dtype, pack: pytest.fail("nothing is to be measured"))
    fast(make())
    monkeypatch.setattr(module, "assumed", lambda: ("kernel",) * 4)
    assert type(fast(make(torch.float64)).lm_head) is nn.Linear
    mixed = make()
    mixed.transformer.h[0].mlp.c_fc.bfloat16()
    assert type(fast(mixed).lm_head) is nn.Linear


def test_each_class_of_rows_goes_its_own_way() -> None:
    layer, seen = FastLinear(4, 2), []
    layer.read = (None,) * 4

    def way(name: str):
        return lambda x, weight, bias: seen.append(name) or F.linear(x, weight, bias)

    layer.by_class = tuple(map(way, ("one", "few", "some", "many")))
    for rows in (1, 2, 8, 9, 64, 65):
        layer(torch.ones(1, rows, 4))
    assert seen == ["one", "few", "few", "some", "some", "many"]
