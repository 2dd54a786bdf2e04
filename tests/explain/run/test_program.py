"""A pass exported by torch.export: one program, its switches and its cache, against the model with a probe."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gpt2.config import GPT2Config
from gpt2.explain.run.program import export, neutral, points
from gpt2.model import GPT2
from gpt2.probe import Probe

CONFIG = GPT2Config(vocab_size=31, n_positions=24, n_embd=12, n_layer=2, n_head=3)
SWITCHES = [
    "*.attn.z",
    "*.mlp",
    "*.resid_pre",
    "*.block",
    "0.attn.k",
    "1.mlp.post",
    "*.ln_2.scale",
    "final.scale",
    "embed.pos",
]
OUTPUTS = ["*.resid_post", "1.attn.pattern", "0.attn.z", "final.scale", "1.block"]
IDS = torch.randint(31, (1, 9), generator=torch.Generator().manual_seed(3))
Answer = tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]


@pytest.fixture(scope="module")
def model() -> GPT2:
    model = GPT2(CONFIG, seed=2).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for p in model.parameters():
        p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def program(model: GPT2) -> Callable[..., Answer]:
    return export(model, SWITCHES, OUTPUTS).module()


def empty(P: int = 0) -> list[Tensor]:
    return [torch.zeros(1, 3, P, 4) for _ in range(2)]


def where(model: GPT2, layer: int | None, point: str) -> int:
    """The number of a switch among the program's inputs."""
    return points(model, SWITCHES).index((layer, point))


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("T", [1, 2, 9])
def test_with_neutral_switches_it_is_the_model_at_any_length(
    model: GPT2, program: Callable[..., Answer], T: int
) -> None:
    probe = Probe(read=["*.resid_post", "1.attn.pattern", "0.attn.z", "final.scale", "1.block"])
    logits = model(IDS[:, :T], probe=probe)
    found, values, keys, _ = program(IDS[:, :T], empty(), empty(), *neutral(model, SWITCHES, T))
    same(found, logits)
    assert [tuple(k.shape) for k in keys] == [(1, 3, T, 4)] * 2
    assert len(values) == len(points(model, OUTPUTS)) == 6
    for key, value in zip(points(model, OUTPUTS), values):
        same(value, probe.values[key])


def test_earlier_keys_and_values_are_inputs_and_outputs(model: GPT2, program: Callable[..., Answer]) -> None:
    """In three parts, of 4 tokens, 1 token and 4 tokens: the logits of the whole."""
    keys, values, logits = empty(), empty(), []
    for part in (IDS[:, :4], IDS[:, 4:5], IDS[:, 5:]):
        gates = neutral(model, SWITCHES, part.size(1), keys[0].size(2))
        found, _, keys, values = program(part, keys, values, *gates)
        logits.append(found)
    same(torch.cat(logits, dim=1), model(IDS))
    assert keys[0].size(2) == 9


@pytest.mark.parametrize("gate", [0.0, 0.5])
@pytest.mark.parametrize("T", [5, 9])
def test_a_head_by_its_gate(model: GPT2, program: Callable[..., Answer], gate: float, T: int) -> None:
    gates, values = neutral(model, SWITCHES, T)
    gates[where(model, 1, "attn.z")][:, 2] = gate
    found = program(IDS[:, :T], empty(), empty(), gates, values)[0]
    expected = model(IDS[:, :T], probe=Probe(edit={"1.head.2": lambda x: gate * x}))
    assert (expected - model(IDS[:, :T])).abs().max() > 1e-2
    same(found, expected)


def test_a_mean_in_place_of_an_mlp_and_a_neuron(model: GPT2, program: Callable[..., Answer]) -> None:
    probe = Probe(read="0.mlp")
    model(IDS, probe=probe)
    mean = probe["0.mlp"].mean(dim=1)
    gates, values = neutral(model, SWITCHES, 9)
    gates[where(model, 0, "mlp.out")].zero_()
    values[where(model, 0, "mlp.out")] += mean[:, None]
    values[where(model, 1, "mlp.post")][..., 7] = 3.0
    edit = {"0.mlp": lambda x: mean[:, None].expand_as(x), "1.mlp.post#7": lambda x: x + 3}
    same(program(IDS, empty(), empty(), gates, values)[0], model(IDS, probe=Probe(edit=edit)))


def test_one_position_patched(model: GPT2, program: Callable[..., Answer]) -> None:
    source = Probe(read="1.resid_pre")
    model(IDS.flip(1), probe=source)
    gates, values = neutral(model, SWITCHES, 9)
    gates[where(model, 1, "resid_pre")][:, 3] = 0
    values[where(model, 1, "resid_pre")][:, 3] = source["1.resid_pre"][:, 3]
    expected = model(IDS, probe=Probe(edit={"1.resid_pre@3": lambda x: source["1.resid_pre@3"]}))
    found = program(IDS, empty(), empty(), gates, values)[0]
    same(found, expected)
    same(found[:, :3], model(IDS)[:, :3])


def test_a_block_off_a_key_doubled_and_no_positions(model: GPT2, program: Callable[..., Answer]) -> None:
    gates, values = neutral(model, SWITCHES, 9)
    gates[where(model, 0, "block")].zero_()
    gates[where(model, None, "embed.pos")].zero_()
    edit = {"0.block": torch.zeros_like, "embed.pos": torch.zeros_like}
    same(program(IDS, empty(), empty(), gates, values)[0], model(IDS, probe=Probe(edit=edit)))
    gates, values = neutral(model, SWITCHES, 9)
    gates[where(model, 0, "attn.k")][:, :, 4] = 2
    same(
        program(IDS, empty(), empty(), gates, values)[0], model(IDS, probe=Probe(edit={"0.attn.k@4": lambda x: 2 * x}))
    )


def test_a_sigma_that_is_given(model: GPT2, program: Callable[..., Answer]) -> None:
    """The final norm frozen at one number, and an inner norm at a number of its own at each position."""
    sigmas = torch.linspace(0.5, 2, 9)[None]
    gates, values = neutral(model, SWITCHES, 9)
    for key, sigma in (((None, "final.scale"), torch.tensor(1.5)), ((1, "ln_2.scale"), sigmas)):
        gates[where(model, *key)].zero_()
        values[where(model, *key)] += sigma
    edit = {"final.scale": lambda x: torch.full_like(x, 1.5), "1.ln_2.scale": lambda x: sigmas}
    same(program(IDS, empty(), empty(), gates, values)[0], model(IDS, probe=Probe(edit=edit)))


def test_a_pattern_is_switched_too(model: GPT2) -> None:
    """Every head of block 0 looks at the first key alone."""
    program = export(model, ["0.attn.pattern"]).module()
    gates, values = neutral(model, ["0.attn.pattern"], 5)
    gates[0].zero_()
    values[0][..., 0] = 1
    edit = {"0.attn.pattern": lambda x: torch.nn.functional.one_hot(torch.zeros(5, dtype=torch.long), 5).expand_as(x)}
    same(program(IDS[:, :5], empty(), empty(), gates, values)[0], model(IDS[:, :5], probe=Probe(edit=edit)))


def test_a_part_of_a_point_is_no_switch(model: GPT2) -> None:
    for text in ("1.head.2", "0.mlp@3", "0.mlp.post#1"):
        with pytest.raises(ValueError, match=r"is a part of a point: name the whole point"):
            export(model, [text])
