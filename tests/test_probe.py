"""The probe: addresses, and the contract of the core."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gpt2.addresses import LAYER_POINTS, MODEL_POINTS, parse
from gpt2.cache import KVCache
from gpt2.config import GPT2Config
from gpt2.forward_pass import Pass
from gpt2.model import GPT2
from gpt2.probe import At, Probe

CONFIG = GPT2Config(vocab_size=53, n_positions=24, n_embd=24, n_layer=3, n_head=3)
T, H, D, C, L = 11, 3, 8, 24, 3
POINTS = [*MODEL_POINTS, *(f"1.{p}" for p in LAYER_POINTS if p != "head.out"), "1.head.2", "1.head.2.out"]
SEPARATE_STEPS = ("1.attn.scores", "1.attn.pattern")  # reading these makes attention take its steps one by one


@pytest.fixture(scope="module")
def model() -> GPT2:
    """A model in float64 with every parameter random, so that no term vanishes."""
    model = GPT2(CONFIG).double().eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, p in model.named_parameters():
            centre = 1.0 if "ln_" in name and name.endswith("weight") else 0.0
            p.copy_(centre + 0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return torch.randint(53, (2, T), generator=torch.Generator().manual_seed(8))


def test_shapes_and_identities(model: GPT2, ids: Tensor) -> None:
    probe = Probe(read=[*MODEL_POINTS, *(f"*.{p}" for p in LAYER_POINTS if p != "head.out"), "*.head.*.out"])
    logits = model(ids, probe=probe)
    shapes = {
        "embed.tok": (2, T, C), "embed.pos": (2, T, C), "embed.out": (2, T, C), "0.resid_pre": (2, T, C),
        "0.ln_1.scale": (2, T), "0.ln_1.out": (2, T, C), "0.attn.q": (2, H, T, D), "0.attn.k": (2, H, T, D),
        "0.attn.v": (2, H, T, D), "0.attn.scores": (2, H, T, T), "0.attn.pattern": (2, H, T, T),
        "0.attn.z": (2, H, T, D), "0.head.1": (2, T, D), "0.head.1.out": (2, T, C), "0.attn.out": (2, T, C),
        "0.attn": (2, T, C), "0.resid_mid": (2, T, C), "0.mlp.pre": (2, T, 4 * C), "0.mlp.post": (2, T, 4 * C),
        "0.mlp.post#7": (2, T), "0.mlp": (2, T, C), "0.block": (2, T, C), "0.resid_post": (2, T, C),
        "0.resid_pre@3": (2, 1, C), "0.resid_pre@3:6": (2, 3, C), "final.scale": (2, T), "logits": (2, T, 53),
    }  # fmt: skip
    for address, shape in shapes.items():
        assert tuple(probe[address].shape) == shape, address
    close = torch.testing.assert_close
    assert torch.equal(probe["logits"], logits)
    close(probe["embed.tok"] + probe["embed.pos"], probe["embed.out"])
    close(probe["0.resid_pre"], probe["embed.out"])
    for l in range(L):
        close(probe[f"{l}.resid_pre"] + probe[f"{l}.attn"], probe[f"{l}.resid_mid"])
        close(probe[f"{l}.resid_mid"] + probe[f"{l}.mlp"], probe[f"{l}.resid_post"])
        close(probe[f"{l}.block"], probe[f"{l}.resid_post"] - probe[f"{l}.resid_pre"])
        close(probe[f"{l}.attn.pattern"] @ probe[f"{l}.attn.v"], probe[f"{l}.attn.z"])
        heads = sum(probe[f"{l}.head.{h}.out"] for h in range(H))
        close(heads + model.transformer.h[l].attn.c_proj.bias, probe[f"{l}.attn.out"])
        close(probe[f"{l}.ln_1.scale"] ** 2, probe[f"{l}.resid_pre"].var(-1, unbiased=False) + 1e-5)
        assert torch.equal(probe[f"{l}.attn.pattern"].triu(1), torch.zeros(2, H, T, T, dtype=torch.float64))
    assert torch.equal(probe["1.resid_post"], probe["2.resid_pre"])
    close(model.lm_head(probe["final.out"]), logits)


@pytest.mark.parametrize(
    "address", ["12.mlp", "1.resid_prf", "1.head.3", "head.1", "1.ln_1.scale#2", "1 2", "1.head.out"]
)
def test_an_unknown_address_names_the_nearest(model: GPT2, ids: Tensor, address: str) -> None:
    with pytest.raises(ValueError, match=r"nearest|this model has|one number per position|no address"):
        model(ids, probe=Probe(read=address))


def test_a_head_misspelt_is_offered_by_its_number() -> None:
    for text in ("6.hed.6", "6.6"):
        with pytest.raises(ValueError, match=r"the nearest are 6\.head\.6, "):
            parse(text, 8, 11)


def test_stars_expand() -> None:
    assert [a.text for a in parse("*.head.*@2", 2, 2)] == ["0.head.0@2", "0.head.1@2", "1.head.0@2", "1.head.1@2"]


def test_what_a_reader_reads_can_be_named(model: GPT2, ids: Tensor) -> None:
    """Today that is the model's own stream, whoever reads it."""
    streams = {"1.head.2.q.in": "1.resid_pre", "1.head.0.v.in@3": "1.resid_pre@3", "2.mlp.in": "2.resid_mid"}
    streams["final.in#5"] = "2.resid_post#5"
    probe = Probe(read=[*streams, *streams.values()])
    model(ids, probe=probe)
    for reader, stream in streams.items():
        assert torch.equal(probe[reader], probe[stream])
    with pytest.raises(ValueError, match=r"'2\.mlp\.in' can only be read: other readers share 2\.resid_mid"):
        model(ids, probe=Probe(edit={"2.mlp.in": torch.zeros_like}))


