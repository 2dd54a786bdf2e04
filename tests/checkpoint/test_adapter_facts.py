"""`gpt2 info` of an adapter: what it trains, and the sizes and the tokenizer of the model that it makes."""

import json

import pytest
from adapted import made, reference, write_base

from gpt2.base.notes import Note, forget
from gpt2.checkpoint.files import load
from gpt2.cli.main import main
from gpt2.text.tokenizer import Tokenizer

CHANGES = {
    "rank 4": ({"target_modules": ["c_attn"]}, "LoRA of rank 4 on 2 modules", 2 * 4 * (12 + 36)),
    "ranks": (
        {"target_modules": ["c_attn"], "rank_pattern": {"h.0.attn.c_attn": 2}}, "LoRA of rank 2 and 4 on 2 modules",
        (2 + 4) * (12 + 36),
    ),
    "DoRA": ({"target_modules": ["c_attn"], "use_dora": True}, "DoRA of rank 4 on 2", 2 * 4 * (12 + 36) + 2 * 36),
    "whole modules": (
        {"target_modules": ["c_attn"], "modules_to_save": ["ln_f"]}, "modules; transformer.ln_f whole;", 384 + 24,
    ),
    "rows": (
        {"target_modules": ["c_attn"], "trainable_token_indices": [3, 5]}, "; 2 rows of transformer.wte;", 384 + 24,
    ),
    "biases": ({"target_modules": ["c_attn"], "bias": "lora_only"}, "; biases; ", 384 + 72),
}  # fmt: skip


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    directory = write_base(tmp_path_factory.mktemp("facts") / "spoken", vocab_size=257)
    Tokenizer.bytes().save(directory)
    return directory


@pytest.mark.parametrize("settings, said, trained", CHANGES.values(), ids=CHANGES.keys())
def test_what_an_adapter_trains(settings, said, trained, spoken, tmp_path, capsys):
    directory = made(spoken, tmp_path / "adapter", **settings)
    assert main(["info", str(directory), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert said in facts["adapter"]["sentence"]
    assert facts["adapter"]["trained"] == trained
    assert facts["adapter"]["base"] == facts["adapter"]["base_directory"] == str(spoken)
    assert facts["directory"] == str(directory)
    assert facts["stored"]["files"] == ["adapter_model.safetensors"]
    assert facts["parameters"]["total"] == sum(p.numel() for p in load(str(directory)).model.parameters())


def test_a_resized_vocabulary_and_its_tokenizer(spoken, tmp_path, capsys):
    model = reference(spoken)
    model.resize_token_embeddings(259)
    directory = made(spoken, tmp_path / "chat", model, target_modules=["c_attn"], modules_to_save=["wte", "lm_head"])
    Tokenizer.bytes().save(directory)
    content = json.loads((directory / "tokenizer.json").read_text())
    end = content["added_tokens"][0]
    content["added_tokens"] += [end | {"id": 257, "content": "<|user|>"}, end | {"id": 258, "content": "<|bot|>"}]
    (directory / "tokenizer.json").write_text(json.dumps(content))
    assert main(["info", str(directory), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["configuration"]["vocab_size"], facts["tokenizer"]["entries"]) == (259, 259)
    assert facts["configuration"]["tie_word_embeddings"] is False
    assert facts["parameters"]["total"] == sum(p.numel() for p in load(str(directory)).model.parameters())
    assert main(["info", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("adapter    LoRA of rank 4 on 2 modules; transformer.wte, lm_head whole; ")
    assert lines[2] == f"base       {spoken}, in {spoken}"


def test_generation_settings_beside_an_adapter_are_not_read(spoken, tmp_path):
    """peft and transformers take the base's."""
    forget()
    directory = made(spoken, tmp_path / "adapter")
    (directory / "generation_config.json").write_text('{"eos_token_id": 7, "do_sample": true, "temperature": 9.0}')
    with pytest.warns(Note, match=r"generation_config\.json beside an adapter is not read, as in peft"):
        settings = load(str(directory)).model.settings
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(directory).generation_config
    assert (theirs.eos_token_id, theirs.temperature) == (None, None)
    assert (settings.ends, settings.generation.get("temperature")) == ((), None)
