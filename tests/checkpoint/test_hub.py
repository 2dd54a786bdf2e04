"""Names to directories, and downloads, against a stand-in for the hub on this machine; no network is used."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from gpt2.base.errors import UsageError
from gpt2.checkpoint import hub
from gpt2.checkpoint.files import load
from gpt2.checkpoint.hub import model_directory
from gpt2.text.tokenizer import Tokenizer

NEEDED = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
          "vocab.json", "merges.txt"}  # fmt: skip


def one_sentence(errors: str) -> str:
    assert errors.startswith("gpt2: ")
    assert errors.count("\n") == 1, errors
    return errors


# Names


def test_a_directory_wins_over_a_preset_of_the_same_name(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("gpt2", "storyteller", "runs/first"):
        Path(name).mkdir(parents=True)
        for file, data in content.items():
            (Path(name) / file).write_bytes(data)
    assert model_directory("gpt2") == Path("gpt2")
    assert model_directory("runs/first") == Path("runs/first")
    assert model_directory("./storyteller") == Path("./storyteller")


def test_the_bundled_name_always_means_the_bundled_model(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "ASSETS", tmp_path / "assets")
    for directory in (tmp_path / "storyteller", tmp_path / "assets" / "storyteller"):
        directory.mkdir(parents=True)
        for file, data in content.items():
            (directory / file).write_bytes(data)
    assert model_directory("storyteller") == tmp_path / "assets" / "storyteller"
    (tmp_path / "assets" / "storyteller" / "config.json").unlink()
    with pytest.raises(ValueError, match="bundled model is missing"):
        model_directory("storyteller")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("", "empty"), ("gpt3", "did you mean gpt2"), ("storyteler", "did you mean storyteller"),
     ("nothing-like-it", "a model is storyteller"), ("/nowhere", "a model is"), ("a/b/c", "a model is"),
     ("empty", r"has no config\.json"), ("runs/model.bin", "is a file"), ("../up", "a model is"),
     ("runs/whole", "try model='runs/whole/model'$"), ("runs/lora/", "try model='runs/lora/model'$")],
)  # fmt: skip
def test_a_name_that_means_nothing_asks_no_network(name, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "fetch", lambda *_, **__: pytest.fail("asked the network"))
    Path("empty").mkdir()
    Path("runs").mkdir()
    Path("runs/model.bin").write_bytes(b"")
    for run, file in (("whole", "config.json"), ("lora", "adapter_config.json")):
        Path("runs", run, "model").mkdir(parents=True)
        Path("runs", run, "model", file).write_text("{}")
    with pytest.raises(UsageError, match=sentence):
        model_directory(name)


def test_a_directory_that_is_not_there_is_told_with_those_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    Path("runs").mkdir()
    with pytest.raises(UsageError, match="there is no directory runs/nope, and runs holds no model: if you mean"):
        model_directory("runs/nope")
    for place in ("runs/chat/model", "runs/plain"):
        Path(place).mkdir(parents=True)
        (Path(place) / "config.json").write_text("{}")
    with pytest.raises(UsageError) as refusal:
        model_directory("runs/nope")
    assert {"runs/chat/model", "runs/plain"} <= set(str(refusal.value).replace("?", "").split())
    assert "`gpt2 fetch runs/nope`" in str(refusal.value)


def test_names_are_found_without_torch():
    words = "import sys, gpt2.checkpoint.hub; gpt2.checkpoint.hub.model_directory; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", words], check=True)


# Downloads


def test_fetch_takes_what_is_needed_and_nothing_else(server, here, command, content, monkeypatch):
    monkeypatch.setenv("TQDM_POSITION", "-1")  # progress bars as in a terminal
    code, out, errors = here("fetch", "tests/tiny")
    assert code == 0, errors
    assert "model.safetensors: 100%" in errors
    assert sorted(server.served) == sorted(NEEDED)
    assert set(server.served) == NEEDED
    line = out.splitlines()[0]
    directory = Path(line.rpartition(" in ")[2])
    assert {path.name for path in directory.iterdir()} == NEEDED
    assert f"{len(NEEDED)} files" in line

    # From here on no network is needed, whatever is asked.
    server.served.clear()
    nowhere = "http://127.0.0.1:9"
    code, out, errors = command("info", "tests/tiny", "--json", HF_ENDPOINT=nowhere)
    assert (code, errors) == (0, "")
    assert json.loads(out)["directory"] == str(directory)
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    code, out, _ = here("fetch", "tests/tiny", "--json")
    assert code == 0
    assert json.loads(out)["bytes"] == sum(len(content[name]) for name in NEEDED)
    assert server.served == []
    loaded = load(str(directory))
    assert loaded.tokenizer.vocab_size == 257


def test_a_tokenizer_comes_without_weights(server, here):
    code, out, errors = here("tokenize", "--model", "tests/tiny", "ab")
    assert (code, errors) == (0, "")
    assert out.splitlines()[1].split() == ["0", "64", "a"]
    assert set(server.served) == NEEDED - {"model.safetensors"}
    server.served.clear()
    assert here("tokenize", "--model", "tests/tiny", "ab")[0] == 0
    assert server.served == []  # what is here serves again
    assert here("info", "tests/tiny")[0] == 1  # and is not taken for a model
    assert here("next", "--model", "tests/tiny", "ab")[0] == 0
    assert server.served == ["model.safetensors"]


def test_a_preset_is_its_hub_id_and_loads_by_itself(here, monkeypatch):
    monkeypatch.setenv("TQDM_POSITION", "-1")
    code, out, errors = here("next", "--json", "abc", "--model", "gpt2")
    assert code == 0, errors
    assert errors == ""  # no progress bars where nobody asked for a download
    assert json.loads(out)["prompt_ids"] == Tokenizer.bytes().encode("abc")
    assert json.loads(here("info", "openai-community/gpt2", "--json")[1])["parameters"]["total"] == 35_840


def test_an_unreachable_hub_is_one_sentence_with_the_mend(here, monkeypatch):
    for setting, value, reason in (
        ("ENDPOINT", "http://127.0.0.1:9", "the hub cannot be reached"),
        ("HF_HUB_OFFLINE", True, "HF_HUB_OFFLINE"),
    ):
        monkeypatch.setattr(constants, setting, value)
        code, out, errors = here("fetch", "tests/tiny")
        assert (code, out) == (1, "")
        named = "or name a directory, or the bundled storyteller, as --model."
        for part in (reason, "`gpt2 fetch tests/tiny`", named):
            assert part in one_sentence(errors)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("tests/nobody", "the hub has no model 'tests/nobody'"), ("tests/gated", "gated"),
     ("tests/llama", "model_type is 'llama'"), ("tests/down", "answered 500"), ("tests/broken", "answered 500"),
     ("tests/empty", "no config.json on the hub"), ("tests/weightless", "no model.safetensors or pytorch_model.bin"),
     ("storyteller", "needs no download")],
)  # fmt: skip
def test_what_the_hub_refuses_is_one_sentence(name, sentence, server, here):
    code, out, errors = here("fetch", name, "--json")
    assert code in (1, 2)
    assert out == ""
    assert sentence in one_sentence(errors)
    if name == "tests/llama":
        assert server.served == ["config.json"]  # and not its gigabytes


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_taken_with_their_index(suffix, server, here, content):
    stem = {"safetensors": "model", "bin": "pytorch_model"}[suffix]
    files = [f"{stem}-0000{k}-of-00002.{suffix}" for k in (1, 2)]
    index = f"{stem}.{suffix}.index.json"
    plain = {name: data for name, data in content.items() if name != "model.safetensors"}
    weight_map = json.dumps({"weight_map": dict(zip(("wte.weight", "wpe.weight"), files, strict=True))})
    server.repos["tests/shards"] = plain | {files[0]: b"1", files[1]: b"2", index: weight_map.encode()}
    code, _, errors = here("fetch", "tests/shards", "--json")
    assert code == 0, errors
    assert set(server.served) == {*files, index, *plain}
    server.repos["tests/hole"] = plain | {files[0]: b"x", index: weight_map.encode()}
    code, _, errors = here("fetch", "tests/hole", "--json")
    assert code == 1
    assert f"lacks {files[1]}" in one_sentence(errors)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_download_is_never_taken_for_a_model(server, command, here, content, tmp_path):
    server.stall = True
    process = command("fetch", "tests/tiny", wait=False)
    assert server.stalled.wait(300)
    while not [*(tmp_path / "cache").rglob("*.incomplete")]:  # what it has so far lies on the disk
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    server.stall = False
    server.released.set()
    code, _, errors = here("info", "tests/tiny")
    assert code == 1
    assert "not on this machine: `gpt2 fetch tests/tiny`" in one_sentence(errors)
    code, out, _ = here("fetch", "tests/tiny", "--json")
    assert code == 0
    assert (Path(json.loads(out)["directory"]) / "model.safetensors").read_bytes() == content["model.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_a_download_without_a_traceback(server, command):
    server.stall = True
    process = command("fetch", "tests/tiny", wait=False)
    assert server.stalled.wait(300)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)  # the hub still holds the file back
    assert process.returncode == 130
    assert "Traceback" not in errors
