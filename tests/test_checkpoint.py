"""Checkpoints: every layout met in the wild, both directions against transformers, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file, save_model

from gpt2.checkpoint import load, load_model, save
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.tokenizer import Tokenizer

SIZES = {"vocab_size": 257, "n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 4}
MASK = "transformer.h.0.attn.bias"


@pytest.fixture(scope="module")
def reference():
    """transformers' GPT-2 in float64 with every parameter random and non-zero, its ids and its logits."""
    config = transformers.GPT2Config(**SIZES, bos_token_id=256, eos_token_id=256)
    model = transformers.GPT2LMHeadModel(config).double().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
        ids = torch.randint(257, (3, 24), generator=generator)
        return model, ids, model(ids).logits


@pytest.fixture
def hub_directory(reference, tmp_path):
    """A directory as transformers saves it: config.json, generation_config.json, model.safetensors."""
    reference[0].save_pretrained(tmp_path / "hf")
    return tmp_path / "hf"


@pytest.fixture
def ours():
    """A GPT2 with every parameter random."""
    model = GPT2(GPT2Config(**SIZES)).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def only_config(reference, directory: Path) -> Path:
    reference[0].config.save_pretrained(directory)
    return directory


def set_field(directory: Path, **fields) -> Path:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return directory


def change_tensors(directory: Path, **changes) -> Path:
    """Rewrite model.safetensors with some tensors replaced (None: left out); `.` in names is written `__`."""
    path = directory / "model.safetensors"
    tensors = load_file(path) | {name.replace("__", "."): value for name, value in changes.items()}
    save_file({name: t.contiguous() for name, t in tensors.items() if t is not None}, path)
    return directory


def assert_same_logits(model, reference):
    _, ids, logits = reference
    with torch.no_grad():
        error = (model(ids) - logits).abs().max() / logits.std()
    assert error <= 1e-10


# Layouts. Each function writes one into a directory that holds config.json.


def one_safetensors(model, directory):
    model.save_pretrained(directory)


def sharded_safetensors(model, directory):
    model.save_pretrained(directory, max_shard_size="60KB")
    assert len(list(directory.glob("model-*.safetensors"))) > 2


def bare_names(model, directory):
    model.transformer.save_pretrained(directory)
    assert "wte.weight" in load_file(directory / "model.safetensors")


def head_stored_too(model, directory):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(state, directory / "model.safetensors")


def head_stored_instead(model, directory):
    save_model(model, str(directory / "model.safetensors"))
    assert "transformer.wte.weight" not in load_file(directory / "model.safetensors")


def old_buffers(model, directory):
    mask = torch.ones(24, 24, dtype=torch.uint8).tril().view(1, 1, 24, 24)
    extra = {MASK: mask, "transformer.h.1.attn.masked_bias": torch.tensor(-1e4)}
    torch.save(model.state_dict() | extra, directory / "pytorch_model.bin")


def old_pickle(model, directory):
    torch.save(model.transformer.state_dict(), directory / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def sharded_pickle(model, directory):
    names, index = sorted(model.state_dict()), {}
    for k in range(3):
        file = f"pytorch_model-0000{k + 1}-of-00003.bin"
        torch.save({name: model.state_dict()[name] for name in names[k::3]}, directory / file)
        index |= dict.fromkeys(names[k::3], file)
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))


def wrapped_names(model, directory):
    state = {f"module._orig_mod.{name}".replace("h.0.", "h.0._orig_mod."): t for name, t in model.state_dict().items()}
    torch.save(state, directory / "pytorch_model.bin")


@pytest.mark.parametrize(
    "layout",
    [one_safetensors, sharded_safetensors, bare_names, head_stored_too, head_stored_instead, old_buffers,
     old_pickle, sharded_pickle, wrapped_names],
)  # fmt: skip
def test_every_layout_gives_the_reference_logits(layout, reference, tmp_path):
    layout(reference[0], only_config(reference, tmp_path))
    model = load_model(tmp_path, torch.float64)
    assert_same_logits(model, reference)
    assert not model.training
    assert model.lm_head.weight is model.transformer.wte.weight
    assert all(p.requires_grad and p.is_contiguous() for p in model.parameters())


def test_weights_do_not_depend_on_the_file_afterwards(hub_directory, reference):
    model = load_model(hub_directory, torch.float64)
    for path in hub_directory.glob("*.safetensors"):
        path.write_bytes(b"\0" * path.stat().st_size)  # in place: a mapping would see it
    assert_same_logits(model, reference)


def test_default_dtype_is_float32_whatever_the_file_holds(hub_directory):
    assert {p.dtype for p in load_model(hub_directory).parameters()} == {torch.float32}


def test_loading_imports_no_compiler(ours, tmp_path):
    """The meta device's normal_ imports sympy and some 800 modules: half of the start-up time of a command."""
    save(ours, None, tmp_path / "out")
    words = f"import sys; from gpt2.checkpoint import load_model; load_model({str(tmp_path / 'out')!r})"
    words += "; assert 'torch' in sys.modules; assert 'sympy' not in sys.modules"
    subprocess.run([sys.executable, "-c", words], check=True)