def test_an_edge_is_named_and_not_yet_read() -> None:
    with pytest.raises(ValueError, match=r"is an edge, which cannot be read or edited yet: name one of 0\.head\.1, 2"):
        parse("0.head.1>2.mlp.in", 3, 3)
    with pytest.raises(ValueError, match="there is no layer 9"):
        parse("0.head.1>9.mlp.in", 3, 3)


# 1: a pass may start at a block, and may compute only the positions from p on


def from_block(model: GPT2, x: Tensor, start: int, cache: KVCache | None = None) -> Tensor:
    """Logits of a pass that starts at a block."""
    here = Pass(cache=cache).begin(model, x)
    return model.head(model.norm(model.blocks(x, here, start), here), here)


@pytest.mark.parametrize("start", [0, 1, 2])
def test_starting_at_a_block(model: GPT2, ids: Tensor, start: int) -> None:
    probe = Probe(read=f"{start}.resid_pre")
    logits = model(ids, probe=probe)
    assert torch.equal(from_block(model, probe[f"{start}.resid_pre"], start), logits)


def test_a_range_of_blocks(model: GPT2, ids: Tensor) -> None:
    """The stream through blocks 1 and 2 alone; a range that is not there is refused."""
    probe = Probe(read=["1.resid_pre", "2.resid_pre"])
    model(ids, probe=probe)
    here = Pass().begin(model, ids)
    assert torch.equal(model.blocks(probe["1.resid_pre"], here, 1, 2), probe["2.resid_pre"])
    for start, stop in ((-1, 2), (2, 1), (0, 4)):
        with pytest.raises(ValueError, match="this model has blocks 0 to 3"):
            model.blocks(probe["1.resid_pre"], here, start, stop)


@pytest.mark.parametrize("p", [1, 5, 10])
def test_only_positions_from_p_on(model: GPT2, ids: Tensor, p: int) -> None:
    """From block 1 on and from position p on, the earlier keys and values given, for five rows at once."""
    cache = KVCache(CONFIG, 2, T, dtype=torch.float64)
    probe = Probe(read="1.resid_pre")
    with torch.no_grad():
        logits = model(ids, cache=cache, probe=probe)
        rows = [0, 1, 1, 0, 1]
        part = from_block(model, probe["1.resid_pre"][rows, p:], 1, cache.truncate(p).select(rows))
    torch.testing.assert_close(part, logits[rows, p:], rtol=1e-10, atol=1e-10)


# 2: an edit may differ from row to row


def test_an_edit_that_differs_by_row(model: GPT2, ids: Tensor) -> None:
    source = Probe(read="1.resid_pre")
    model(ids[1:], probe=source)
    rows = torch.arange(T)

    def patch_own_position(x: Tensor, at: At) -> Tensor:
        x[at.rows, at.rows] = source["1.resid_pre"][0, at.rows]
        return x

    swept = model(ids[:1].expand(T, T), probe=Probe(edit={"1.resid_pre": patch_own_position}))
    for p in rows.tolist():
        one = model(ids[:1], probe=Probe(edit={f"1.resid_pre@{p}": lambda x, p=p: source[f"1.resid_pre@{p}"]}))
        torch.testing.assert_close(swept[p], one[0], rtol=1e-12, atol=1e-12)


# 3: every address can be read with its gradient


