"""`gpt2 bench`: its table, its JSON and its refusals."""

import json

import pytest

from gpt2.checkpoint.files import save
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.inference import bench
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """A directory with a tiny model; the memory is not read, since it takes time."""
    monkeypatch.setattr(bench, "bandwidth", lambda passes: 1e9)
    monkeypatch.chdir(tmp_path)
    return save(
        GPT2(GPT2Config(vocab_size=257, n_positions=24, n_embd=32, n_layer=1, n_head=4)), Tokenizer.bytes(), "tiny"
    )


def test_the_table_names_the_machine_and_what_to_choose(capsys):
    assert main(["bench", "--model", "tiny", "--tokens", "2", "--precision", "float32", "int8"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("tiny on ")
    assert "memory is read at" in page
    rows = [line.split()[0] for line in page.splitlines() if line.startswith(("float", "bfloat", "int"))]
    assert rows == ["float32", "int8"]
    assert page.splitlines()[-1].startswith("choose ")


def test_json_has_every_figure(capsys):
    assert main(["bench", "--model", "tiny", "--tokens", "2", "--precision", "int4", "int4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [rate["precision"] for rate in found["rates"]] == ["int4"]
    assert found["choose"] == "int4"
    assert {"processor", "cores", "threads", "load", "busy", "bandwidth", "kernel"} == set(found["machine"])
    assert {"decode", "batch", "first", "prefill", "memory", "share"} < set(found["rates"][0])


def test_refusals_say_what_to_type(capsys):
    for words, said in (
        (["--tokens", "30"], "--tokens is 30: choose 2 to 8"),
        (["--precision", "q8_0"], "type --precision int8"),
        (["--precision", "fp16"], "choose float32, bfloat16, int8 or int4"),
        (["other"], "type `gpt2 bench --model MODEL`"),
        (["--dtype", "int8"], "write --precision int8"),
    ):
        assert main(["bench", "--model", "tiny", *words]) == 2
        assert said in capsys.readouterr().err
