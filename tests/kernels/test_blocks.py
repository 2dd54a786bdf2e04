"""All blocks in one call of the kernel: the model's numbers, the same bits in any company, and nothing overheard."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.cache import KVCache
from gpt2.config import GPT2Config
from gpt2.kernels import blocks, library
from gpt2.kernels.blocks import Blocks
from gpt2.kernels.fast import fast
from gpt2.kernels.linear import quantise_model
from gpt2.model import GPT2
from gpt2.probe import Probe

pytestmark = pytest.mark.skipif(not library.is_wide(), reason="no wide kernel here: blocks go step by step")
CONFIG = GPT2Config(vocab_size=97, n_positions=96, n_embd=48, n_layer=3, n_head=3)
CLOSE = {torch.float32: 2e-5, torch.bfloat16: 6e-2}
IDS = torch.randint(97, (3, 20), generator=torch.Generator().manual_seed(0))


def make(dtype: torch.dtype = torch.float32, kind: str = "", **sizes: object) -> GPT2:
    """A model whose biases and norms are not as at the start, so that each of them counts."""
    model = GPT2(GPT2Config(**{**CONFIG.__dict__, **sizes}), seed=1).eval()
    draw = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=draw) * 0.1)
    model = model.to(dtype)
    return quantise_model(model, kind) if kind else model  # type: ignore[arg-type]


@pytest.fixture(name="calls")
def _calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each pass went through the kernel."""
    found: list[bool] = []
    compute = Blocks.compute

    def spy(self: Blocks, x: Tensor, here: object) -> Tensor | None:
        y = compute(self, x, here)  # type: ignore[arg-type]
        found.append(y is not None)
        return y

    monkeypatch.setattr(Blocks, "compute", spy)
    return found


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def read(model: GPT2, ids: Tensor, cuts: tuple[int, ...] = (), dtype: torch.dtype = torch.float32) -> Tensor:
    """Logits [B, T, V] of ids [B, T], computed in pieces that end at `cuts`."""
    cache = KVCache(CONFIG, len(ids), CONFIG.n_positions, dtype=dtype)
    ends = (0, *cuts, ids.size(1))
    return torch.cat([model(ids[:, a:b], cache=cache) for a, b in pairwise(ends)], dim=1)


