"""Files as others write them: other heads, nested dicts, wrappers' names, several files side by side, LFS pointers.

The reference is transformers' AutoModelForCausalLM on the same files.
"""

import json

import pytest
import torch
import transformers
from safetensors.torch import save_file

from gpt2.base.lfs import is_pointer
from gpt2.base.notes import Note, forget
from gpt2.checkpoint.files import load_model
from gpt2.cli.main import main
from tests.checkpoints import (
    SIZES,
    assert_same_logits,
    change_tensors,
    hub_format,
    only_config,
    reference,
    set_field,
    sharded_safetensors,
)

HEADS = ("GPT2ForSequenceClassification", "GPT2DoubleHeadsModel", "GPT2ForTokenClassification",
         "GPT2ForQuestionAnswering", "GPT2Model", "GPT2LMHeadModel")  # fmt: skip
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 548105171\n"


@pytest.fixture(autouse=True)
def _afresh():
    forget()


@pytest.fixture
def hub_directory(tmp_path):
    return hub_format(tmp_path / "hf")


def theirs(directory):
    """transformers' own model of a directory, in float64."""
    return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float64).eval()


def assert_equal_to_theirs(directory):
    ids = reference().ids
    with torch.no_grad():
        expected = theirs(directory)(ids).logits
        error = (load_model(directory, torch.float64)(ids) - expected).abs().max() / expected.std()
    assert error <= 1e-10


@pytest.mark.parametrize("head", HEADS)
def test_a_model_with_another_head_loads_as_a_language_model(head, tmp_path, recwarn):
    """Classifiers and double heads were refused for their extra tensors."""
    config = transformers.GPT2Config(**SIZES, bos_token_id=256, eos_token_id=256, summary_proj_to_labels=True)
    torch.manual_seed(1)
    model = getattr(transformers, head)(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(tmp_path)
    assert_equal_to_theirs(tmp_path)
    said = " ".join(str(w.message) for w in recwarn if w.category is Note)
    extra = [name for name in model.state_dict() if not name.startswith(("transformer.", "wte", "wpe", "h.", "ln_f"))]
    extra = [name for name in extra if name != "lm_head.weight"]
    assert all(name in said for name in extra)
    assert ("its head is transformer.wte.weight" in said) == bool(extra)


def test_a_head_that_differs_is_not_tied_as_in_transformers(hub_directory):
    """transformers 5 ties only what is equal, whatever tie_word_embeddings says."""
    generator = torch.Generator().manual_seed(9)
    change_tensors(hub_directory, lm_head__weight=torch.randn(257, 32, generator=generator, dtype=torch.float64))
    with pytest.warns(Note, match=r"lm_head\.weight differs from transformer\.wte\.weight"):
        assert_equal_to_theirs(hub_directory)
    set_field(hub_directory, tie_word_embeddings=False)
    assert_equal_to_theirs(hub_directory)


def test_an_untied_model_without_a_head_is_refused(hub_directory):
    """transformers would draw the head at random."""
    with pytest.raises(ValueError, match=r"lacks lm_head\.weight"):
        load_model(set_field(hub_directory, tie_word_embeddings=False))


@pytest.mark.parametrize("prefix", ["transformer.", "transformer.transformer."])
def test_transformers_rule_of_prefixes(prefix, hub_directory):
    """One `transformer.` more than a name needs is left out, also before the head."""
    state = reference().model.transformer.state_dict()
    tensors = {f"{prefix}{name}": tensor.clone() for name, tensor in state.items()}
    if prefix == "transformer.":
        tensors["transformer.lm_head.weight"] = tensors.pop("transformer.wte.weight")
    save_file(tensors, hub_directory / "model.safetensors")
    assert_equal_to_theirs(hub_directory)


@pytest.mark.parametrize("nest", ["model", "state_dict", "module", "model_state_dict", "state_dict/model"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "model._orig_mod.", "_fsdp_wrapped_module."])
def test_a_state_dict_inside_another_and_under_wrappers(nest, prefix, tmp_path):
    """torch.save({"model": model.state_dict(), ...}) held "a dict, not a tensor"."""
    content = {f"{prefix}{name}": tensor for name, tensor in reference().model.state_dict().items()}
    for name in reversed(nest.split("/")):
        content = {name: content, "epoch": 3, "optimizer": {"state": {}}, "loss": torch.tensor(1.0)}
    torch.save(content, only_config(tmp_path) / "pytorch_model.bin")
    assert_same_logits(load_model(tmp_path, torch.float64))


def test_two_state_dicts_are_not_chosen_from(tmp_path):
    content = {"model": {"wte.weight": torch.zeros(2)}, "state_dict": {"wte.weight": torch.zeros(2)}}
    torch.save(content, only_config(tmp_path) / "pytorch_model.bin")
    with pytest.raises(ValueError, match="state dict under model and another under state_dict"):
        load_model(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_of_any_precision(dtype, hub_directory):
    tensors = {name: tensor.to(dtype).clone() for name, tensor in reference().model.transformer.state_dict().items()}
    save_file(tensors, hub_directory / "model.safetensors")
    assert_equal_to_theirs(hub_directory)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.bool])
