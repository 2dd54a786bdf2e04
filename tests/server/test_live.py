"""The page's own engine, run by Node, against the server: every question, with and without switches, on one model.

The graph is traced from the model; so is the one that is shipped, which is compared on the bundled model.
"""

import gzip
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

import gpt2
from benchmarks.page_answers import apart, forget_ties
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import Checkpoint
from gpt2.config import GPT2Config
from gpt2.explain import reference
from gpt2.explain.live import averages, brought, graphs
from gpt2.explain.live.graph import OPERATIONS
from gpt2.model import GPT2
from gpt2.server.export import is_page
from gpt2.server.live import model_parts, stored_weights, write_live, write_site
from gpt2.server.means import Means
from gpt2.server.measured import ASKED as ASKED_OF_MANY
from gpt2.server.measured import measured
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.switches import SWITCHED
from tests.explained import storyteller

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
SCRIPT = Path(__file__).with_name("live_page.mjs")
DOCUMENTS = ["One day a dog found a red ball.", "Tom and Sue ran to the park, and they played."]
TEXT = "The cat saw Tom and the dog. The cat"
MEASURED = {"heads", "importance", "model"}  # on many texts, or what the file says of itself
LEFT_OUT = ("parts", "heads", "blocks")
SWITCHES: list[dict[str, str]] = [
    {},
    {"1.head.1": "off"},
    {"0.head.0": "mean", "0.head.1": "off", "1.mlp": "mean"},
    {"embed.pos": "off", "1.attn": "mean"},
    {"1.block": "off", "final.scale": "mean"},
    {"0.block": "mean", "1.mlp": "off", "1.ln_2.scale": "mean"},
    {"0.head.1": "double", "1.head.0": "half", "0.mlp": "double", "1.block": "half"},
]


NUMBERS = (
    "embed.tok embed.pos embed.out 1.resid_pre 1.ln_1.scale 1.ln_1.out 1.attn.q 1.attn.k 1.attn.v 1.attn.scores "
    "1.attn.pattern 1.attn.z 1.attn.out 1.resid_mid 1.ln_2.scale 1.ln_2.out 1.mlp.pre 1.mlp.post 1.mlp.out "
    "1.resid_post final.scale final.out logits probability"
).split()