@pytest.mark.parametrize("kind", ["", "int8", "int4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_it_gives_what_the_model_gives(dtype: torch.dtype, kind: str, calls: list[bool]) -> None:
    model = make(dtype, kind)
    plain = make()
    if kind:
        weights = {n: m.weight.float() for n, m in model.named_modules() if hasattr(m, "quantised")}
        for name, weight in weights.items():
            plain.get_submodule(name).weight.data = weight
    close = CLOSE[dtype] + (6e-2 if kind else 0)  # the kernel rounds x to 8 bits
    torch.testing.assert_close(read(fast(model), IDS, (7, 8, 9), dtype).float(), plain(IDS), atol=close, rtol=close)
    assert calls == [True] * 4


@pytest.mark.parametrize("kind", ["", "int8", "int4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_a_row_has_the_same_bits_in_any_company_and_in_any_pieces(dtype: torch.dtype, kind: str) -> None:
    model = fast(make(dtype, kind))
    alone = read(model, IDS[:1], tuple(range(1, 20)), dtype)
    for others in (3, 16, 64):
        company = IDS[:1].repeat(others, 1)
        company[1:] = torch.randint(97, (others - 1, 20), generator=torch.Generator().manual_seed(others))
        assert torch.equal(read(model, company, tuple(range(1, 20)), dtype)[:1], alone)
    for cuts in ((), (1,), (5, 11), (19,)):
        assert torch.equal(read(model, IDS[:1], cuts, dtype), alone)


def test_rows_of_unequal_lengths_read_their_own_past(calls: list[bool]) -> None:
    model, cache = fast(make()), KVCache(CONFIG, 3, 40)
    lengths = [20, 5, 1]
    model.hidden(IDS, cache=cache, lengths=lengths)
    got = model(IDS[:, :2], cache=cache)
    for row, n in enumerate(lengths):
        want = make()(torch.cat([IDS[row : row + 1, :n], IDS[row : row + 1, :2]], dim=1))[0, n:]
        torch.testing.assert_close(got[row], want, atol=2e-5, rtol=2e-5)
    assert calls == [True, True]


@pytest.mark.parametrize("setting", ["portable", "pool"])
def test_other_instructions_and_threads_compute_the_same(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    want = read(fast(make(kind="int8")), IDS)
    monkeypatch.setenv("GPT2_KERNELS", setting)
    library.library.cache_clear()
    try:
        got = read(fast(make(kind="int8")), IDS)
    finally:
        monkeypatch.undo()
        library.library.cache_clear()
        library.library()
    torch.testing.assert_close(got, want, atol=6e-2, rtol=6e-2)  # where a norm differs, x may be rounded otherwise


def hooked(model: GPT2) -> None:
    model.transformer.h[1].mlp.c_fc.register_forward_hook(lambda m, args, y: y * 2)


def patched(model: GPT2) -> None:
    attn = model.transformer.h[0].attn
    attn.mix = lambda q, k, v, here: q  # type: ignore[method-assign]


def other_activation(model: GPT2) -> None:
    model.transformer.h[0].mlp.activation = F.relu


def other_part(model: GPT2) -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    model.transformer.h[2].attn.c_proj.__class__ = Doubled


def float64(model: GPT2) -> None:
    model.double()


@pytest.mark.parametrize("change", [hooked, patched, other_activation, other_part, float64], ids=lambda f: f.__name__)
def test_what_the_kernel_does_not_compute_goes_its_own_steps(change: object, calls: list[bool]) -> None:
    model = make()
    change(model)  # type: ignore[operator]
    dtype = model.lm_head.weight.dtype
    torch.testing.assert_close(read(fast(model), IDS, (3,), dtype), model(IDS), atol=2e-5, rtol=2e-5)
    assert not any(calls)


def test_norms_and_scales_of_the_configuration_count(calls: list[bool]) -> None:
    sizes = {"scale_attn_by_inverse_layer_idx": True, "layer_norm_epsilon": 0.5}
    model = make(**sizes)
    torch.testing.assert_close(read(fast(model), IDS, (3,)), model(IDS), atol=2e-5, rtol=2e-5)
    assert calls == [True, True]


def test_a_probe_a_mask_and_a_gradient_are_honoured(calls: list[bool]) -> None:
    model = make()
    quick, zero = fast(model), {"1.mlp.out": torch.zeros_like}
    cache = KVCache(CONFIG, 3, 40)
    got = quick(IDS, cache=cache, probe=Probe(edit=zero))
    torch.testing.assert_close(got, model(IDS, probe=Probe(edit=zero)))
    mask = torch.rand(3, 1, 20, 20) < 0.5
    mask |= torch.eye(20, dtype=torch.bool)
    got = quick(IDS, cache=KVCache(CONFIG, 3, 40), mask=mask)
    torch.testing.assert_close(got, model(IDS, mask=mask))
    assert calls == [False, False]
    with torch.enable_grad():
        quick(IDS, cache=KVCache(CONFIG, 3, 40)).sum().backward()
    assert model.transformer.h[0].ln_1.weight.grad is not None
    assert calls == [False] * 3


def test_weights_that_change_or_move_count_at_once(calls: list[bool]) -> None:
    model = make()
    quick = fast(model)
    before = read(quick, IDS)
    weight = model.transformer.h[1].mlp.c_proj.weight
    weight.data.mul_(-1)
    changed = read(quick, IDS)
    torch.testing.assert_close(changed, model(IDS), atol=2e-5, rtol=2e-5)
    weight.data = -weight.data
    assert torch.equal(read(quick, IDS), before)
    model.transformer.h[0].ln_2.bias = nn.Parameter(torch.ones(48))
    torch.testing.assert_close(read(quick, IDS), model(IDS), atol=2e-5, rtol=2e-5)
    assert all(calls)


def test_too_long_a_text_is_refused_as_ever() -> None:
    cache = KVCache(CONFIG, 3, 10)
    with pytest.raises(ValueError, match="20 positions do not fit"):
        fast(make())(IDS, cache=cache)


def test_a_cache_of_another_model_is_not_written_to(calls: list[bool]) -> None:
    other = GPT2Config(**{**CONFIG.__dict__, "n_head": 6})
    with pytest.raises(RuntimeError):
        fast(make())(IDS, cache=KVCache(other, 3, 40))
    with pytest.raises(RuntimeError):
        fast(make())(IDS, cache=KVCache(CONFIG, 2, 40))
    assert not any(calls)


def test_weights_of_other_sizes_are_left_to_pytorch(calls: list[bool]) -> None:
    model = make()
    model.transformer.h[1].mlp.c_fc.weight.data = torch.zeros(100, 48)
    with pytest.raises(RuntimeError):
        read(fast(model), IDS)
    assert not any(calls)


@pytest.mark.parametrize("kind", ["", "int8", "int4"])
def test_what_is_not_finite_does_not_vanish(kind: str) -> None:
    model = make(kind=kind)
    model.transformer.h[1].ln_2.bias.data[3] = torch.nan
    assert read(fast(model), IDS).isnan().all()


def test_head_sizes_that_eight_does_not_divide_go_their_own_steps() -> None:
    model = make(n_embd=36)
    assert not blocks.fuses(model)
