"""Linear maps through oneDNN: the same numbers as PyTorch's own, packed or not, and never those of old weights."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from gpt2.base import onednn
from gpt2.base.onednn import forward_only, linear_by_onednn, pack
from gpt2.config import GPT2Config
from gpt2.inference.decoder import WORTH, Decoder
from gpt2.model import GPT2

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
pytestmark = pytest.mark.skipif(not ONEDNN, reason="this PyTorch has no oneDNN")
CONFIG = GPT2Config(vocab_size=97, n_positions=64, n_embd=32, n_layer=2, n_head=4)
BF16 = pytest.param(torch.bfloat16, 2e-2, marks=pytest.mark.skipif(
    not ONEDNN or not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bf16 on this processor"
))  # fmt: skip


def make(dtype: torch.dtype = torch.float32) -> GPT2:
    return GPT2(CONFIG, seed=1).eval().to(dtype)


def steps(model: GPT2, room: int) -> torch.Tensor:
    """Logits of two steps, with packed weights from WORTH on and from no smaller room."""
    decoder = Decoder(model)
    decoder.prefill([[1, 2, 3], [4, 5]], room)
    decoder.step([[7], [8]])
    assert len(decoder._packed) == (4 * CONFIG.n_layer + 1 if room >= WORTH else 0)
    decoder.prefill([[1, 2, 3], [4, 5]], room)
    return torch.stack([decoder.step([[7], [8]]), decoder.step([[9], [10]])])


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), BF16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_packed_and_plain_weights_give_the_same_product(dtype: torch.dtype, close: float, rows: int) -> None:
    model, x = make(dtype), torch.randn(rows, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    layer, packed = model.transformer.h[0].attn.c_attn, pack(model)
    with torch.no_grad():
        want = F.linear(x.double(), layer.weight.double(), layer.bias.double())
        for weights in ({}, packed):
            with linear_by_onednn(layer.weight, weights):
                torch.testing.assert_close(layer(x).double(), want, atol=close, rtol=close)
    assert len(packed) == 4 * CONFIG.n_layer + 1


def test_the_packed_numbers_are_those_that_are_used() -> None:
    """Every other test would pass with packed weights that nobody reads."""
    model, x = make(), torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    layer = model.transformer.h[0].attn.c_attn
    negated = torch.ops.mkldnn._reorder_linear_weight(-layer.weight.detach(), onednn.ROWS)
    with torch.no_grad():
        want = F.linear(x, -layer.weight, layer.bias)
        with linear_by_onednn(layer.weight, {id(layer.weight): negated}):
            torch.testing.assert_close(layer(x), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("capability", "through"), [("AVX512", True), ("AVX2", False)])
def test_whole_texts_take_onednn_where_it_gains(
    capability: str, through: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(onednn, "linear_by_onednn", lambda weight: asked.append(weight) or nullcontext())
    weight = make().lm_head.weight
    with forward_only(weight):
        assert not torch.is_grad_enabled()
    assert [one is weight for one in asked] == [True] * through


def test_long_generations_pack_and_change_nothing_but_rounding() -> None:
    model = make()
    torch.testing.assert_close(steps(model, WORTH), steps(model, WORTH - 1), atol=1e-5, rtol=1e-5)


def test_weights_that_changed_since_the_last_generation_count() -> None:
    model = make()
    before = steps(model, WORTH)
    model.transformer.h[1].mlp.c_proj.weight.data.mul_(-3)  # autograd does not see this
    torch.testing.assert_close(steps(model, WORTH), steps(model, WORTH - 1), atol=1e-5, rtol=1e-5)
    assert (steps(model, WORTH) - before).abs().max() > 1e-3


def test_what_gains_nothing_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pack(make(torch.float64)) == {}
    model = make().double()
    with forward_only(model.lm_head.weight):
        assert model(torch.tensor([[1, 2]])).dtype == torch.float64
    monkeypatch.setattr(onednn, "LARGEST", 1000)
    assert pack(make()) == {}
