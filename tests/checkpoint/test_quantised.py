"""Quantised checkpoints: what is written, what comes back to the bit, what transformers does, and what is refused."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from gpt2.ablation.models import VARIANTS, build
from gpt2.base.errors import UsageError
from gpt2.base.notes import Note, forget
from gpt2.checkpoint.files import load, load_model, save
from gpt2.checkpoint.quantisation import Cost, Original, Quantisation, quantisation_of
from gpt2.checkpoint.quantised import check_kind, weights_of
from gpt2.config import GPT2Config
from gpt2.evaluation.quantising import quantise_checkpoint
from gpt2.evaluation.token_scores import score
from gpt2.explain import trace
from gpt2.kernels.linear import quantise_model
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from tests.checkpoints import change_tensors, set_field

SIZES = {"vocab_size": 257, "n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 4}
ROUNDED = {"atol": 6e-2, "rtol": 6e-2}  # the kernel rounds what it multiplies to 8 bits
C_FC = "transformer.h.1.mlp.c_fc.weight"
IDS = torch.arange(40).reshape(2, 20)


def lively(model: GPT2) -> GPT2:
    """The model with larger weights, so that its predictions differ from token to token."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def logits(model: GPT2) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS)


@pytest.fixture(params=["int8", "int4"])
def kind(request):
    return request.param


@pytest.fixture
def small(kind, tmp_path):
    """A quantised model in memory, and its directory."""
    model = quantise_model(lively(GPT2(GPT2Config(**SIZES))), kind)
    return model, save(model, Tokenizer.bytes(), tmp_path / kind)


def test_a_quantised_model_comes_back_to_the_bit(small, kind):
    model, directory = small
    again = load(directory)
    assert torch.equal(logits(again.model), logits(model))
    assert quantisation_of(again.model) == Quantisation(kind)
    plain = logits(lively(GPT2(GPT2Config(**SIZES))))
    error = (logits(model) - plain).std() / plain.std()
    assert 0 < error < {"int8": 0.03, "int4": 0.4}[kind]


def test_the_file_holds_values_and_scales(small, kind):
    tensors = load_file(small[1] / "model.safetensors")
    assert tensors["transformer.wte.weight"].dtype == torch.int8  # in int4 too: tables are the most sensitive
    assert tensors[C_FC].shape == {"int8": (128, 32), "int4": (128, 16)}[kind]
    assert tensors[f"{C_FC}.scale"].shape == {"int8": (128,), "int4": (128, 1)}[kind]
    assert {t.dtype for n, t in tensors.items() if not n.endswith(".weight") or "ln_" in n} == {torch.float32}
    config = json.loads((small[1] / "config.json").read_text())
    assert config["quantization_config"] == {"quant_method": "glassbox", "kind": kind}


def test_a_saved_copy_is_the_same_file(small, tmp_path):
    copy = save(load(small[1]).model, Tokenizer.bytes(), tmp_path / "copy")
    for file in small[1].iterdir():
        assert (copy / file.name).read_bytes() == file.read_bytes()


def test_floats_are_taken_where_a_dtype_is_named(small, tmp_path):
    forget()
    with pytest.warns(Note, match="is quantised .* taken as float32"):
        plain = load(small[1], dtype="float32").model
    assert quantisation_of(plain) is None
    torch.testing.assert_close(logits(plain), logits(small[0]), **ROUNDED)
    save(small[0], None, tmp_path / "one", dtype="float32")
    save(plain, None, tmp_path / "two")
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "one").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(IDS).logits, logits(small[0]), **ROUNDED)


@pytest.mark.parametrize("automatic", [True, False])
def test_transformers_refuses_it(automatic, small):
    """By the type of the model, and where a class is named that ignores it, by the shapes of the weights."""
    kinds = {True: transformers.AutoModelForCausalLM, False: transformers.GPT2LMHeadModel}
    with pytest.raises((ValueError, RuntimeError), match=r"glassbox_gpt2|ignore_mismatched_sizes"):
        kinds[automatic].from_pretrained(small[1])


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_every_variant_is_quantised(name, tmp_path):
    model = lively(build(GPT2Config(**SIZES), {"name": name, "arguments": {}}))
    quantise_model(model, "int8")
    directory = save(model, Tokenizer.bytes(), tmp_path / "variant")
    assert torch.equal(logits(load(directory, build=build).model), logits(model))


def test_a_head_of_its_own_stays_one(tmp_path):
    model = lively(GPT2(GPT2Config(**SIZES, tie_word_embeddings=False, activation_function="relu")))
    quantise_model(model, "int4")
    again = load_model(save(model, None, tmp_path / "untied"))
    assert torch.equal(logits(again), logits(model))
    assert {"lm_head.weight", "transformer.wte.weight"} <= weights_of(again).keys()


def test_rows_beyond_the_tokenizer_are_cut_off(small, tmp_path):
    tokens = Tokenizer.bytes()
    tokens.save(tmp_path / "words", 24)
    model = quantise_model(lively(GPT2(GPT2Config(**SIZES | {"vocab_size": 300}))), "int8")
    cut = load(save(model, tokens, tmp_path / "padded")).model
    assert cut.config.vocab_size == 257
    assert torch.equal(logits(cut), logits(model)[..., :257])


