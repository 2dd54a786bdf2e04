"""A Git LFS pointer in place of a file is called so, with what to type, by whoever reads the file."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from gpt2.base.lfs import is_pointer
from gpt2.checkpoint.files import load
from gpt2.checkpoint.hub import bundled_directory
from gpt2.cli.main import main

POINTER = (
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32\nsize 12345\n"
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled_directory(), tmp_path / "clone"))


@pytest.mark.parametrize("name", [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "additional_chat_templates/tool.jinja",
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
])  # fmt: skip
def test_of_a_checkpoint(name: str, clone: Path) -> None:
    if name.startswith(("vocab", "merges", "model", "pytorch")):
        (clone / ("tokenizer.json" if name.startswith(("vocab", "merges")) else "model.safetensors")).unlink()
    (clone / name).parent.mkdir(exist_ok=True)
    (clone / name).write_text(POINTER)
    assert is_pointer(clone / name)
    said = f"{Path(name).name} is a Git LFS pointer, not the file itself: run `git lfs pull`"
    with pytest.raises(ValueError, match=said):
        load(str(clone))


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
@pytest.mark.parametrize("command", ["next", "info"])
def test_of_an_adapter(name: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"peft_type": "LORA", "base_model_name_or_path": "storyteller", "target_modules": ["c_attn"], "r": 1}
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields))
    (tmp_path / name).write_text(POINTER)
    words = ["next", "a", "--model"] if command == "next" else ["info"]
    assert main([*words, str(tmp_path)]) == 1
    assert f"{name} is a Git LFS pointer" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ckpt.pt", "meta.pkl", "tokenizer.json", "vocab.txt"])
def test_of_a_file_of_nanogpt(name: str, tmp_path: Path) -> None:
    args = {"n_layer": 1, "n_head": 1, "n_embd": 2, "block_size": 2, "vocab_size": 2}
    torch.save({"model": {}, "model_args": args}, tmp_path / "ckpt.pt")
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(ValueError, match=f"{name} is a Git LFS pointer"):
        load(str(tmp_path), activation="gelu")


def test_of_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "big.txt"
    text.write_text(POINTER)
    assert main(["prepare", str(text), "--tokenizer", "bytes", "--out", str(tmp_path / "set")]) == 1
    assert "big.txt is a Git LFS pointer" in capsys.readouterr().err


def test_what_is_none(tmp_path: Path) -> None:
    long = tmp_path / "long"
    long.write_text(POINTER + "a text that speaks of it " * 100)
    assert not is_pointer(long)
    assert not is_pointer(tmp_path)
    assert not is_pointer(tmp_path / "missing")
