"""Quantised models: what their modules compute, with the kernel and without it, and what reads their weights."""

import copy

import pytest
import torch
import torch.nn.functional as F

from gpt2.cache import KVCache
from gpt2.config import GPT2Config
from gpt2.habits import GPT2
from gpt2.kernels import library
from gpt2.kernels.linear import QuantisedLinear, QuantisedTokens, quantise_model
from gpt2.kernels.quantised import quantise

KERNEL = pytest.mark.skipif(library.library() is None, reason="the kernel was not compiled here")
CONFIG = GPT2Config(vocab_size=97, n_positions=64, n_embd=64, n_layer=2, n_head=4)
IDS = torch.tensor([[5, 0, 96, 7, 7, 31]])


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def make(kind: str | None = None, **more: object) -> GPT2:
    model = GPT2(GPT2Config(**{**vars(CONFIG), **more}), seed=1).eval()
    return model if kind is None else quantise_model(model, kind)


def plain(model: GPT2) -> GPT2:
    """A model of plain weights that holds what a quantised one's numbers stand for."""
    other = make().to(model.transformer.wpe.weight.dtype)
    for name, module in model.named_modules():
        if isinstance(module, QuantisedLinear | QuantisedTokens):
            other.get_submodule(name).weight.data.copy_(module.weight)
    return other


@pytest.fixture(params=["kernel", "PyTorch"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "PyTorch":
        monkeypatch.setattr(library, "library", lambda: None)
    elif library.library() is None:
        pytest.skip("the kernel was not compiled here")


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)], ids=["fp32", "bf16"])
@torch.no_grad()
def test_a_model_computes_what_its_numbers_stand_for(kind: str, dtype: torch.dtype, close: float) -> None:
    model = make(kind).to(dtype)
    want = plain(model)(IDS)
    assert model(IDS).dtype == dtype
    close += 1e-2 * (library.library() is not None)  # it rounds x
    torch.testing.assert_close(model(IDS), want, atol=close, rtol=close)
    cache = KVCache(CONFIG, 1, 8, dtype=dtype)
    model(IDS[:, :-1], cache=cache)
    torch.testing.assert_close(model(IDS[:, -1:], cache=cache), want[:, -1:], atol=close, rtol=close)
    torch.testing.assert_close(
        model(IDS, torch.roll(IDS, 1)), plain(model)(IDS, torch.roll(IDS, 1)), atol=close, rtol=close
    )


def test_int4_keeps_the_ends_in_8_bits_and_the_rest_as_it_was() -> None:
    model, before = make("int4"), make()
    kinds = {name: module.kind for name, module in model.named_modules() if hasattr(module, "kind")}
    assert {name for name, kind in kinds.items() if kind == "int8"} == {"transformer.wte", "lm_head"}
    assert len(kinds) == 4 * CONFIG.n_layer + 2
    assert model.lm_head.values is model.transformer.wte.values
    left = dict(model.named_parameters())
    assert all(torch.equal(left[name], value) for name, value in before.named_parameters() if name in left)
    assert {name.split(".")[-2] for name in left} == {"wpe", "ln_1", "ln_2", "ln_f"}
    assert torch.equal(model.transformer.h[0].mlp.c_fc.bias, before.transformer.h[0].mlp.c_fc.bias)


def test_an_own_head_has_its_own_numbers() -> None:
    model = make("int8", tie_word_embeddings=False)
    assert not torch.equal(model.lm_head.values, model.transformer.wte.values)


def test_the_scales_stay_as_they_are_in_another_type() -> None:
    model = make("int8")
    scale = model.lm_head.scale.clone()
    model.to(torch.bfloat16)
    assert model.lm_head.weight.dtype == model.transformer.wte(IDS).dtype == torch.bfloat16
    assert torch.equal(model.lm_head.scale, scale)
    again = copy.deepcopy(model)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(IDS), model(IDS))


def test_a_gradient_flows_through() -> None:
    layer, x = QuantisedLinear(quantise(random(5, 64), "int4")), random(2, 64).requires_grad_()
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(dim=0).expand(2, -1))


def test_an_unknown_id_is_refused_as_by_any_model() -> None:
    for ids in ([[97]], [[-1]]):
        with pytest.raises(ValueError, match="not all in the vocabulary: it has 0 to 96"):
            make("int8")(torch.tensor(ids))


