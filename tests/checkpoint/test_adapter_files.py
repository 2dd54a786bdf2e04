"""The files of adapters: names and formats that peft reads, tensors that do not fit, other vocabularies, commands."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from adapted import IDS, agree, by_peft, edited, logits, made, merged, reference, unchanged, write_base
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2ForSequenceClassification, GPT2Model

from gpt2.base.notes import Note, forget
from gpt2.checkpoint.files import load
from gpt2.cli.main import main
from gpt2.text.tokenizer import Tokenizer

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."


@pytest.fixture(autouse=True)
def _said_anew() -> None:
    forget()


def renamed(directory: Path, change: Any) -> Path:
    path = directory / WEIGHTS
    save_file({change(name): tensor for name, tensor in load_file(path).items() if change(name)}, path)
    return directory


def test_the_old_format_is_read(base: Path, tmp_path: Path) -> None:
    directory = made(base, tmp_path / "adapter", safe=False, bias="all")
    assert not (directory / WEIGHTS).exists()
    assert agree(base, directory) > 0.01
    torch.save({"base_model.model.x": Path("x")}, directory / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"adapter_model\.bin is damaged or holds more than tensors"):
        merged(base, directory)
    (directory / "adapter_model.bin").unlink()
    with pytest.raises(ValueError, match=r"has no adapter_model\.safetensors"):
        merged(base, directory)


@pytest.mark.parametrize(
    "settings", [{"use_dora": True}, {"target_modules": ["wte"]}, {"trainable_token_indices": [3]}]
)
def test_names_with_the_adapters_own_name(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    directory = made(base, tmp_path / "adapter", **settings)

    def with_name(name: str) -> str:
        for part in ("lora_A", "lora_B", "lora_magnitude_vector", "lora_embedding_A", "lora_embedding_B"):
            name = name.replace(part, f"{part}.default")
        return f"{name}.weight" if name.endswith("vector.default") else name

    before = logits(merged(base, directory))
    renamed(directory, with_name)
    assert agree(base, directory) > 0.01
    torch.testing.assert_close(logits(merged(base, directory)), before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(base: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    directory = made(base, tmp_path / "adapter")
    path = directory / WEIGHTS
    save_file({name: tensor.to(dtype) for name, tensor in load_file(path).items()}, path)
    assert agree(base, directory) > 0.01


def test_modules_without_matrices_and_matrices_without_modules(base: Path, tmp_path: Path) -> None:
    """peft keeps the base's weight for the first, and passes over the second."""
    directory = made(base, tmp_path / "adapter", target_modules=["c_attn", "c_fc"])
    edited(directory, target_modules=["c_attn", "mlp.c_proj"])
    with pytest.warns(Note) as said:
        assert agree(base, directory) > 0.01
    sentences = " ".join(str(one.message) for one in said if isinstance(one.message, Note))
    assert "c_fc.lora_A.weight' and 3 more fits no module that is adapted, and peft passes over it too" in sentences
    assert "has no matrices for transformer.h.0.mlp.c_proj and 1 more: as in peft, the base's weight" in sentences
    renamed(directory, lambda name: "" if "h.1" in name else name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agree(base, directory)


def test_a_dora_without_a_magnitude_keeps_the_first(base: Path, tmp_path: Path) -> None:
    directory = made(base, tmp_path / "adapter", use_dora=True)
    renamed(directory, lambda name: "" if "h.1" in name and "magnitude" in name else name)
    assert agree(base, directory) > 0.01


def test_parts_that_a_start_left_to_itself(base: Path, tmp_path: Path) -> None:
    directory = made(base, tmp_path / "adapter", init_lora_weights="pissa")
    renamed(directory, lambda name: "" if "h.1" in name and "lora_A" in name else name)
    assert agree(base, directory) > 0.01


def test_biases_count_whatever_the_field_says(base: Path, tmp_path: Path) -> None:
    directory = made(base, tmp_path / "adapter", bias="all", target_modules=["c_fc"])
    edited(directory, bias="none")
    before = logits(merged(base, directory))
    renamed(directory, lambda name: name if "lora_" in name else "")
    assert (logits(merged(base, directory)) - before).abs().max() > 0.01


def test_a_classifiers_adapter_loads_with_a_note(base: Path, tmp_path: Path) -> None:
    model = GPT2ForSequenceClassification.from_pretrained(base)
    directory = made(base, tmp_path / "adapter", model, task_type="SEQ_CLS", target_modules="all-linear")
    with pytest.warns(Note, match="was trained for classification: the language model is loaded"):
        assert agree(base, directory) > 0.01


def test_an_adapter_of_the_model_without_a_head(base: Path, tmp_path: Path) -> None:
    directory = made(base, tmp_path / "adapter", GPT2Model.from_pretrained(base), task_type="FEATURE_EXTRACTION",
                     target_modules=["c_attn", "wpe"], modules_to_save=["ln_f"])  # fmt: skip
    with pytest.warns(Note, match="trained without a head"):
        ours = logits(merged(base, directory))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GPT2Model.from_pretrained(base, attn_implementation="eager")
        hidden = peft.PeftModel.from_pretrained(model, directory).double()(input_ids=IDS).last_hidden_state
    torch.testing.assert_close(ours, hidden @ model.wte.weight.t(), atol=1e-12, rtol=1e-12)
    made(base, directory, GPT2Model.from_pretrained(base), task_type="FEATURE_EXTRACTION", target_modules=["wte"])
    with pytest.raises(ValueError, match="changes the embedding of a GPT2Model, which has no head"):
        merged(base, directory)


def test_unknown_fields_are_told(base: Path, tmp_path: Path) -> None:
    directory = made(base, tmp_path / "adapter")
    edited(directory, use_future=True)
    with pytest.warns(Note, match="nothing here reads 'use_future'; peft does not read it either"):
        assert agree(base, directory) > 0.01


def test_the_head_stays_tied_where_peft_ties_it(base: Path, tmp_path: Path) -> None:
    model = merged(base, made(base, tmp_path / "rows", trainable_token_indices=[3]))
    assert model.lm_head.weight is model.transformer.wte.weight
    for name in ("wte", "lm_head"):
        model = merged(base, made(base, tmp_path / "untied", modules_to_save=[name]))
        assert model.lm_head.weight is not model.transformer.wte.weight


@pytest.mark.parametrize("field, also", [("target_modules", {}), ("modules_to_save", {"target_modules": ["c_attn"]})])
@pytest.mark.parametrize("value", [["lm_head"], ["transformer.wte", "lm_head"]])
def test_tying_that_is_asked_for(
    base: Path, tmp_path: Path, field: str, also: dict[str, Any], value: list[str]
) -> None:
    """peft writes other names into the file than it was given, so they are put back here."""
    settings: dict[str, Any] = {field: ["lm_head"], "ensure_weight_tying": True} | also
    directory = made(base, tmp_path / "adapter", **settings)
    edited(directory, **{field: value})
    path = directory / WEIGHTS
    last = {name: tensor + 0.5 if "lm_head" in name else tensor for name, tensor in load_file(path).items()}
    save_file(last, path)  # they differ now: the head's, which peft loads last, count for both
    assert agree(base, directory) > 0.01
    model = merged(base, directory)
    assert model.lm_head.weight is model.transformer.wte.weight


# other vocabularies


@pytest.mark.parametrize("settings", [{}, {"modules_to_save": ["wte", "lm_head"]}, {"target_modules": ["lm_head"]},
                                      {"trainable_token_indices": [50, 51, 52]}])  # fmt: skip
@pytest.mark.parametrize("size", [53, 47])
def test_a_resized_vocabulary(base: Path, tmp_path: Path, settings: dict[str, Any], size: int) -> None:
    """peft saves the embedding when its size is not the base's; its user resizes the base before loading."""
    model, other = reference(base), reference(base)
    model.resize_token_embeddings(size)
    if size < 50 and "trainable_token_indices" in settings:
        settings = {"trainable_token_indices": [40]}
    directory = made(base, tmp_path / "adapter", model, **settings)
    other.resize_token_embeddings(size)
    ours = merged(base, directory)
    assert ours.config.vocab_size == size
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.PeftModel.from_pretrained(other, directory).double()(input_ids=IDS % 47).logits
        torch.testing.assert_close(ours(IDS % 47), theirs, atol=1e-12, rtol=1e-12)
    if size > 50 and "trainable_token_indices" in settings:  # the rows of the tokens alone
        renamed(directory, lambda name: "" if "base_layer" in name else name)
        assert merged(base, directory).config.vocab_size == size


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """A base with a tokenizer: the 256 bytes and the end."""
    directory = write_base(tmp_path / "spoken", vocab_size=257)
    Tokenizer.bytes().save(directory)
    return directory


def test_an_adapters_own_tokenizer_counts(spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A chat fine-tune: two tokens more, saved with their rows; in every command, and exported."""
    model = reference(spoken)
    model.resize_token_embeddings(259)
    directory = made(spoken, tmp_path / "chat", model, modules_to_save=["wte", "lm_head"])
    Tokenizer.bytes().save(directory)
    path = directory / "tokenizer.json"
    content = json.loads(path.read_text())
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content["added_tokens"] += [{"id": 257, "content": "<|user|>"} | plain, {"id": 258, "content": "<|bot|>"} | plain]
    path.write_text(json.dumps(content))
    checkpoint = load(str(directory), torch.float64)
    assert checkpoint.tokenizer.vocab_size == 259
    ids = [257, 104, 105, 258]
    other = reference(spoken)
    other.resize_token_embeddings(259)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.PeftModel.from_pretrained(other, directory).double()(input_ids=torch.tensor([ids])).logits
        torch.testing.assert_close(checkpoint.model(torch.tensor([ids])), theirs, atol=1e-12, rtol=1e-12)
    assert main(["next", "hi", "--model", str(directory), "--json"]) == 0
    assert main(["info", str(directory)]) == 0
    capsys.readouterr()


def test_a_tokenizer_without_its_rows_is_refused(spoken: Path, tmp_path: Path) -> None:
    directory = made(spoken, tmp_path / "adapter")
    Tokenizer.bytes().save(directory)
    content = json.loads((directory / "tokenizer.json").read_text())
    content["added_tokens"].append(content["added_tokens"][0] | {"id": 257, "content": "<|user|>"})
    (directory / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="has 258 entries and the adapted model 257 rows: save the adapter in peft"):
        load(str(directory))


def test_commands_take_adapters(spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = made(spoken, tmp_path / "adapter", use_dora=True, bias="all", trainable_token_indices=[104])
    assert main(["next", "hi", "--model", str(directory), "--json"]) == 0
    assert main(["info", str(directory), "--json"]) == 0
    assert main(["export", str(directory), str(tmp_path / "out")]) == 0
    capsys.readouterr()
    with torch.no_grad():
        exported = AutoModelForCausalLM.from_pretrained(tmp_path / "out").double()(input_ids=IDS).logits
    torch.testing.assert_close(exported, by_peft(spoken, directory), atol=1e-5, rtol=1e-5)


def test_a_relative_base_begins_where_the_command_runs(
    spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made(spoken, tmp_path / "adapter")
    edited(directory, base_model_name_or_path="spoken")
    monkeypatch.chdir(tmp_path)
    assert load(str(directory)).tokenizer.vocab_size == 257
    shutil.copy(spoken / "config.json", directory)  # some trainers write it beside the adapter
    assert load(str(directory)).tokenizer.vocab_size == 257


def test_what_the_base_computes_is_another_thing(base: Path, tmp_path: Path) -> None:
    assert (logits(merged(base, made(base, tmp_path / "adapter"))) - unchanged(base)).abs().max() > 0.01
