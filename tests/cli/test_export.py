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


@pytest.fixture
def words(tmp_path):
    """A directory with a tiny model whose tokenizer has merges, and documents."""
    tokenizer = Tokenizer.train(["the cat sat on the mat, the cat that sat"] * 9, 270)
    config = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=24, n_embd=32, n_layer=2, n_head=4)
    (tmp_path / "means.txt").write_text("the cat sat on the mat")
    return save(GPT2(config, seed=1), tokenizer, tmp_path / "words", dtype=torch.float16)


def test_a_name_that_ends_in_gguf_is_a_gguf_file(words, tmp_path, capsys):
    assert main(["export", str(words), str(tmp_path / "a.gguf")]) == 0
    page = capsys.readouterr().out
    assert "type f16" in page  # as they are stored
    assert f"llama-completion -m {tmp_path / 'a.gguf'}" in page
    assert main(["export", str(words), str(tmp_path / "new/one"), "--format", "gguf", "--type", "Q8_0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(tmp_path / "new/one/words-q8_0.gguf")
    assert found["tensors"] == {"Q8_0": 9, "F32": 19}
    assert found["bytes"] == (tmp_path / "new/one/words-q8_0.gguf").stat().st_size
    assert main(["export", str(words), str(tmp_path / "a.gguf"), "--type", "bf16"]) == 2
    assert "replace it with --overwrite" in capsys.readouterr().err


def test_what_is_off_stays_off_and_is_said(words, tmp_path, capsys):
    means = ["--means", str(tmp_path / "means.txt")]
    assert (
        main(["export", str(words), str(tmp_path / "off"), "--off", "0.head.1,1.mlp", "--off", "1.head.*", *means]) == 0
    )
    assert "switched off in the weights: 0.head.1, 1.mlp, 1.head.* (mean over means.txt)" in capsys.readouterr().out
    assert {t.dtype for t in load_file(tmp_path / "off/model.safetensors").values()} == {torch.float16}
    assert main(["info", str(tmp_path / "off")]) == 0
    assert "0.head.1, 1.mlp, 1.head.* (mean over means.txt), folded" in capsys.readouterr().out
    again = [str(tmp_path / "off"), str(tmp_path / "b.gguf"), "--off", "0.mlp", "--kind", "zero", "--json"]
    assert main(["export", *again]) == 0
    assert [entry["kind"] for entry in json.loads(capsys.readouterr().out)["off"]] == ["mean", "zero"]


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--off", "0.head.1@3"], "leave out the @"),
        (["--off", "0.attn.pattern"], "cannot be folded"),
        (["--kind", "zero"], "--off"),
        (["--means", "stories.txt"], "--off"),
        (["--off", "0.mlp", "--kind", "zero", "--means", "stories.txt"], "leave --means out"),
        (["--off", "0.mlp", "--means", "nothing.txt"], "--means is nothing.txt"),
        (["--type", "q8_0"], "--format gguf"),
        (["--format", "gguf", "--type", "int8"], "--dtype is 'int8'"),
        (["--format", "gguf", "--type", "float64"], "--dtype is 'float64'"),
    ],
)
def test_wrong_ways_are_refused_in_a_sentence(options, sentence, words, tmp_path, capsys):
    assert main(["export", str(words), str(tmp_path / "out"), *options]) != 0
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
