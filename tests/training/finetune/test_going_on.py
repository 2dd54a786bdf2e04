"""Which projections an adapter changes, and going on from one, beside `peft`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import GPT2LMHeadModel
from tuned import PAIRS, ids_of

from gpt2.base.errors import UsageError
from gpt2.checkpoint.adapter import read_adapter
from gpt2.checkpoint.files import load
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.training.finetune.finetune import FineTune, Settings
from gpt2.training.finetune.going_on import open_adapter
from gpt2.training.finetune.lora import LoRALinear, add_lora

IDS = torch.tensor([ids_of("12 comes after 11.")])


def wrapped(model: GPT2) -> dict[str, LoRALinear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}


def by_peft(base: str, directory: Path, **fields: Any) -> Path:
    """An adapter whose matrices are not zero, as peft saves it."""
    torch.manual_seed(0)
    config = peft.LoraConfig(**{"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 6, "init_lora_weights": False} | fields)
    peft.get_peft_model(GPT2LMHeadModel.from_pretrained(base), config).save_pretrained(directory)
    return directory


@pytest.mark.parametrize(
    "names", [["c_attn"], ["mlp.c_proj"], ["c_proj", "h.1.attn.c_attn"], ["transformer.h.0.mlp.c_fc"], ["all-linear"]]
)
def test_targets_are_those_that_peft_finds_and_reads(base: str, text: str, tmp_path: Path, names: list[str]) -> None:
    tuning = FineTune(Settings((text,), model=base, lora=4, lora_targets=tuple(names), lora_dropout=0.25))
    config = peft.LoraConfig(target_modules="all-linear" if names == ["all-linear"] else names)
    theirs = peft.get_peft_model(GPT2LMHeadModel.from_pretrained(base), config)
    found = {name.partition(".lora_A")[0] for name, _ in theirs.named_parameters() if ".lora_A." in name}
    assert {f"base_model.model.{name}" for name in wrapped(tuning.model)} == found
    for module in wrapped(tuning.model).values():
        torch.nn.init.normal_(module.lora_b, generator=torch.Generator().manual_seed(0))
    tuning.task.write(tuning.model, tmp_path / "adapter")
    written = peft.LoraConfig.from_pretrained(tmp_path / "adapter")
    assert written.target_modules == ("all-linear" if names == ["all-linear"] else set(names))
    assert written.lora_dropout == 0.25
    loaded = peft.PeftModel.from_pretrained(GPT2LMHeadModel.from_pretrained(base), tmp_path / "adapter").eval()
    with torch.no_grad():
        torch.testing.assert_close(tuning.model.eval()(IDS), loaded(IDS).logits, rtol=0, atol=1e-4)
        torch.testing.assert_close(load(str(tmp_path / "adapter")).model(IDS), loaded(IDS).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name, said", [
    ("lm_head", "lora_targets is 'lm_head': only projections of blocks are adapted here, so choose among c_attn"),
    ("wte", "lora_targets is 'wte': only projections"), ("ln_1", "lora_targets is 'ln_1': it is no module to adapt"),
    ("c_atn", "lora_targets is 'c_atn': it is no module to adapt, so choose among c_attn, c_proj, c_fc"),
    ("h.9.c_attn", "lora_targets is 'h.9.c_attn': it is no module"), ("(", r"lora_targets is '\(': it is no module"),
])  # fmt: skip
def test_targets_that_are_refused(name: str, said: str) -> None:
    """`c_atn` beside a name that means something would train less than was asked for."""
    with pytest.raises(UsageError, match=said):
        add_lora(GPT2(GPT2Config(vocab_size=9, n_positions=8, n_embd=8, n_layer=1, n_head=1)), 2, 4.0, 0.0, 0,
                 ("c_attn", name))  # fmt: skip


@pytest.mark.parametrize("fields", [
    {"target_modules": ["c_attn"]},
    {"target_modules": "all-linear", "use_rslora": True, "rank_pattern": {"c_fc": 2}, "alpha_pattern": {"c_proj": 3}},
    {"target_modules": ["c_attn", "c_fc"], "layers_to_transform": [1], "lora_dropout": 0.5},
])  # fmt: skip
def test_going_on_takes_the_step_that_peft_takes(base: str, tmp_path: Path, fields: dict[str, Any]) -> None:
    directory = by_peft(base, tmp_path / "adapter", **fields)
    hf = GPT2LMHeadModel.from_pretrained(base)
    theirs = peft.PeftModel.from_pretrained(hf, directory, is_trainable=True).eval()  # without dropout
    begun = open_adapter(directory, Settings(("x",), model=str(directory), lora=4))
    assert begun.dropout == fields.get("lora_dropout", 0.0)
    ours = begun.begin().eval()
    losses = []
    for model in (theirs, ours):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
        for _ in range(2):
            loss = model(IDS, labels=IDS).loss if model is theirs else model(IDS[:, :-1], IDS[:, 1:])
            loss.backward()
            losses.append(loss.item())
            optimizer.step()
            optimizer.zero_grad()
    assert losses[2:] == pytest.approx(losses[:2], abs=1e-5)
    assert losses[1] < losses[0]
    after = begun.after(ours)
    assert {name: after.fields[name] for name in fields} == {
        name: read_adapter(directory).fields[name] for name in fields
    }
    state = peft.get_peft_model_state_dict(theirs)
    assert state.keys() == after.tensors.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(after.tensors[name], tensor, rtol=0, atol=1e-4)


def test_a_run_goes_on_from_an_adapter_and_resumes(
    base: str, pairs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Merged at the end of a resumed run too: the option was forgotten there."""
    settings = Settings((pairs,), model=base, val=pairs, lora=4, lr=1e-2, epochs=1, eval_every=8)
    first = FineTune(settings).run(tmp_path / "first")
    tuning = FineTune(replace(settings, model=str(first.model), lr=1e-3, merge=True))
    assert len(wrapped(tuning.model)) == 8
    stopped = tuning.run(tmp_path / "second", stop=lambda: True)
    assert stopped.before == pytest.approx(first.after, abs=1e-6)
    assert not (tmp_path / "second" / "merged").exists()
    assert main(["finetune", "--resume", str(tmp_path / "second"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["merged"] == str(tmp_path / "second" / "merged")
    assert result["after"] < first.after
    assert read_adapter(result["model"]).base == read_adapter(first.model).base
    with torch.no_grad():
        one, other = (load(result[name]).model(IDS) for name in ("model", "merged"))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("words, said", [
    (["--lora", "8"], "--lora is 8: the adapter {} has rank 4, and training goes on with that, so give --lora 4."),
    (["--lora", "4", "--lora-alpha", "5"], "--lora-alpha is 5: the adapter {} has 6, and training goes on with that,"),
    (["--lora", "4", "--lora-targets", "c_fc"], "--lora-targets is 'c_fc': the adapter {} has c_attn, and"),
])  # fmt: skip
def test_an_adapter_keeps_its_form(
    base: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    adapter = by_peft(base, tmp_path / "adapter", target_modules=["c_attn"])
    assert main(["finetune", text, "--model", str(adapter), "--out", str(tmp_path / "run"), *words]) == 2
    assert said.format(adapter) in capsys.readouterr().err


@pytest.mark.parametrize("fields", [
    {"use_dora": True}, {"bias": "all"}, {"modules_to_save": ["ln_f"]}, {"trainable_token_indices": [1, 2]},
    {"target_modules": ["wte"]}, {"target_modules": ["c_attn", "lm_head"]}, {"modules_to_save": ["lm_head"]},
    {"lora_bias": True}, {"init_lora_weights": "pissa", "target_modules": ["c_fc"]},
])  # fmt: skip
def test_an_adapter_with_more_to_train_is_refused_by_the_field(
    base: str, tmp_path: Path, fields: dict[str, Any]
) -> None:
    directory = by_peft(base, tmp_path / "adapter", **{"target_modules": ["c_attn"]} | fields)
    with pytest.raises(ValueError, match=rf"has {next(iter(fields))} .*: merge it first, gpt2 export {directory} DIR"):
        open_adapter(directory, Settings(("x",), model=str(directory), lora=4))


def test_an_adapter_that_brings_a_matrix_of_its_base_is_refused_by_its_name(base: str, tmp_path: Path) -> None:
    model = peft.get_peft_model(GPT2LMHeadModel.from_pretrained(base), peft.LoraConfig(r=4, task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    settings = Settings(("x",), model=str(tmp_path / "adapter"), lora=4)
    with pytest.raises(ValueError, match=r"has lm_head\.weight of its base, and only .*: merge it first"):
        open_adapter(tmp_path / "adapter", settings)


def test_an_adapter_without_a_rank_is_merged_and_all_weights_train(
    base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = by_peft(base, tmp_path / "adapter", target_modules=["c_attn"])
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    words = ["finetune", str(path), "--model", str(adapter), "--out", str(tmp_path / "run"), "--epochs", "0.1"]
    assert main(words) == 0
    assert "is an adapter: it is merged into its base, and all weights are trained; --lora 4" in capsys.readouterr().out
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_a_run_does_not_delete_the_model_that_it_starts_from(base: str, text: str, tmp_path: Path) -> None:
    first = FineTune(Settings((text,), model=base, epochs=0.1)).run(tmp_path / "run")
    for lora in (0, 4):
        with pytest.raises(UsageError, match=r"which this fine-tune starts from: choose another out"):
            FineTune(Settings((text,), model=str(first.model), lora=lora)).run(tmp_path / "run")
    assert (first.model / "model.safetensors").is_file()
