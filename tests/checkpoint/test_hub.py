"""Names to directories, and downloads, against a stand-in for the hub on this machine; no network is used."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, utils

from gpt2.base.errors import UsageError
from gpt2.checkpoint import hub
from gpt2.checkpoint.files import load, save
from gpt2.checkpoint.hub import model_directory
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

SHA = "1" * 40
NEEDED = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
          "vocab.json", "merges.txt"}  # fmt: skip
NOT_NEEDED = {"README.md", "modeling_gpt2.py", "pytorch_model.bin", "tf_model.h5", "model.fp16.safetensors",
              "onnx/model.onnx", "onnx/config.json"}  # fmt: skip


class StandIn(BaseHTTPRequestHandler):
    """The hub's answers that huggingface_hub asks for, from `server.repos`: {id: {file: bytes}}."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/").split("/")
        if path[:2] == ["api", "models"]:
            self.api("/".join(path[2:4]), path[4:])
        elif len(path) > 4 and path[2] == "resolve":
            self.file("/".join(path[:2]), "/".join(path[4:]))
        else:
            self.answer(404, b"")

    def api(self, repo, rest):
        if repo == "tests/gated":
            self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif repo == "tests/down":
            self.answer(500, b"")
        elif repo not in self.server.repos:
            self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        else:
            files = self.server.repos[repo]
            if rest[:1] == ["tree"]:
                found = [{"type": "file", "path": f, "size": len(b), "oid": self.etag(b)} for f, b in files.items()]
            else:
                found = {"id": repo, "sha": SHA, "siblings": [{"rfilename": name} for name in files]}
            self.answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def file(self, repo, name):
        content = self.server.repos.get(repo, {}).get(name)
        if content is None:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": SHA, "ETag": f'"{self.etag(content)}"'}
        headers["Content-Disposition"] = f'inline; filename="{name}";'
        if self.command == "GET":
            self.server.served.append(name)
            if repo == "tests/broken" and name == "model.safetensors":
                return self.answer(500, b"")
            if self.server.stall and name == "model.safetensors":
                return self.answer(200, content, headers, stall=True)
        start = self.headers.get("Range")
        if start:
            first = int(start.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            return self.answer(206, content[first:], headers)
        return self.answer(200, content, headers)

    @staticmethod
    def etag(content):
        return hub.re.sub(r"\W", "", f"{len(content)}x{hash(content)}")

    def answer(self, status, body, headers=None, stall=False):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if stall:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.stalled.set()
            self.server.released.wait(600)
        else:
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Threads that no test waits for; a client that was killed is no error to print into another test's output."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture(scope="module")
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
