"""Whole texts through oneDNN: the same numbers as PyTorch's own, and only where it gains."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from gpt2.base import onednn
from gpt2.base.onednn import forward_only, linear_by_onednn
from gpt2.config import GPT2Config
from gpt2.model import GPT2

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
pytestmark = pytest.mark.skipif(not ONEDNN, reason="this PyTorch has no oneDNN")
CONFIG = GPT2Config(vocab_size=97, n_positions=64, n_embd=32, n_layer=2, n_head=4)


def make(dtype: torch.dtype = torch.float32) -> GPT2:
    return GPT2(CONFIG, seed=1).eval().to(dtype)


@pytest.mark.parametrize("rows", [1, 3, 70])
@torch.no_grad()
def test_onednn_gives_the_same_product(rows: int) -> None:
    layer, x = make().transformer.h[0].attn.c_attn, torch.randn(rows, 32, generator=torch.Generator().manual_seed(0))
    want = F.linear(x.double(), layer.weight.double(), layer.bias.double())
    with linear_by_onednn(layer.weight):
        torch.testing.assert_close(layer(x).double(), want, atol=1e-5, rtol=1e-5)


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


def test_what_gains_nothing_stays_as_it_is() -> None:
    model = make().double()
    with forward_only(model.lm_head.weight):
        assert model(torch.tensor([[1, 2]])).dtype == torch.float64
