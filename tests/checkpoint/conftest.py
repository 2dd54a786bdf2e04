"""Fixtures for the tests of checkpoints: an adapter's base, and a stand-in for the hub."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from hub_stand_in import NOT_NEEDED, Server, StandIn
from huggingface_hub import constants, utils

from gpt2.checkpoint import hub
from gpt2.checkpoint.files import save
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small random model as transformers writes it, for adapters."""
    from adapted import write_base  # imports peft, which is slow

    return write_base(tmp_path_factory.mktemp("adapters") / "base")


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    """The files of a tiny checkpoint: {name: bytes}."""
    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocab_size=300, n_positions=24, n_embd=32, n_layer=2, n_head=4))
    directory = save(model, Tokenizer.bytes(), tmp_path_factory.mktemp("hub") / "tiny")
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def server(content):
    """The stand-in, running."""
    server = Server(("127.0.0.1", 0), StandIn)
    server.served, server.stall = [], False
    server.stalled, server.released = threading.Event(), threading.Event()
    clutter = dict.fromkeys(NOT_NEEDED, b"not needed")
    llama = content | {"config.json": b'{"model_type": "llama", "hidden_size": 4096}'}
    server.repos = {
        "tests/tiny": content | clutter,
        "openai-community/gpt2": content | clutter,
        "tests/llama": llama,
        "tests/broken": content,
        "tests/empty": {"README.md": b"nothing"},
        "tests/weightless": {"config.json": content["config.json"], "tf_model.h5": b"no"},
    }
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def here(server, tmp_path, monkeypatch, capsys):
    """Run `gpt2 ...` in this process with the stand-in as its hub and an empty cache: (code, stdout, stderr)."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    utils.close_session()

    def run(*words):
        code = main([*words])
        return code, *capsys.readouterr()

    yield run
    utils.close_session()


@pytest.fixture
def command(server, tmp_path):
    """The same in a process of its own; keyword arguments are its environment."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    base = clean | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(Path(hub.__file__).parents[2]),
    }  # fmt: skip

    def run(*words, wait=True, **environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "gpt2", *words], env=base | environment, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
        )  # fmt: skip
        if not wait:
            return process
        out, errors = process.communicate(timeout=600)
        return process.returncode, out, errors

    return run