@pytest.mark.parametrize("address", POINTS)
def test_the_gradient_at_every_address(model: GPT2, ids: Tensor, address: str) -> None:
    """Against a finite difference: the value is moved along a random direction by an edit."""
    targets = ids.roll(-1, 1)
    probe = Probe(read=address, grad=True)
    model(ids, targets, probe=probe).backward()
    gradient = probe.grad(address)
    direction = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if "scores" in address or "pattern" in address:
        direction = direction.tril()  # entries above the diagonal are masked
    step = 1e-5

    def moved(amount: float) -> float:
        edit = {address: lambda x: x + amount * direction}
        with torch.no_grad():
            return model(ids, targets, probe=Probe(edit=edit)).item()

    slope = (moved(step) - moved(-step)) / (2 * step)
    assert slope == pytest.approx((gradient * direction).sum().item(), rel=1e-5, abs=1e-9)


def test_gradients_with_frozen_weights_and_through_a_cache(model: GPT2, ids: Tensor) -> None:
    whole = Probe(read="embed.out", grad=True)
    model(ids, probe=whole)[:, -1].sum().backward()
    frozen = GPT2(CONFIG).double().eval().requires_grad_(False)
    frozen.load_state_dict(model.state_dict())
    cache, first, second = (
        KVCache(CONFIG, 2, T, dtype=torch.float64),
        *(Probe(read="embed.out", grad=True) for _ in "ab"),
    )
    frozen(ids[:, :6], cache=cache, probe=first)
    frozen(ids[:, 6:], cache=cache, probe=second)[:, -1].sum().backward()
    pieces = torch.cat([first.grad("embed.out"), second.grad("embed.out")], dim=1)
    torch.testing.assert_close(pieces, whole.grad("embed.out"), rtol=1e-10, atol=1e-10)
    plain = Probe(read="embed.out")
    model(ids, probe=plain)
    with pytest.raises(ValueError, match="grad=True"):
        plain.grad("embed.out")


# 4: edits: what they are told, and that cached decoding is the full pass


def first_key_only(x: Tensor, at: At) -> Tensor:
    """A pattern that looks at key 0 alone."""
    return (at.keys == 0).to(x.dtype).expand_as(x)


first_key_only.point = "attn.pattern"  # type: ignore[attr-defined]


def constant_of_values(x: Tensor, at: At) -> Tensor:
    """z = b_V: what a head writes whatever it looks at."""
    bias = at.model.transformer.h[at.layer].attn.c_attn.bias[2 * C :].view(H, D)
    return bias[at.head].expand_as(x)