def test_quantised_weights_are_refused_by_name(dtype, hub_directory):
    name = "transformer.h.0.mlp.c_fc.weight"
    change_tensors(hub_directory, **{name: torch.ones(32, 128).to(dtype)})
    with pytest.raises(ValueError, match=f"{name} is {str(dtype)[6:]}: weights must be floating point"):
        load_model(hub_directory)


def test_parameters_and_tensors_without_numbers(tmp_path):
    """nn.Parameter is a tensor too; a sparse or a meta tensor is refused by name."""
    state = reference().model.state_dict(keep_vars=True)
    torch.save(dict(state), only_config(tmp_path) / "pytorch_model.bin")
    model = load_model(tmp_path, torch.float64)
    assert_same_logits(model)
    assert all(parameter.is_leaf for parameter in model.parameters())
    name = "transformer.wpe.weight"
    for tensor, said in (
        (torch.zeros(24, 32).to_sparse(), "is sparse_coo"),
        (torch.zeros(24, 32, device="meta"), "no"),
    ):
        torch.save(dict(state) | {name: tensor}, tmp_path / "pytorch_model.bin")
        with pytest.raises(ValueError, match=f"{name}' .*{said}"):
            load_model(tmp_path)


# Which file


def test_the_file_that_transformers_takes_wins(tmp_path):
    """model.safetensors, its index, pytorch_model.bin, its index."""
    only_config(tmp_path)
    right = reference().model.transformer.state_dict()
    wrong = {name: torch.zeros_like(tensor) for name, tensor in right.items()}
    torch.save(wrong, tmp_path / "pytorch_model.bin")
    sharded_safetensors(reference().model, tmp_path)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"wte.weight": "gone.bin"}}))
    assert_same_logits(load_model(tmp_path, torch.float64))
    assert_equal_to_theirs(tmp_path)
    save_file(wrong, tmp_path / "model.safetensors")
    assert_equal = load_model(tmp_path, torch.float64).transformer.wte.weight
    assert not assert_equal.any()
    assert not theirs(tmp_path).transformer.wte.weight.any()


def test_weights_named_by_the_configuration(hub_directory):
    """transformers reads config.json's transformers_weights before any other file."""
    right = {name: tensor.clone() for name, tensor in reference().model.transformer.state_dict().items()}
    save_file({name: torch.zeros_like(tensor) for name, tensor in right.items()}, hub_directory / "model.safetensors")
    save_file(right, hub_directory / "other.safetensors")
    set_field(hub_directory, transformers_weights="other.safetensors")
    assert_equal_to_theirs(hub_directory)
    assert_same_logits(load_model(hub_directory, torch.float64))
    for named in ("gone.safetensors", "../hf/other.safetensors", "pytorch_model.bin", 3):
        with pytest.raises(ValueError, match=r"transformers_weights is .* no safetensors file there"):
            load_model(set_field(hub_directory, transformers_weights=named))


@pytest.mark.parametrize(
    "name", ["tf_model.h5", "flax_model.msgpack", "model.fp16.safetensors", "pytorch_model.fp16.bin", "gpt2.Q4_0.gguf",
             "model.safetensors.index.fp16.json"]
)  # fmt: skip
def test_weights_of_other_kinds_are_named(name, tmp_path):
    (only_config(tmp_path) / name).write_bytes(b"x")
    with pytest.raises(ValueError, match="has no weights that are read here, only") as refusal:
        load_model(tmp_path)
    assert name in str(refusal.value)


# Git LFS


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "ckpt.pt", "gpt2_124M.bin"])
def test_a_git_lfs_pointer_is_called_so(name, tmp_path, capsys):
    """It was "truncated or not a safetensors file"."""
    foreign = name in ("ckpt.pt", "gpt2_124M.bin")
    directory = tmp_path if foreign else only_config(tmp_path)
    (directory / name).write_bytes(POINTER)
    assert is_pointer(directory / name)
    model = str(directory / name if foreign else directory)
    for command in (["next", "a", "--model", model], ["info", model], ["export", model, str(tmp_path / "out")]):
        if command[0] == "next" and not foreign:
            continue  # this directory has no tokenizer, which comes first
        assert main(command) == 1
        error = capsys.readouterr().err
        assert f"{name} is a Git LFS pointer" in error
        assert "git lfs pull" in error
    assert not is_pointer(only_config(tmp_path) / "config.json")