# config.json


@pytest.mark.parametrize(
    ("field", "value"),
    [("scale_attn_by_inverse_layer_idx", True), ("reorder_and_upcast_attn", True),
     ("add_cross_attention", True), ("tie_word_embeddings", False), ("scale_attn_weights", False),
     ("activation_function", "gelu"),
     ("model_type", "llama"), ("quantization_config", {"bits": 4}), ("pruned_heads", {"0": [1]}),
     ("n_embd", "32"), ("n_layer", 0), ("attn_pdrop", "0.1"), ("layer_norm_epsilon", None), ("n_head", 5)],
)  # fmt: skip
def test_a_field_that_changes_the_function_is_refused_by_name(field, value, hub_directory):
    with pytest.raises(ValueError, match=field) as refusal:
        load_model(set_field(hub_directory, **{field: value}))
    assert "config.json" in str(refusal.value)
    assert str(value) in str(refusal.value)


def test_harmless_fields_and_old_names_are_accepted(hub_directory, reference):
    path = hub_directory / "config.json"
    fields = json.loads(path.read_text())
    fields["n_ctx"] = fields.pop("n_positions")
    fields["hidden_size"] = fields.pop("n_embd")
    fields["num_hidden_layers"] = fields.pop("n_layer")
    fields |= {
        "summary_type": "mean",
        "task_specific_params": {"text-generation": {}},
        "gradient_checkpointing": True,
    }
    fields |= {"activation_function": "gelu_pytorch_tanh", "use_cache": False, "unheard_of": [1]}
    del fields["model_type"]  # OpenAI's first conversions have none
    path.write_text(json.dumps(fields))
    assert_same_logits(load_model(hub_directory, torch.float64), reference)


@pytest.mark.parametrize("rate", ["embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon"])
@pytest.mark.parametrize("value", ["0.1", None, True])
def test_a_rate_that_is_no_number_is_refused(rate, value):
    with pytest.raises(ValueError, match=f"{rate} is {value!r}: .* number"):
        GPT2Config(**{rate: value})


@pytest.mark.parametrize("text", ["{", "[1]", "\xff", ""])
def test_a_config_that_is_no_json_object_is_refused(text, hub_directory):
    (hub_directory / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"config\.json"):
        load_model(hub_directory)


def test_a_directory_without_config_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        load(str(tmp_path))


# Tensors


def test_missing_extra_and_misshapen_tensors_are_named(hub_directory):
    name = "transformer.h.1.mlp.c_fc.weight"
    change_tensors(hub_directory, **{name: None})
    with pytest.raises(ValueError, match=f"lacks {name}"):
        load_model(hub_directory)
    change_tensors(hub_directory, **{name: torch.zeros(128, 32)})  # [out, in], where the file has [in, out]
    with pytest.raises(ValueError, match=rf"{name} has shape \[128, 32\].* \[32, 128\]"):
        load_model(hub_directory)
    change_tensors(hub_directory, **{name: torch.zeros(32, 128), "score.weight": torch.zeros(2, 32)})
    with pytest.raises(ValueError, match=r"beyond a GPT-2, score\.weight"):
        load_model(hub_directory)


def test_many_missing_tensors_make_one_short_sentence(hub_directory):
    with pytest.raises(ValueError, match=r"lacks transformer\.h\.2.* and \d+ more tensors") as refusal:
        load_model(set_field(hub_directory, n_layer=7))
    assert len(str(refusal.value)) < 300


