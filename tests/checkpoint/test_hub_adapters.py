"""Adapters of the hub, and chat templates of its models, against the stand-in: fetched, refused, found again."""

import json
from pathlib import Path

import pytest
import torch
from adapted import agree, edited, made, write_base
from huggingface_hub import constants

from gpt2.checkpoint.files import load
from gpt2.checkpoint.hub import base_directory, model_directory, own_directory
from gpt2.text.tokenizer import Tokenizer

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """The directory of a base with a tokenizer."""
    directory = write_base(tmp_path_factory.mktemp("hub-adapters") / "spoken", vocab_size=257)
    Tokenizer.bytes().save(directory)
    return directory


@pytest.fixture
def repos(server, spoken, tmp_path):
    """The stand-in's repositories: tests/base, and tests/adapter with what a trainer leaves beside it."""
    adapter = edited_files(made(spoken, tmp_path / "adapter"), base_model_name_or_path="tests/base")
    server.repos["tests/base"] = files(spoken)
    server.repos["tests/adapter"] = adapter | {"README.md": b"#", "optimizer.pt": b"x", "checkpoint-5/" + WEIGHTS: b"x"}
    return server.repos


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def edited_files(directory, **fields):
    edited(directory, **fields)
    return files(directory)


def refused(here, *words):
    code, out, errors = here(*words)
    assert (code, out) == (1, "")
    assert errors.count("\n") == 1
    return errors


def test_an_adapter_comes_with_its_base_and_stays(repos, server, here, monkeypatch, spoken, tmp_path):
    code, out, errors = here("fetch", "tests/adapter", "--json")
    assert code == 0, errors
    assert set(server.served) == {CONFIG, WEIGHTS, *repos["tests/base"]}
    facts = json.loads(out)
    assert (facts["model"], facts["base"]["model"]) == ("tests/adapter", "tests/base")
    assert set(facts["files"]) == {CONFIG, WEIGHTS}
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert here("fetch", "tests/adapter", "--json")[0] == 0
    ids = torch.tensor([[104, 105]])
    adapted, plain = load("tests/adapter", torch.float64), load("tests/base", torch.float64)
    with torch.no_grad():
        same = load(str(tmp_path / "adapter"), torch.float64).model(ids)
        assert torch.equal(adapted.model(ids), same)
        assert not torch.equal(plain.model(ids), same)
    assert agree(spoken, tmp_path / "adapter") > 0.01
    assert adapted.tokenizer.vocab_size == 257
    assert (adapted.name, str(adapted.directory)) == ("tests/adapter", facts["directory"])
    assert str(model_directory("tests/adapter")) == facts["base"]["directory"]
    told = json.loads(here("info", "tests/adapter", "--json")[1])
    assert (told["adapter"]["base"], told["adapter"]["ranks"]) == ("tests/base", [4])


def test_loading_fetches_both(repos, server, here):
    assert here("next", "hi", "--model", "tests/adapter", "--json")[0] == 0
    assert set(server.served) == {CONFIG, WEIGHTS, *repos["tests/base"]}
    server.served.clear()
    assert here("tokenize", "hi", "--model", "tests/adapter")[0] == 0
    assert server.served == []


