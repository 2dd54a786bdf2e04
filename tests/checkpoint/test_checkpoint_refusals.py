"""Checkpoints that are refused: what config.json, the tensors or the files say that no GPT-2 says, each by its name."""

import os
from pathlib import Path

import pytest
import torch

from gpt2.checkpoint.files import load, load_model
from gpt2.config import GPT2Config
from tests.checkpoints import (
    change_tensors,
    hub_format,
    old_buffers,
    old_pickle,
    only_config,
    reference,
    set_field,
    sharded_safetensors,
)


@pytest.fixture
def hub_directory(tmp_path):
    return hub_format(tmp_path / "hf")


# config.json


@pytest.mark.parametrize(
    ("field", "value"),
    [("scale_attn_by_inverse_layer_idx", None), ("tie_word_embeddings", 0), ("scale_attn_weights", "no"),
     ("add_cross_attention", True), ("is_encoder_decoder", True), ("per_layer_config", {"0": {}}),
     ("activation_function", "prelu"), ("activation_function", "xielu"), ("head_dim", 3),
     ("model_type", "llama"), ("quantization_config", {"bits": 4}), ("pruned_heads", {"0": [1]}),
     ("n_embd", "32"), ("n_layer", 0), ("attn_pdrop", "0.1"), ("layer_norm_epsilon", None), ("n_head", 5)],
)  # fmt: skip
def test_a_field_that_changes_the_function_is_refused_by_name(field, value, hub_directory):
    with pytest.raises(ValueError, match=field) as refusal:
        load_model(set_field(hub_directory, **{field: value}))
    assert "config.json" in str(refusal.value)
    assert str(value) in str(refusal.value)


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
    change_tensors(hub_directory, **{name: torch.zeros(32, 128), "transformer.h.2.ln_1.bias": torch.zeros(32)})
    with pytest.raises(ValueError, match=r"beyond a GPT-2, transformer\.h\.2\.ln_1\.bias"):
        load_model(hub_directory)


def test_many_missing_tensors_make_one_short_sentence(hub_directory):
    with pytest.raises(ValueError, match=r"lacks transformer\.h\.2.* and \d+ more tensors") as refusal:
        load_model(set_field(hub_directory, n_layer=7))
    assert len(str(refusal.value).replace(str(hub_directory), "")) < 260


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


def test_the_same_name_twice_is_refused(tmp_path):
    only_config(tmp_path)
    state = reference().model.state_dict()
    torch.save(state | {"wte.weight": state["lm_head.weight"]}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"'wte\.weight' occurs twice"):
        load_model(tmp_path)


# Files


@pytest.mark.parametrize("keep", [0, 4, 100, 20_000])
def test_a_truncated_safetensors_file_is_named(keep, hub_directory):
    os.truncate(hub_directory / "model.safetensors", keep)
    with pytest.raises(ValueError, match=r"model\.safetensors is truncated"):
        load_model(hub_directory)


@pytest.mark.parametrize("layout", [old_buffers, old_pickle])
@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_a_truncated_pickle_is_named(layout, keep, tmp_path):
    layout(reference().model, only_config(tmp_path))
    os.truncate(tmp_path / "pytorch_model.bin", keep)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is damaged"):
        load_model(tmp_path)


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run(zipped, tmp_path):
    only_config(tmp_path)
    state = {"wte.weight": Malicious(tmp_path / "ran")}
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin .*more than tensors"):
        load_model(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_state_dict_is_refused(tmp_path):
    only_config(tmp_path)
    torch.save([torch.zeros(2)], tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no state dict"):
        load_model(tmp_path)
    torch.save({"wte.weight": {"a": torch.zeros(2)}}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"wte\.weight' is a dict, not a tensor"):
        load_model(tmp_path)


def test_a_missing_shard_and_a_bad_index_are_named(tmp_path):
    sharded_safetensors(reference().model, only_config(tmp_path))
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ValueError, match=f"{shard.name} is missing"):
        load_model(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    for content in ('{"weight_map": {"wte.weight": "../other.safetensors"}}', "{}", "no json"):
        index.write_text(content)
        with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json"):
            load_model(tmp_path)


def test_no_weights_at_all(tmp_path):
    with pytest.raises(ValueError, match="has no weights"):
        load_model(only_config(tmp_path))
