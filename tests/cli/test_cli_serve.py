"""`gpt2 serve`: what its options make of a server, what it refuses, and how it begins and ends."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch

from gpt2.checkpoint.adapter import lora_adapter, write_adapter
from gpt2.checkpoint.files import save
from gpt2.cli.main import main
from gpt2.inference.engine import Limits
from gpt2.server.api import run as api_run
from gpt2.server.api.app import Settings
from gpt2.server.api.served import Models, Served
from gpt2.text.tokenizer import Tokenizer
from tests.api_server import tiny
from tests.generating import make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, another one, and an adapter of the first."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("small", "other"):
        save(make(layers=1), Tokenizer.bytes(), folder / name)
    pair = torch.full((1, 32), 0.5), torch.full((96, 1), 0.5)
    adapter = lora_adapter(str(folder / "small"), 1, 1.0, {"transformer.h.0.attn.c_attn": pair})
    write_adapter(adapter, folder / "adapter")
    return folder


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command would serve: models, settings, host, port."""
    found: list[Any] = []
    monkeypatch.setattr(api_run, "serve_models", lambda *given: found.extend(given))
    monkeypatch.delenv("GPT2_API_KEY", raising=False)
    return found


def test_options_become_a_server(folder: Path, served: list[Any]) -> None:
    words = ["serve", "--model", str(folder / "small"), "--adapter", f"mine={folder / 'adapter'}", "--rows", "4"]
    words += ["--waiting", "5", "--kv-mb", "3", "--timeout", "7", "--max-tokens", "9", "--max-prompt", "8"]
    assert main([*words, "--api-key", "k", "--host", "0.0.0.0", "--allow-origin", "https://example.org"]) == 0
    models, settings, host, port, _ = served
    assert (host, port) == ("0.0.0.0", 8000)
    assert list(models.served) == [str(folder / "small"), "mine"]
    base, adapted = models.served.values()
    assert (adapted.parent, adapted.engine.limits) == (base.name, Limits(4, 5, 3_000_000))
    difference = adapted.model.transformer.h[0].attn.c_attn.weight - base.model.transformer.h[0].attn.c_attn.weight
    assert difference.abs().max() > 0.1
    assert settings == Settings(
        "k", origins=("https://example.org",), max_tokens=9, max_prompt=8, max_texts=9, timeout=7.0
    )


def test_the_key_may_stand_in_the_environment(folder: Path, served: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT2_API_KEY", "from there")
    assert main(["serve", "--model", str(folder / "small"), "--host", "0.0.0.0"]) == 0
    assert served[1].key == "from there"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"],
         "0.0.0.0 is reached from beyond this machine: give --api-key KEY as well, or leave --host out."),
        (["--host", "example.org"], "--host is 'example.org': give 127.0.0.1, 0.0.0.0 or an address of this machine."),
        (["--api-key", ""], "the key is empty: give --api-key a text, or leave it and GPT2_API_KEY out."),
        (["--timeout", "0"], "--timeout is 0: it must be above 0."),
        (["--rows", "0"], "--rows is 0: it must be a whole number of at least 1."),
        (["--kv-mb", "0"], "--kv-mb is 0: it must be at least 1."),
        (["--allow-origin", "*"], "--allow-origin is '*': give scheme and host, such as https://example.org."),
        (["--adapter", "mine"], "--adapter is 'mine': give a name and a directory, as in poems=runs/poems/adapter."),
        (["--adapter", "a=x", "--adapter", "a=y"], "two models are called a: give each adapter a name of its own."),
        (["--adapter", "a=no/where"],
         "--adapter is 'a=no/where': name the directory of an adapter, which holds an adapter_config.json."),
        (["storyteller"], "a model is named with --model: type `gpt2 serve --model storyteller`."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_is_refused_before_a_model_is_loaded(
    words: list[str], said: str, served: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *words]) == 2
    assert said in capsys.readouterr().err
    assert served == []


def test_an_adapter_of_another_model_is_refused(
    folder: Path, served: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["serve", "--model", str(folder / "other"), "--adapter", f"mine={folder / 'adapter'}"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert f"the adapter mine belongs to another model than {folder / 'other'}: give --model {folder / 'small'}" in err


def test_what_stands_in_the_terminal() -> None:
    models = Models([Served("tiny", tiny(), Limits())])
    said = api_run.greeting(models, Settings(), "127.0.0.1", 8000, page=True).splitlines()
    assert said[0] == "serving tiny at http://127.0.0.1:8000/v1"
    assert "curl http://127.0.0.1:8000/v1/completions -H 'Content-Type: application/json' -d '{" in said[1]
    assert "http://127.0.0.1:8000/" in "".join(said[2:])
    keyed = api_run.greeting(models, Settings(key="secret"), "0.0.0.0", 8000, page=False)
    assert '-H "Authorization: Bearer $GPT2_API_KEY"' in keyed
    assert "secret" not in keyed
    assert "explain page" not in keyed
    assert "tiny has no chat template" in keyed


def test_sigterm_ends_it(folder: Path) -> None:
    words = [sys.executable, "-m", "gpt2", "serve", "--model", str(folder / "small"), "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("serving"))
        address = line.rpartition(" at ")[2].strip()
        with urllib.request.urlopen(f"{address}/models", timeout=300) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()
    assert process.returncode == 143
    assert " route=/v1/models status=200 " in log
    assert log.endswith("gpt2: ended by SIGTERM.\n")