def test_what_cannot_be_quantised_leaves_the_model_as_it_was() -> None:
    model = make()
    model.transformer.h[1].mlp.c_proj.weight.data[0, 0] = torch.inf
    with pytest.raises(ValueError, match="not all finite"):
        quantise_model(model, "int8")
    assert type(model.transformer.wte).__name__ == "Embedding"


def rounded(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What the kernel multiplies with weights of 8 and 4 bits: in each block the largest magnitude is `most`."""
    size, most = {torch.int8: (64, 127), torch.uint8: (64, 32767)}[dtype]
    blocks = F.pad(x.float(), (0, -x.size(-1) % size)).unflatten(-1, (-1, size))
    largest = blocks.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30)
    by = torch.full_like(largest, most) / largest  # in float32, so that ties are rounded as in the kernel
    whole = (blocks * by).round()
    return (whole.double() * (largest / most)).flatten(-2)[..., : x.size(-1)]


def weights(kind: str, size: int, out: int) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """What the kernel reads of a random weight, its scales, and the weight that they stand for in float32."""
    weight = random(out, size)
    if kind in ("int8", "int4"):
        numbers = quantise(weight, kind)
        return numbers.values, numbers.scale, numbers.dequantise()
    weight = weight.to(getattr(torch, kind))
    return weight, None, weight.float()


@pytest.fixture(params=["as it is", "avx512", "avx2", "portable", "pool"])
def _instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel with what this processor and PyTorch have, without the wide instructions, and with own threads."""
    if request.param != "as it is":
        monkeypatch.setenv("GPT2_KERNELS", request.param)
    library.library.cache_clear()
    if request.param in library.INSTRUCTIONS and library.instructions() != library.INSTRUCTIONS[request.param]:
        pytest.skip("this processor has no such instructions")
    assert request.param != "portable" or library.instructions() == "portable"
    yield
    monkeypatch.undo()
    library.library.cache_clear()
    library.library()


@KERNEL
@pytest.mark.usefixtures("_instructions")
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("size", "out"), [(96, 100), (64, 3), (13, 29), (1, 1), (800, 50)])
def test_the_kernel_multiplies_and_a_row_is_the_same_in_any_company(
    kind: str, dtype: torch.dtype, size: int, out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit: alone and among 2, 3, 5, 16 and 64, on one thread and on three."""
    weight, scale, want = weights(kind, size, out)
    x, bias = random(64, size).to(dtype), random(out).to(dtype)
    together = library.multiply(x, weight, bias, scale)
    want = F.linear(rounded(x, weight.dtype) if scale is not None else x.double(), want.double(), bias.double())
    close = 2e-2 if dtype == torch.bfloat16 else 1e-4 if scale is None else 1e-3
    torch.testing.assert_close(together.double(), want, atol=close, rtol=close)
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        for rows in (1, 2, 3, 5, 16):
            for first in (0, 64 - rows):
                alone = library.multiply(x[first : first + rows], weight, bias, scale)
                assert torch.equal(alone, together[first : first + rows])


@KERNEL
@pytest.mark.parametrize("rows", [1, 5, 16])
def test_products_with_8_bits_have_the_same_bits_with_any_instructions(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their sums are whole, and the blocks are added in one order, each product and each sum rounded by itself."""
    weight, scale, _ = weights("int8", 200, 50)
    x, bias, found = random(rows, 200), random(50), {}
    for setting in ("", *library.INSTRUCTIONS):
        monkeypatch.setenv("GPT2_KERNELS", setting)
        library.library.cache_clear()
        found[library.instructions()] = library.multiply(x, weight, bias, scale)
    monkeypatch.undo()
    library.library.cache_clear()
    library.library()
    first, *others = found.values()
    assert all(torch.equal(first, other) for other in others), list(found)


@KERNEL
def test_the_kernel_is_left_out_where_it_is_no_help(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = random(2, 8), random(3, 8)
    assert library.takes(x, weight)
    assert not library.takes(x.requires_grad_(), weight)
    with torch.no_grad():
        assert library.takes(x, weight)
    assert not library.takes(x.detach().double(), weight)
    assert not library.takes(x.detach(), weight.t().contiguous().t())
    assert not library.takes(x.detach()[:0], weight)
    library.library.cache_clear()
    monkeypatch.setenv("GPT2_KERNELS", "off")
    assert library.instructions() is None
    library.library.cache_clear()
