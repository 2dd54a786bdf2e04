"""The page's server: what it answers, what it refuses, and that it stops."""

import http.client
import json
import math
import re
import threading
import time
from dataclasses import replace

import pytest
import torch
from page_server import ask, request, serving

from gpt2.ablation.models import build
from gpt2.base.stopping import Stopped
from gpt2.checkpoint.files import load
from gpt2.server import questions
from gpt2.server.answers.model import Model
from gpt2.server.bundle import join
from gpt2.server.guard import BODY_LIMIT
from gpt2.server.static import FOLDER, files
from gpt2.server.wire import pack, unpack
from tests.explained import BLOCKS, HEADS

TEXT = "The cat sat on the"
API = "api"
SCENE = {"text": TEXT}


@pytest.fixture(scope="module")
def checkpoint():
    return load("storyteller")


@pytest.fixture(scope="module")
def port(checkpoint):
    with serving(checkpoint) as port:
        yield port


def test_the_page_loads_with_a_policy_of_its_own_host_only(port):
    status, headers, body = request(port, "GET", "")
    assert status == 200
    assert b"main.js" in body
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert request(port, "GET", "details/lens.js")[1]["content-type"].startswith("text/javascript")


def test_the_shipped_page_is_small_and_names_no_other_host():
    sources = {path: content for path, (content, _) in files().items()}
    assert sum(len(content) for content in sources.values()) < 520_000  # a quarter of it is the engine
    for path, content in sources.items():
        hosts = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}", content.decode()))
        assert hosts <= {"http://www.w3.org"}, path  # the name of SVG, which nothing is fetched from


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "0.0.0.0"])
def test_another_host_is_refused(port, host):
    for method, path, body in (("GET", "", None), ("POST", "api/picture", SCENE)):
        status, _, answer = request(port, method, path, body, {"Host": host})
        assert status in (400, 421)
        assert "127.0.0.1" in json.loads(answer)["error"]


def test_no_host_is_refused(port):
    """Without a body: uvicorn closes before it reads one, and a client that still sends sees only that."""
    assert request(port, "GET", "", headers={"Host": ""})[0] == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1", "[::1]:80"])
def test_every_name_of_this_machine_is_served(port, host):
    assert request(port, "GET", "", headers={"Host": host})[0] == 200


def test_a_page_of_another_site_may_not_ask(port):
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{port + 1}"):
        assert request(port, "POST", "api/picture", SCENE, {"Origin": origin})[0] == 403
    assert request(port, "POST", "api/picture", SCENE, {"Origin": f"http://127.0.0.1:{port}"})[0] == 200
    # what a form of another site could send without being asked for permission
    assert request(port, "POST", "api/picture", SCENE, {"Content-Type": "text/plain"})[0] == 415