def test_its_own_tokenizer_is_taken_with_its_templates(repos, server, here, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    Tokenizer.bytes().save(own)
    extra = {"chat_template.jinja": b"{{ 1 }}", "additional_chat_templates/tool.jinja": b"{{ 2 }}"}
    repos["tests/adapter"] |= files(own) | extra
    assert here("tokenize", "hi", "--model", "tests/adapter")[0] == 0
    assert set(server.served) == {CONFIG, *files(own), *extra}
    directory = own_directory("tests/adapter", weights=False)
    assert (directory / "additional_chat_templates" / "tool.jinja").read_bytes() == b"{{ 2 }}"


def test_a_model_is_taken_with_its_templates(repos, server, here, tmp_path):
    """Once additional_chat_templates was left on the hub, and lost on saving."""
    extra = {"chat_template.jinja": b"{{ 1 }}", "additional_chat_templates/tool.jinja": b"{{ 2 }}"}
    repos["tests/base"] |= extra | {"additional_chat_templates/deep/er.jinja": b"", "templates/other.jinja": b""}
    code, out, errors = here("fetch", "tests/base", "--json")
    assert code == 0, errors
    assert set(extra) < set(json.loads(out)["files"])
    assert not {name for name in server.served if name.endswith(("er.jinja", "other.jinja"))}
    assert here("export", "tests/base", str(tmp_path / "out"))[0] == 0
    assert (tmp_path / "out" / "additional_chat_templates" / "tool.jinja").read_bytes() == b"{{ 2 }}"


def test_what_peft_left_in_the_cache_is_not_taken_for_all(repos, server, here, monkeypatch):
    """peft takes the matrices alone; a tokenizer beside them would be passed over without a word."""
    from huggingface_hub import hf_hub_download

    for name in (CONFIG, WEIGHTS):
        hf_hub_download("tests/adapter", name)
    with pytest.raises(ValueError, match="tests/adapter is not on this machine"):
        own_directory("tests/adapter", download=False)
    assert here("fetch", "tests/adapter", "--json")[0] == 0
    assert (own_directory("tests/adapter", download=False) / CONFIG).is_file()


@pytest.mark.parametrize("fields, said", [
    ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
    ({"revision": "v2"}, "revision is 'v2', which is not supported"),
    ({"base_model_name_or_path": None}, "does not name its base model"),
    ({"base_model_name_or_path": "./out/base"}, "is './out/base', which is no model here"),
    ({"base_model_name_or_path": str(Path("none").resolve())}, "is not in "),
    ({"base_model_name_or_path": "tests/nobody"}, "asks for its base model tests/nobody, and the hub has no"),
    ({"base_model_name_or_path": "tests/adapter"}, "is an adapter itself: merge it, gpt2 export tests/adapter DIR"),
])  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(fields, said, repos, server, here, tmp_path):
    repos["tests/adapter"] |= edited_files(tmp_path / "adapter", **fields)
    assert said in refused(here, "fetch", "tests/adapter", "--json")
    if "peft_type" in fields or "revision" in fields:
        assert server.served == [CONFIG]  # and neither matrices nor a base
    if "peft_type" not in fields:
        assert said in refused(here, "next", "hi", "--model", "tests/adapter")


def test_a_base_that_is_not_here_is_told_with_its_adapter(repos, here, tmp_path, monkeypatch):
    repos["tests/adapter"] = edited_files(tmp_path / "adapter", base_model_name_or_path="nowhere/none")
    adapter = tmp_path / "adapter"
    said = f"the adapter in {adapter} asks for its base model nowhere/none, and "
    told = refused(here, "next", "hi", "--model", str(adapter))
    assert said in told
    assert f"or write another directory as base_model_name_or_path in {adapter / 'adapter_config.json'}." in told
    assert "storyteller" not in told
    with pytest.raises(ValueError, match="and nowhere/none is not on this machine") as error:
        base_directory(adapter, download=False)
    assert str(error.value).startswith(said)


def test_repositories_that_are_no_adapter(repos, here):
    repos["tests/both"] = repos["tests/base"] | repos["tests/adapter"]
    assert "tests/both holds a model and an adapter" in refused(here, "fetch", "tests/both")
    repos["tests/bare"] = {CONFIG: repos["tests/adapter"][CONFIG]}
    assert "tests/bare has no adapter_model.safetensors or adapter_model.bin" in refused(here, "fetch", "tests/bare")


def test_the_old_format_is_fetched(repos, server, here, spoken, tmp_path):
    old = made(spoken, tmp_path / "old", safe=False)
    repos["tests/adapter"] = edited_files(old, base_model_name_or_path="tests/base")
    assert here("next", "hi", "--model", "tests/adapter")[0] == 0
    assert "adapter_model.bin" in server.served
