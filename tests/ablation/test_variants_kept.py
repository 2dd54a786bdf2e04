"""Variants of version 0.1 keep their parameters, initial values and function, and their entry in config.json."""

import json
from pathlib import Path

import pytest
import torch

from gpt2 import GPT2Config
from gpt2.ablation.models import VARIANTS, build
from gpt2.checkpoint.files import save

# By variant: the entry in config.json, each parameter as `described` gives it, and some logits far from the start.
KEPT = json.loads((Path(__file__).parents[1] / "fixtures" / "variants" / "version_0_1.json").read_text("utf-8"))
CONFIG = GPT2Config(
    vocab_size=61, n_positions=16, n_embd=24, n_layer=2, n_head=3, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0
)


def described(parameter: torch.Tensor) -> list[float]:
    """Its first and last value, the sum of squares, and a sum that every value and its place goes into."""
    flat = parameter.detach().flatten().double()
    mixed = (flat * torch.arange(len(flat)).cos()).sum()
    return [float(x) for x in (flat[0], flat[-1], flat.square().sum(), mixed)]


def test_every_variant_of_version_0_1_is_there() -> None:
    assert len(KEPT) == 14
    assert set(KEPT) <= set(VARIANTS)


@pytest.mark.parametrize("name", KEPT)
def test_a_variant_starts_as_it_did(name: str) -> None:
    """Not bit for bit: a processor with other instructions draws other last digits."""
    parameters = dict(build(CONFIG, {"name": name}, seed=0).named_parameters())
    assert list(parameters) == list(KEPT[name]["parameters"])
    for key, (shape, *numbers) in KEPT[name]["parameters"].items():
        assert list(parameters[key].shape) == shape, key
        assert described(parameters[key]) == pytest.approx(numbers, rel=1e-5, abs=1e-5), key


@pytest.mark.parametrize("name", KEPT)
def test_a_variant_computes_what_it_did(name: str) -> None:
    model = build(CONFIG, {"name": name}, seed=0).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.arange(p.numel()).view(p.shape).sin(), alpha=0.1)
    logits = model(torch.arange(12).view(1, 12) * 7 % 61)[0, ::5, ::15].flatten()
    assert logits.tolist() == pytest.approx(KEPT[name]["logits"], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", KEPT)
def test_a_variant_is_named_in_config_json_as_it_was(name: str, tmp_path: Path) -> None:
    save(build(CONFIG, {"name": name}), None, tmp_path / "model")
    fields = json.loads((tmp_path / "model" / "config.json").read_text("utf-8"))
    assert {key: fields[key] for key in KEPT[name]["config"]} == KEPT[name]["config"]