def test_large_bodies_are_refused_whether_they_state_their_length_or_not(port):
    large = b'{"text": "' + b"a" * BODY_LIMIT + b'"}'
    status, _, answer = request(port, "POST", "api/picture", large)
    assert status == 413
    assert "128 KB" in json.loads(answer)["error"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    chunks = (large[i : i + 10_000] for i in range(0, len(large), 10_000))
    connection.request("POST", f"/{API}/picture", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    status, _, _ = request(port, "POST", "api/picture", SCENE, {"Content-Length": "many"})
    assert status == 400


@pytest.mark.parametrize(
    "path",
    [
        "../session.py", "%2e%2e/session.py", "..%2fsession.py", "details/../../app.py", "//secret", "./main.js",
        "etc/passwd", "%00", "main.js/", "details", ".git/config", "docs", "openapi.json",
    ],
)  # fmt: skip
def test_paths_outside_are_refused(port, path):
    status, _, body = request(port, "GET", path)
    assert status == 404
    assert "there is no file" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "name, parameters, words",
    [
        ("pictures", SCENE, ["'pictures'", "picture"]),
        ("picture", {"txt": TEXT}, ["text"]),
        ("picture", {**SCENE, "swiches": {}}, ["'swiches'", "'switches'"]),
        ("picture", {"text": 3}, ["text", "string"]),
        ("picture", {"text": ""}, ["empty"]),
        ("picture", {"text": "cat " * 600}, ["512"]),
        ("picture", {**SCENE, "switches": {f"{BLOCKS}.attn": "off"}}, [f"no layer {BLOCKS}", f"0 to {BLOCKS - 1}"]),
        ("picture", {**SCENE, "switches": {"3.atn": "off"}}, ["'3.atn'", "3.attn"]),
        ("picture", {**SCENE, "switches": {f"3.head.{HEADS}": "off"}}, [f"no head {HEADS}", f"0 to {HEADS - 1}"]),
        ("picture", {**SCENE, "switches": {"3.mlp@2": "off"}}, ["3.mlp@2", "not a switch"]),
        ("picture", {**SCENE, "switches": {"3.ln_1.scale": "off"}}, ["3.ln_1.scale", "mean"]),
        ("picture", {**SCENE, "switches": {"3.mlp": "dim"}}, ["'dim'", "off or mean"]),
        ("lens", {**SCENE, "first": 5, "stop": 9}, ["5 tokens"]),
        ("head", {**SCENE, "block": BLOCKS, "head": 0}, [f"no block {BLOCKS}", f"0 to {BLOCKS - 1}"]),
        ("head", {**SCENE, "block": 0, "head": HEADS}, [f"no head {HEADS}", f"0 to {HEADS - 1}"]),
        ("attribution", {**SCENE, "row": 4, "target": "a whole sentence"}, ["a whole sentence"]),
        ("attribution", {**SCENE, "row": 5}, ["no position 5", "0 to 4"]),
        ("attribution", {**SCENE, "row": 4, "of": "3.mpl"}, ["3.mpl"]),
        ("neurons", {**SCENE, "row": 4, "block": BLOCKS}, [f"no block {BLOCKS}", f"0 to {BLOCKS - 1}"]),
        ("contexts", {"block": 0, "neuron": 9999}, ["9999"]),
        ("patch", {"clean": TEXT, "corrupt": "The dog"}, ["5 tokens", "2"]),
        ("patch", {"clean": TEXT, "corrupt": TEXT}, ["same"]),
        ("patch", {"clean": TEXT, "corrupt": "The dog ran to the", "grid": "rows"}, ["grid", "resid"]),
        ("neighbours", {"token": 8192}, ["8192", "8191"]),
        ("draw", {**SCENE, "row": 4, "top_p": 0}, ["top_p", "greater than 0"]),
    ],
)
def test_a_mistake_is_answered_by_one_sentence_with_what_would_be_right(port, name, parameters, words):
    sentence = ask(port, name, parameters)
    assert isinstance(sentence, str)
    assert [word for word in words if word not in sentence] == []
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "Traceback" not in sentence


def test_bodies_that_are_no_json_are_refused(port):
    for body in (b"{", b"[1]", b"\xff\xfe", b'{"text": "a", "switches": null}'):
        assert request(port, "POST", "api/picture", body)[0] == 400


def test_an_abandoned_request_stops_computing(checkpoint, monkeypatch):
    """The work runs in a thread, which nothing ends but itself: `tell` must raise once the browser has gone."""
    begun, ended = threading.Event(), threading.Event()
    share = 0.0

    def endless(session, parameters, tell):
        begun.set()
        try:
            while True:
                time.sleep(0.01)
                tell(share)
        except Stopped:
            ended.set()
            raise

    monkeypatch.setitem(questions.QUESTIONS, "endless", questions.Question(Model, endless))
    with serving(checkpoint) as port:
        for share in (0.0, 0.5):  # noqa: B007 - before the first report of progress, and while reports are sent
            begun.clear(), ended.clear()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
            connection.request("POST", f"/{API}/endless", b"{}", {"Content-Type": "application/json"})
            assert begun.wait(300)
            assert not ended.wait(0.3)
            connection.close()
            assert ended.wait(300)


def test_answers_survive_the_wire():
    value = {
        "a": [1, None, "ä·"],
        "x": torch.arange(3.0),
        "n": torch.tensor([[1, -2]]),
        "big": torch.linspace(0, 1, 1000),
    }
    back = unpack(pack({**value, "nan": math.nan}))
    assert back["a"] == value["a"]
    assert back["nan"] is None
    assert torch.equal(back["x"], value["x"])
    assert torch.equal(back["n"], value["n"].int())
    assert (back["big"] - value["big"]).abs().max() < 5e-4  # half precision
    assert len(pack(value)) < 2400


def test_modules_are_joined_behind_what_they_import():
    modules = {
        "main.js": 'import { b as c, d } from "./sub/b.js";\nimport { a } from "./a.js";\nc(a, d);\n',
        "a.js": "export const a = 1;\n",
        "sub/b.js": 'import {\n  a,\n} from "../a.js";\nexport function b() {\n  return a;\n}\nexport class d {}\n',
    }
    script = join(modules, "main.js")
    assert script.index("const a = 1") < script.index("function b()") < script.index("c(a, d)")
    assert "const { b: c, d } = module1;" in script
    assert "return { b, d };" in script
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)
    for broken, words in [
        ({"main.js": 'import { x } from "./x.js";\n'}, "x.js, which is not there"),
        ({"main.js": 'import { x } from "./x.js";\n', "x.js": 'import { y } from "./main.js";\n'}, "circle"),
        ({"main.js": 'import x from "./x.js";\n', "x.js": ""}, "cannot be joined"),
        ({"main.js": "export default 3;\n"}, "cannot be joined"),
        ({"main.js": "const x = 1;\nexport { x };\n"}, "cannot be joined"),
        ({"main.js": 'const x = import("./x.js");\n'}, "cannot be joined"),
    ]:
        with pytest.raises(ValueError, match=words):
            join(broken, "main.js")


def test_every_module_of_the_page_is_used():
    script = join({p: c.decode() for p, (c, _) in files().items() if p.endswith(".js")}, "main.js")
    assert script.count("const module") == len(list(FOLDER.rglob("*.js")))


def test_a_model_whose_stream_is_no_sum_gets_one_sentence_in_place_of_attribution(checkpoint):
    small = replace(checkpoint.model.config, n_layer=2, n_embd=16, n_head=2)
    with serving(checkpoint._replace(model=build(small, {"name": "no-residuals"}))) as own:
        sentence = ask(own, "attribution", {**SCENE, "row": 4})
        assert sentence.startswith("exact attribution has no counterpart in this model")
        assert "use gpt2 explain off" in sentence
        shown = ask(own, "neurons", {**SCENE, "row": 4, "block": 1})  # all but their part in the logit
        assert {one["adds"] for one in shown["neurons"]} == {None}