def calculations(scene: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """One number of every step of the model."""
    inside = [address.split(".")[-1] in {"q", "k", "v", "scores", "pattern", "z"} for address in NUMBERS]
    return [
        (
            "calculation",
            {**scene, "address": a, "row": 6, "index": 0 if "scale" in a else 3, **({"head": 1} if i else {})},
        )
        for a, i in zip(NUMBERS, inside, strict=True)
    ]


def of_scenes() -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for switches in SWITCHES:
        scene = {"text": TEXT, "switches": switches}
        found += [
            ("picture", scene),
            ("lens", {**scene, "first": 0, "stop": 16}),
            ("lens", {**scene, "first": 3, "stop": 7}),
            ("attention", {**scene, "block": 1}),
            ("head", {**scene, "block": 1, "head": 1}),
            ("attribution", {**scene, "row": 8}),
            ("attribution", {**scene, "row": 4, "target": " the", "foil": "mean"}),
            ("attribution", {**scene, "row": 8, "of": "1.mlp"}),
            ("attribution", {**scene, "row": 8, "of": "1.head.0"}),
            ("neurons", {**scene, "block": 1, "row": 5}),
            *calculations(scene),
            *(("leave_one_out", {**scene, "components": c, "kind": k}) for c in LEFT_OUT for k in ("mean", "zero")),
            ("draw", {**scene, "row": 6, "temperature": 0.9, "top_k": 40, "top_p": 0.8, "seed": 5}),
            ("continuation", {**scene, "tokens": 8, "temperature": 0.8, "top_k": 0, "top_p": 0.95, "seed": 1}),
        ]
    return found


OTHERS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("patch", {"clean": "The cat saw Tom and the", "corrupt": "The dog saw Sue and the", "grid": g, "direction": d})
        for g, d in (("resid", "denoise"), ("attn", "noise"), ("mlp", "denoise"), ("head", "noise"))
    ),
    ("leave_one_out", {"text": "The", "switches": {"0.attn": "off"}}),  # one token has no loss
    ("positions", {"count": 16}),
    ("neighbours", {"token": 300}),
    *(("contexts", {"block": b, "neuron": n}) for b, n in ((1, 5), (0, 191), (2, 0), (1, 192))),
    ("continuation", {"text": TEXT * 6, "switches": {}, "tokens": 12, "temperature": 0, "seed": 0}),  # slides
    # what is refused
    ("picture", {"text": "", "switches": {}}),
    ("picture", {"text": "a b c d " * 20, "switches": {}}),
    ("leave_one_out", {"text": "", "switches": {}}),
    ("lens", {"text": TEXT, "switches": {}, "first": 40, "stop": 44}),
    ("attention", {"text": TEXT, "switches": {}, "block": 2}),
    ("head", {"text": TEXT, "switches": {}, "block": 1, "head": 2}),
    ("attribution", {"text": TEXT, "switches": {}, "row": 8, "target": " the", "foil": " the"}),
    ("draw", {"text": TEXT, "switches": {}, "row": 80}),
    ("patch", {"clean": "The cat", "corrupt": "The cat saw"}),
    ("patch", {"clean": "The cat", "corrupt": "The cat"}),
    ("neighbours", {"token": 9000}),
    *(
        ("calculation", {"text": TEXT, "switches": {}, "row": 6, "index": 3} | more)
        for more in (
            {"address": "1.attn.pattern", "head": 0, "index": 9},  # a later position
            {"address": "0.resid_pre"},
            {"address": "2.mlp.out"},
            {"address": "1.attn.q"},
            {"address": "1.mlp.out", "head": 1},
            {"address": "1.attn.q", "head": 2},
            {"address": "1.block"},
            {"address": "nonsense"},
            {"address": "1.mlp.out", "index": 48},
            {"address": "1.mlp.out", "row": 99},
            {"address": "1.ln_1.scale"},
        )
    ),
]
ASKED = of_scenes() + OTHERS


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache folder of this test's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(averages, "reference", lambda checkpoint: reference(checkpoint, DOCUMENTS))
        yield folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Two blocks of two heads, large random weights that fit into half precision, the bundled tokenizer."""
    tokenizer = storyteller().tokenizer
    config = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=64, n_embd=48, n_layer=2, n_head=2)
    model, generator = GPT2(config), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter + 0.15 * torch.randn(parameter.shape, generator=generator)).half())
    return gpt2.load(str(gpt2.save(model, tokenizer, tmp_path_factory.mktemp("small") / "model")))


@pytest.fixture(scope="module")
def session(checkpoint: Checkpoint) -> Session:
    means = Means(checkpoint)
    means.text = reference(checkpoint, DOCUMENTS)
    return Session(checkpoint, means)


def engine(node: str, folder: Path, session: Session, asked: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    (folder / "parts").write_bytes(model_parts(session))
    (folder / "weights").write_bytes(stored_weights(session))
    words = [node, str(SCRIPT), str(folder / "parts"), str(folder / "weights")]
    done = subprocess.run(words, input=json.dumps(asked), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def answers(node: str, kept: Path, session: Session, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return engine(node, tmp_path_factory.mktemp("page"), session, ASKED)


@pytest.mark.parametrize("number", range(len(ASKED)), ids=lambda n: f"{n}-{ASKED[n][0]}")
def test_the_engine_answers_what_the_server_answers(
    number: int, answers: list[dict[str, Any]], session: Session
) -> None:
    name, parameters = ASKED[number]
    question, found = QUESTIONS[name], answers[number]
    if "error" in found:
        with pytest.raises(UsageError, match=f"(?i)^{re.escape(found['error'])}$"):
            question.answer(session, read_parameters(question, json.dumps(parameters)), lambda *a: None)
        return
    expected = question.answer(session, read_parameters(question, json.dumps(parameters)), lambda *a: None)
    if name == "picture":
        for arcs in ("mean", "written"):
            forget_ties(expected["arcs"][arcs], found["answer"]["arcs"][arcs])
    if name == "contexts":
        expected["loss"] = None  # a file does not bring it
    assert apart(expected, found["answer"]) <= 1e-3


def test_every_question_is_asked_here_or_needs_many_texts() -> None:
    assert {name for name, _ in ASKED} | MEASURED == set(QUESTIONS)


def test_the_engine_has_the_operations_that_a_graph_may_name() -> None:
    source = (ROOT / "gpt2/server/web/engine/operations.js").read_text("utf-8")
    table = source.partition("export const OPERATIONS = {")[2].partition("\n};")[0]
    assert set(re.findall(r"^  (\w+): ", table, re.MULTILINE)) - {"item"} == set(OPERATIONS)


def test_what_is_shipped_is_the_bundled_models() -> None:
    """Where this fails: `python -m scripts.page_parts`."""
    shipped = json.loads(graphs.SHIPPED.read_text("utf-8"))
    checkpoint = storyteller()
    assert shipped["key"] == graphs.key_of(checkpoint.model)
    with averages.safetensors.safe_open(averages.SHIPPED, "pt") as file:
        assert file.metadata()["key"] == averages.key_of(checkpoint, reference(checkpoint), SWITCHED)


def test_what_was_measured_on_many_texts_is_brought_for_just_these_weights(session: Session) -> None:
    bundled = Session(storyteller())
    found = {(name, *parameters.values()): answer for name, parameters, answer in measured(bundled)}
    assert len(found) == len(ASKED_OF_MANY) == 7
    config = bundled.config
    assert len(found[("heads",)]["heads"]) == config.n_layer * config.n_head
    rows = found[("importance", "heads", "mean")]["rows"]
    assert {row["address"] for row in rows} == {*found[("heads",)]["heads"]}
    assert all(row["low"] <= row["change"] <= row["high"] for row in rows)
    assert list(measured(session)) == []


def test_the_shipped_graph_gives_the_bundled_models_predictions(node: str, tmp_path: Path) -> None:
    session = Session(storyteller())
    text = "Once upon a time there was a little girl named Lily. Lily had a red"
    asked = ("picture", {"text": text, "switches": {"3.head.7": "off"}})
    (found,) = engine(node, tmp_path, session, [asked])
    question = QUESTIONS["picture"]
    expected = question.answer(session, read_parameters(question, json.dumps(asked[1])), lambda *a: None)
    for name in ("norms", "writes", "scales", "top", "top_before", "losses", "losses_before", "next", "kl", "moved"):
        assert apart(expected[name], found["answer"][name], name) <= 1e-3


def test_the_file_holds_a_policy_and_nothing_of_a_hostile_prompt(
    kept: Path, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("gpt2.server.live.packed", lambda content: "")
    text = "</script><script>alert(1)</script>"
    path = write_live(checkpoint, text, tmp_path / "new" / "page.html")
    html = path.read_text("utf-8")
    assert is_page(path)
    assert "alert(1)" not in html
    policy = re.search(r'content-security-policy" content="([^"]*)"', html)
    assert policy is not None
    assert "default-src 'none'; script-src 'sha256-" in policy[1]
    assert re.findall(r"'[a-z-]*(?:eval|inline)'", policy[1]) == ["'wasm-unsafe-eval'"]
    assert not re.search(r"(?:src|href)=.?(?:https?:)?//", html)


def test_a_graph_and_means_are_kept(kept: Path, answers: Any, checkpoint: Checkpoint, monkeypatch: Any) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("made again")

    monkeypatch.setattr("gpt2.explain.live.graph.graph", refuse)
    monkeypatch.setattr(averages, "take", refuse)
    graphs.graph_of(checkpoint.model)
    averages.averages(checkpoint, SWITCHED)
    for path in (kept / "glassbox-gpt2" / "live").iterdir():
        path.write_bytes(path.read_bytes()[:-9])  # damaged: made again
    for make in (lambda: graphs.graph_of(checkpoint.model), lambda: averages.averages(checkpoint, SWITCHED)):
        with pytest.raises(AssertionError, match="made again"):
            make()


def test_a_site_is_written_anew_and_spares_what_is_not_its_own(
    kept: Path, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("gpt2.server.live.AT_ONCE", 150_000)
    target = write_site(checkpoint, TEXT, tmp_path / "site")
    html = (target / "index.html").read_text("utf-8")
    assert "connect-src 'self';" in html
    for name, first in (("parts", brought.parts), ("weights", brought.weights)):
        (files,) = re.findall(rf'id="{name}" data-files="([^"]*)" data-size="(\d+)"></script>', html)
        content = b"".join((target / piece).read_bytes() for piece in files[0].split())
        assert len(content) == int(files[1])
        if first is brought.weights:
            assert len(files[0].split()) > 1
            assert gzip.decompress(content) == brought.weights(checkpoint)
    before = {path.name for path in target.iterdir()}
    with torch.no_grad():
        checkpoint.model.transformer.ln_f.bias[0] += 1
    try:
        write_site(checkpoint, TEXT, target)
    finally:
        with torch.no_grad():
            checkpoint.model.transformer.ln_f.bias[0] -= 1
    after = {path.name for path in target.iterdir()}
    assert len(after) == len(before)
    assert {name for name in before if name.startswith("weights")}.isdisjoint(after)
    (target / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds notes\.txt, which is not part of a page that this program wrote"):
        write_site(checkpoint, TEXT, target)