EDITS: dict[str, dict[str, Callable[..., Tensor]]] = {
    "zero head": {"1.head.0": torch.zeros_like},
    "scaled mlp": {"0.mlp": lambda x: 0.5 * x},
    "block off": {"1.block": torch.zeros_like},
    "no positions": {"embed.pos": torch.zeros_like},
    "by position": {"1.resid_mid": lambda x, at: x * (1 + at.positions[..., None] / 10)},
    "at one position": {"1.resid_pre@3": lambda x: -x},
    "at some": {"*.mlp.post@2:9": lambda x: x + 0.1},
    "one neuron": {"2.mlp.post#5": lambda x: x + 3},
    "keys": {"0.attn.k@4": lambda x: 2 * x},
    "values": {"1.attn.v": lambda x, at: x + at.positions[:, None, :, None] / 10},
    "scores": {"0.attn.scores": lambda x, at: x - (at.positions[:, None, :, None] - at.keys).abs() / 5},
    "pattern": {"2.attn.pattern": lambda x: x.square()},
    "first key": {"1.head.2": first_key_only},
    "constant": {"1.head.1": constant_of_values},
    "norm": {"1.ln_2.scale": lambda x: torch.full_like(x, 0.7), "final.scale@5": lambda x: 2 * x},
    "write of a head": {"0.head.1.out": lambda x: 2 * x},
    "logits": {"logits": lambda x: x / 2},
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_edits_cached_are_edits_in_full(model: GPT2, ids: Tensor, name: str) -> None:
    """Prefill of ragged rows (lengths 4 and 2), then token by token: the logits of each row's own full pass."""
    probe = Probe(edit=EDITS[name])
    with torch.no_grad():
        full = [model(ids[b : b + 1], probe=Probe(edit=EDITS[name]))[0] for b in range(2)]
        assert not torch.allclose(full[0], model(ids[:1])[0])
        lengths, cache = [4, 2], KVCache(CONFIG, 2, T + 2, dtype=torch.float64)
        prefill = model(ids[:, :4], cache=cache, lengths=lengths, probe=probe)
        assert torch.allclose(prefill[0], full[0][:4], rtol=1e-10, atol=1e-10)
        assert torch.allclose(prefill[1, :2], full[1][:2], rtol=1e-10, atol=1e-10)
        while max(lengths) < T:
            step = model(torch.stack([ids[b, n : n + 1] for b, n in enumerate(lengths)]), cache=cache, probe=probe)
            for b, n in enumerate(lengths):
                torch.testing.assert_close(step[b, 0], full[b][n], rtol=1e-10, atol=1e-10)
            lengths = [n + 1 for n in lengths]


def test_what_an_edit_is_told(model: GPT2, ids: Tensor) -> None:
    seen: list[At] = []

    def watch(x: Tensor, at: At) -> Tensor:
        seen.append(at)
        return x

    cache = KVCache(CONFIG, 2, T, dtype=torch.float64)
    watch_pattern = {"2.attn.pattern": watch, "1.head.2@1:3": watch}
    model(ids[:, :4], cache=cache, lengths=[4, 2], probe=Probe(edit=watch_pattern))
    head, pattern = seen
    assert (head.text, head.layer, head.head, head.point, head.model) == ("1.head.2@1:3", 1, 2, "attn.z", model)
    assert head.positions.tolist() == [[1, 2], [1, 2]]
    assert head.real.tolist() == [[True, True], [True, False]]
    assert pattern.keys.tolist() == [0, 1, 2, 3]
    seen.clear()
    model(ids[:, 4:5], cache=cache, probe=Probe(edit=watch_pattern))
    head, pattern = seen  # only row 1 now stands at position 2
    assert (head.rows.tolist(), head.positions.tolist()) == ([1], [[2]])
    assert pattern.positions.tolist() == [[4], [2]]
    assert pattern.keys.tolist() == [0, 1, 2, 3, 4]


# 5: copies


def test_edits_get_copies(model: GPT2, ids: Tensor) -> None:
    """An edit that scribbles over what it was handed changes neither the weights nor another run's values."""
    before = {name: p.clone() for name, p in model.named_parameters()}
    plain = model(ids)
    source = Probe(read=["1.resid_pre", "embed.pos"])
    model(ids, probe=source)
    kept = source["1.resid_pre"].clone()

    def scribble(x: Tensor) -> Tensor:
        with torch.no_grad():
            return x.zero_()

    model(ids, probe=Probe(edit={"embed.pos": scribble, "embed.tok": scribble, "1.resid_pre": scribble}))
    model(ids, probe=Probe(edit={"1.resid_pre": lambda x: source["1.resid_pre"]}))
    assert torch.equal(source["1.resid_pre"], kept)
    assert torch.equal(model(ids), plain)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_an_edit_of_another_shape_is_refused(model: GPT2, ids: Tensor) -> None:
    with pytest.raises(ValueError, match=r"edit of 1\.mlp gave \[2, 1, 24\]: it must keep the shape \[2, 11, 24\]"):
        model(ids, probe=Probe(edit={"1.mlp": lambda x: x[:, :1]}))


@pytest.mark.parametrize("address", ["0.mlp.post#96", "logits#53", "1.head.0#8"])
def test_a_unit_out_of_range_is_named(model: GPT2, ids: Tensor, address: str) -> None:
    with pytest.raises(ValueError, match=r"there is no #\d+, this point has 0 to"):
        model(ids, probe=Probe(edit={address: torch.zeros_like}))
    probe = Probe(read=address)
    model(ids, probe=probe)
    with pytest.raises(ValueError, match="there is no #"):
        probe[address]


def test_values_that_are_not_there(model: GPT2, ids: Tensor) -> None:
    probe = Probe(read="1.resid_pre")
    with pytest.raises(ValueError, match="run the model"):
        probe["1.resid_pre"]
    model(ids, probe=probe)
    for address in ("0.mlp", "*.resid_pre"):
        with pytest.raises(ValueError, match="was not kept"):
            probe[address]
    with pytest.raises(ValueError, match="outside"):
        probe["1.resid_pre@11"]


# nothing is paid without a probe


def test_reading_on_the_fused_path_changes_no_bit(model: GPT2, ids: Tensor) -> None:
    single = GPT2(CONFIG, seed=1).eval()
    points = [p for p in POINTS if p not in SEPARATE_STEPS]
    for m in (model, single):
        with torch.no_grad():
            plain = m(ids)
            assert torch.equal(m(ids, probe=Probe(read=points)), plain)
            assert torch.equal(m(ids, probe=Probe()), plain)


def test_attention_in_steps_is_fused_attention(model: GPT2, ids: Tensor) -> None:
    with torch.no_grad():
        plain, steps = model(ids), model(ids, probe=Probe(read="*.attn.pattern"))
    assert 0 < (plain - steps).abs().max() <= 1e-10 * plain.std()