def test_an_untied_head_is_refused(hub_directory):
    change_tensors(hub_directory, lm_head__weight=torch.zeros(257, 32, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"lm_head\.weight differs from transformer\.wte\.weight"):
        load_model(hub_directory)


def test_damaged_values_are_refused_by_name(hub_directory):
    name = "transformer.h.0.attn.c_attn.weight"
    change_tensors(hub_directory, **{name: torch.zeros(32, 96, dtype=torch.int8)})
    with pytest.raises(ValueError, match=f"{name} is int8"):
        load_model(hub_directory)
    change_tensors(hub_directory, **{name: torch.full((32, 96), torch.nan)})
    with pytest.raises(ValueError, match=f"{name} holds NaN"):
        load_model(hub_directory)
    change_tensors(hub_directory, **{name: torch.full((32, 96), 1e6)})
    load_model(hub_directory, torch.bfloat16)
    with pytest.raises(ValueError, match=f"{name} does not fit into float16"):
        load_model(hub_directory, torch.float16)


def test_the_same_name_twice_is_refused(reference, tmp_path):
    only_config(reference, tmp_path)
    state = reference[0].state_dict()
    torch.save(state | {"wte.weight": state["lm_head.weight"]}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"wte\.weight occurs twice"):
        load_model(tmp_path)


# Files


@pytest.mark.parametrize("keep", [0, 4, 100, 20_000])
def test_a_truncated_safetensors_file_is_named(keep, hub_directory):
    os.truncate(hub_directory / "model.safetensors", keep)
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated"):
        load_model(hub_directory)


@pytest.mark.parametrize("layout", [old_buffers, old_pickle])
@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_a_truncated_pickle_is_named(layout, keep, reference, tmp_path):
    layout(reference[0], only_config(reference, tmp_path))
    os.truncate(tmp_path / "pytorch_model.bin", keep)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is damaged"):
        load_model(tmp_path)


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run(zipped, reference, tmp_path):
    only_config(reference, tmp_path)
    state = {"wte.weight": Malicious(tmp_path / "ran")}
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin .*more than tensors"):
        load_model(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_state_dict_is_refused(reference, tmp_path):
    only_config(reference, tmp_path)
    torch.save([torch.zeros(2)], tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no state dict"):
        load_model(tmp_path)
    torch.save({"model": {"wte.weight": torch.zeros(2)}}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="model is a dict, not a tensor"):
        load_model(tmp_path)


def test_a_missing_shard_and_a_bad_index_are_named(reference, tmp_path):
    sharded_safetensors(reference[0], only_config(reference, tmp_path))
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ValueError, match=f"{shard.name} is missing"):
        load_model(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    for content in ('{"weight_map": {"wte.weight": "../other.safetensors"}}', "{}", "no json"):
        index.write_text(content)
        with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json"):
            load_model(tmp_path)


def test_no_weights_at_all(reference, tmp_path):
    with pytest.raises(ValueError, match="has no weights"):
        load_model(only_config(reference, tmp_path))


# The tokenizer


def test_a_checkpoint_needs_a_tokenizer_that_fits(ours, tmp_path):
    save(ours, None, tmp_path / "bare")
    with pytest.raises(ValueError, match="no tokenizer"):
        load(str(tmp_path / "bare"))
    load_model(tmp_path / "bare")
    Tokenizer.train(["abcdefgh " * 50, "once upon a time there was a cat and a dog. " * 9], 290).save(tmp_path / "bare")
    small = set_field(tmp_path / "bare", vocab_size=260)
    with pytest.raises(ValueError, match=r"the tokenizer has \d+ entries, more than vocab_size 260"):
        load(str(small))


def test_saving_refuses_a_tokenizer_that_does_not_fit(tmp_path):
    model = GPT2(GPT2Config(**SIZES | {"vocab_size": 100}))
    with pytest.raises(ValueError, match="257 entries exceed vocab_size 100"):
        save(model, Tokenizer.bytes(), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


# Variants


class Untied(GPT2):
    """A variant whose head is a tensor of its own."""

    def __init__(self, config, variant):
        self.variant = variant
        super().__init__(config)

    def tie_weights(self):
        pass


def test_a_variant_needs_its_builder_and_stays_itself(tmp_path):
    variant = {"name": "untied", "arguments": {}}
    model = Untied(GPT2Config(**SIZES), variant).eval()
    save(model, Tokenizer.bytes(), tmp_path / "out")
    with pytest.raises(ValueError, match="variant 'untied'"):
        load_model(tmp_path / "out")
    with pytest.raises(ValueError, match="glassbox_gpt2"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    again = load(str(tmp_path / "out"), build=Untied).model
    assert again.variant == variant
    assert again.lm_head.weight is not again.transformer.wte.weight
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_a_builder_gets_plain_checkpoints_too(ours, tmp_path):
    save(ours, None, tmp_path / "out")
    built = []

    def build(config, **variant):
        built.append(variant)
        return GPT2(config)

    load_model(tmp_path / "out", build=build)
    assert built == [{}]


def test_a_copy_of_a_directory_is_as_good(ours, tmp_path):
    save(ours, Tokenizer.bytes(), tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b c")
    assert torch.equal(load(str(tmp_path / "b c")).model.lm_head.weight, ours.lm_head.weight)


def test_rows_that_pad_the_vocabulary_are_cut_off(tmp_path):
    """A row of zeros would win wherever the real logits lie below 0; exported again, the model is as it should be."""
    padded = GPT2(GPT2Config(**SIZES | {"vocab_size": 320})).eval()
    with torch.no_grad():
        padded.transformer.wte.weight[257:] = 0
    save(padded, Tokenizer.bytes(), tmp_path / "padded")
    model = load(str(tmp_path / "padded")).model
    ids = torch.arange(20)[None]
    assert model.config.vocab_size == 257
    torch.testing.assert_close(model(ids), padded(ids)[..., :257])
    assert model.lm_head.weight is model.transformer.wte.weight
    save(model, Tokenizer.bytes(), tmp_path / "cut")
    assert load_model(tmp_path / "cut").config.vocab_size == 257
    assert load_model(tmp_path / "padded").config.vocab_size == 320  # without a tokenizer nobody knows
