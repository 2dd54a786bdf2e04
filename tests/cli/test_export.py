"""`gpt2 export`: what it writes, what it says, what it refuses."""

import json

import pytest
import torch
from safetensors.torch import load_file

from gpt2.checkpoint import files as checkpoint
from gpt2.checkpoint.files import save
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer


@pytest.fixture
def tiny(tmp_path):
    """A directory with a tiny model in half precision."""
    config = GPT2Config(vocab_size=257, n_positions=24, n_embd=32, n_layer=2, n_head=4)
    return save(GPT2(config), Tokenizer.bytes(), tmp_path / "tiny", dtype=torch.float16)


def test_an_export_is_the_same_model(tiny, tmp_path, capsys):
    assert main(["export", str(tiny), str(tmp_path / "out")]) == 0
    page = capsys.readouterr().out
    assert "weights in float16" in page  # as they are stored, unless told otherwise
    assert f"AutoModelForCausalLM.from_pretrained({str(tmp_path / 'out')!r})" in page
    for file in tiny.iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_another_dtype_and_json(tiny, tmp_path, capsys):
    assert main(["export", str(tiny), str(tmp_path / "out"), "--dtype", "fp32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    files = {file.name: file.stat().st_size for file in (tmp_path / "out").iterdir()}
    assert found["dtype"] == "float32"
    assert found["files"] == files
    assert found["bytes"] == sum(files.values())
    before, after = (load_file(d / "model.safetensors") for d in (tiny, tmp_path / "out"))
    assert all(torch.equal(before[name].float(), after[name]) for name in before)


def test_a_full_directory_is_refused_before_the_model_is_loaded(tiny, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "load", lambda *_, **__: pytest.fail("loaded"))
    assert main(["export", str(tiny), str(tiny)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_checkpoint_may_be_exported_onto_itself(tiny, tmp_path, capsys):
    assert main(["export", str(tiny), str(tiny), "--overwrite", "--dtype", "bfloat16"]) == 0
    assert {t.dtype for t in load_file(tiny / "model.safetensors").values()} == {torch.bfloat16}
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize("words", [["--dtype", "int8"], ["--overwrite=yes"], ["--nonsense"]])
def test_wrong_options_write_nothing(words, tiny, tmp_path, capsys):
    assert main(["export", str(tiny), str(tmp_path / "out"), *words]) == 2
    assert not (tmp_path / "out").exists()