def test_the_cost_is_measured_and_kept(tmp_path, kind):
    source = save(lively(GPT2(GPT2Config(**SIZES))), Tokenizer.bytes(), tmp_path / "floats")
    checkpoint = load(source)
    text = "Once upon a time there was a fox."
    (before,) = score(checkpoint.model, checkpoint.tokenizer, text)
    seen = []
    done = quantise_checkpoint(checkpoint, kind, [text], "fox.txt", lambda *told: seen.append(told))
    assert done.original == Original(str(source), 4 * sum(p.numel() for p in load(source).model.parameters()))
    (after,) = score(checkpoint.model, checkpoint.tokenizer, text)
    bits = [-sum(t.log_prob for t in scores.tokens) / math.log(2) / len(text) for scores in (before, after)]
    assert [done.cost.before, done.cost.after] == pytest.approx(bits, rel=1e-5)
    assert done.cost.share == pytest.approx(bits[1] / bits[0] - 1, abs=1e-5)
    assert seen[-1][0] == seen[-1][1]
    again = load(save(checkpoint.model, checkpoint.tokenizer, tmp_path / "small"))
    assert quantisation_of(again.model) == done


def test_int4_needs_a_width_of_thirty_twos():
    model = GPT2(GPT2Config(**SIZES | {"n_embd": 40, "n_inner": 50}))
    with pytest.raises(UsageError, match=r"'int4': no map .* 32 divides, so choose int8"):
        check_kind(model, "int4")
    with pytest.raises(UsageError, match="quantised already"):
        check_kind(quantise_model(model, "int8"), "int8")


def test_analyses_ask_for_floats(small):
    checkpoint = load(small[1])
    with pytest.raises(UsageError, match=r"quantised, .* load it with dtype='float32'"):
        trace(checkpoint, "a fox")
    assert trace(load(small[1], dtype="float32"), "a fox") is not None


# Damage


def test_a_cut_file_is_named(small):
    os.truncate(small[1] / "model.safetensors", 3000)
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated"):
        load(small[1])


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no scales", f"{C_FC} is int8 without scales"),
        ("no values", f"lacks {C_FC}, but has its scales"),
        ("neither", f"lacks {C_FC}"),
        ("floats", f"{C_FC} is float32, but has scales"),
        ("int16", f"{C_FC} is int16, but has scales"),
        ("rows", rf"{C_FC} has scales \[128\] for values \[120, 32\]"),
        ("width", rf"{C_FC} is \[128, 16\], but the configuration asks for \[128, 32\]"),
        ("axes", f"{C_FC} has shape .* two axes"),
        ("half", f"{C_FC} has scales in float16"),
        ("nan", f"{C_FC} has scales that are NaN"),
        ("below 0", f"{C_FC} has a scale that is not above 0"),
        ("zero", f"{C_FC} has a scale that is not above 0"),
        ("-128", f"{C_FC} holds the value -128"),
        ("int4", f"{C_FC} is int4, but config.json says int8"),
        ("positions", r"holds transformer\.wpe\.weight in int8, which this GPT-2 has not"),
    ],
)
@pytest.mark.parametrize("kind", ["int8"])
def test_damage_is_named(what, said, small):
    tensors = load_file(small[1] / "model.safetensors")
    values, scale = tensors[C_FC], tensors[f"{C_FC}.scale"]
    changes = {
        "no scales": {f"{C_FC}.scale": None},
        "no values": {C_FC: None},
        "neither": {C_FC: None, f"{C_FC}.scale": None},
        "floats": {C_FC: values.float()},
        "int16": {C_FC: values.short()},
        "rows": {C_FC: values[:120]},
        "width": {C_FC: values[:, :16]},
        "axes": {C_FC: values[0]},
        "half": {f"{C_FC}.scale": scale.half()},
        "nan": {f"{C_FC}.scale": scale * torch.nan},
        "below 0": {f"{C_FC}.scale": -scale},
        "zero": {f"{C_FC}.scale": scale * 0},
        "-128": {C_FC: torch.full_like(values, -128)},
        "int4": {C_FC: values.view(torch.uint8)[:, :16], f"{C_FC}.scale": scale[:, None]},
        "positions": {
            "transformer.wpe.weight": torch.ones(24, 32, dtype=torch.int8),
            "transformer.wpe.weight.scale": torch.ones(24),
        },
    }[what]
    change_tensors(small[1], **changes)
    with pytest.raises(ValueError, match=said) as refusal:
        load(small[1])
    assert str(small[1]) in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"quant_method": "gptq", "bits": 4}, "quantization_config is .*gptq.*: save the model in float16 or float32"),
        ({"quant_method": "glassbox", "kind": "int3"}, r"quantization_config\.kind is 'int3', and int8 and int4 are"),
        ({"quant_method": "glassbox", "kind": "int8", "cost": {"before": "1"}}, r"quantization_config\.cost is "),
        ({"quant_method": "glassbox", "kind": "int8", "original": 3}, r"quantization_config\.original is 3"),
        ("int8", "quantization_config is 'int8'"),
        (None, "model_type is 'glassbox_gpt2'"),
    ],
)
@pytest.mark.parametrize("kind", ["int8"])
def test_what_config_json_says_is_read_or_refused(field, said, small):
    with pytest.raises(ValueError, match=said) as refusal:
        load(set_field(small[1], quantization_config=field))
    assert "config.json" in str(refusal.value)


def test_facts_of_another_kind_are_not_believed(tmp_path):
    model = quantise_model(GPT2(GPT2Config(**SIZES)), "int8")
    model.quantisation = Quantisation("int8", Original("x", 5), Cost("t", "h", 3, float("inf"), 1.0))
    directory = Path(save(model, Tokenizer.bytes(), tmp_path / "facts"))
    with pytest.raises(ValueError, match="not finite"):
        load(directory)


def test_an_int_without_a_config_that_says_so_is_refused(tmp_path):
    directory = save(GPT2(GPT2Config(**SIZES)), Tokenizer.bytes(), tmp_path / "plain")
    tensors = load_file(directory / "model.safetensors")
    save_file(tensors | {C_FC: tensors[C_FC].to(torch.int8)}, directory / "model.safetensors")
    with pytest.raises(ValueError, match=f"{C_FC} is int8: weights must be floating point"):
        load(directory)
