"""`gpt2 quantise`: what it prints, what other commands do with what it wrote, what each refusal says to type."""

import json

import pytest

from gpt2.base.notes import forget
from gpt2.checkpoint.files import save
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model `floats`, and `small`, which the command made of it, with what it printed as `printed`."""
    folder = tmp_path_factory.mktemp("quantise")
    config = GPT2Config(vocab_size=257, n_positions=64, n_embd=32, n_layer=2, n_head=4)
    save(GPT2(config), Tokenizer.bytes(), folder / "floats")
    (folder / "fox.txt").write_text("Once upon a time there was a fox.\n")
    return folder


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    forget()


@pytest.fixture
def small(folder, capsys):
    if not (folder / "small").exists():
        assert main(["quantise", "floats", "small", "--precision", "int4", "--text", "fox.txt"]) == 0
        (folder / "page").write_text(capsys.readouterr().out)
    return (folder / "page").read_text()


def said(capsys, *words):
    """What a command that is refused says to type."""
    assert main([*words]) == 2
    return capsys.readouterr().err


def test_the_page_says_what_was_written_and_what_it_cost(small):
    assert "wrote floats in int4 to " in small
    assert "24,576 in int4, 8,224 in int8" in small
    assert "bits per byte on fox.txt: " in small
    assert "gpt2 export small DIR" in small


def test_json_has_the_same(folder, capsys):
    assert main(["quantise", "floats", "other", "--text", "fox.txt", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "int8"
    assert found["bytes"] == (folder / "other" / "model.safetensors").stat().st_size
    assert found["float_bytes"] > 2 * found["bytes"]
    cost = found["cost"]
    assert cost["text"] == "fox.txt"
    assert cost["share"] == pytest.approx(cost["after"] / cost["before"] - 1)
    assert abs(cost["share"]) < 0.01


def test_info_shows_it(small, capsys):
    assert main(["info", "small"]) == 0
    page = capsys.readouterr().out
    assert "token table and head are int8" in page
    assert "bits per byte on fox.txt" in page
    assert main(["info", "small", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["quantised"]["kind"] == "int4"
    assert found["stored"]["numbers"]["int4"] == 24_576
    assert found["quantised"]["original"]["model"] == "floats"


def test_what_measures_texts_measures_it(small, capsys):
    assert main(["eval", "fox.txt", "--model", "small", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert main(["info", "small", "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)["quantised"]["cost"]
    assert figures["bits_per_byte"] == pytest.approx(cost["after"])
    assert main(["eval", "fox.txt", "--model", "small", "--dtype", "float32", "--json"]) == 0
    told = capsys.readouterr()
    assert "small is quantised (int4): its weights are taken as float32." in told.err
    rounded = pytest.approx(cost["after"], rel=1e-3)  # the kernel rounds what goes into a map of 8 bits
    assert json.loads(told.out)["bits_per_byte"] == rounded


@pytest.mark.parametrize("command", ["next", "score"])
def test_what_reads_a_text_reads_it(command, small, capsys):
    assert main([command, "a fox", "--model", "small", "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert json.loads(told.out)


def test_it_generates_what_its_floats_do(small, capsys):
    words = ["generate", "a fox", "--model", "small", "--max-tokens", "6", "--temperature", "0", "--json"]
    assert main(words) == 0
    own = json.loads(capsys.readouterr().out)
    assert main([*words, "--dtype", "float32"]) == 0
    floats = json.loads(capsys.readouterr().out)
    assert own["completions"][0]["ids"] == floats["completions"][0]["ids"]


@pytest.mark.parametrize("words", [["explain", "lens", "a fox"], ["walk", "a fox"]])
def test_what_looks_inside_takes_floats_and_says_so(words, small, capsys):
    assert main([*words, "--model", "small", "--json"]) == 0
    assert "small is quantised (int4): its weights are taken as float32." in capsys.readouterr().err


def test_export_writes_floats_and_says_so(small, folder, capsys):
    assert main(["export", "small", "plain"]) == 0
    told = capsys.readouterr()
    assert "small is quantised (int4)" in told.err
    assert "weights in float32" in told.out
    assert json.loads((folder / "plain" / "config.json").read_text())["model_type"] == "gpt2"
    assert main(["finetune", "fox.txt", "--model", "plain", "--out", "run", "--epochs", "1", "--val", "fox.txt"]) == 0


def test_each_refusal_says_what_to_type(small, folder, capsys):
    assert "`gpt2 export small DIR`, then use DIR" in said(
        capsys, "finetune", "fox.txt", "--model", "small", "--out", "r"
    )
    assert "quantised already (int4): quantise floats" in said(capsys, "quantise", "small", "again")
    assert "--overwrite" in said(capsys, "quantise", "floats", "small")
    assert "--precision int4" in said(capsys, "quantise", "floats", "new", "--precision", "Q4_0")
    assert "gpt2 quantise MODEL DIR --precision int8" in said(capsys, "quantise", "floats", "new", "q8_0")
    assert "write --precision int8" in said(capsys, "quantise", "floats", "new", "--bits", "8")
    assert "did you mean 'gpt2 quantise'" in said(capsys, "quantize", "floats", "new")
    assert "no such file" in said(capsys, "quantise", "floats", "new", "--text", "nowhere.txt")
    assert "`gpt2 quantise MODEL DIR` writes int8" in said(capsys, "next", "a", "--model", "floats", "--dtype", "int8")
    assert "gpt2 quantise" in said(capsys, "generate", "a", "--model", "floats", "--load-in-8bit")
    assert not (folder / "new").exists()


def test_an_adapter_of_a_quantised_base_is_refused(small, folder, capsys):
    adapter = folder / "adapter"
    adapter.mkdir()
    fields = {"peft_type": "LORA", "base_model_name_or_path": str(folder / "small"), "r": 2, "task_type": "CAUSAL_LM"}
    (adapter / "adapter_config.json").write_text(json.dumps(fields))
    assert main(["next", "a", "--model", "adapter"]) == 1
    refused = capsys.readouterr().err
    assert "is quantised" in refused
    assert f"gpt2 export {folder / 'small'} DIR" in refused
    assert "base_model_name_or_path" in refused
