"""What the page's stories say, measured on the bundled model: each claim of each step, by the server's own answers.

The stories and their claims are the page's (gpt2/server/web/details/stories.js), read by Node with the page's own code.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from gpt2.checkpoint.files import Checkpoint
from gpt2.model import GPT2
from gpt2.server import jobs
from gpt2.server.means import Means
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from tests.explained import storyteller

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
STORIES = """
    await import("./tests/server/js/browser.js");
    const { STORIES } = await import("./gpt2/server/web/details/stories.js");
    const { measuresOf } = await import("./gpt2/server/web/details/claims.js");
    for (const story of STORIES) for (const step of story.steps) step.measures = measuresOf(step);
    console.log(JSON.stringify(STORIES));
"""


@pytest.fixture(scope="module")
def stories(node: str) -> list[dict[str, Any]]:
    words = [node, "--input-type=module", "-e", STORIES]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


class Run:
    """One run of a story: what the page asks the server, and the measures that claims.js takes from the answers."""

    def __init__(self, session: Session, text: str, switches: list[str]) -> None:
        self.session, self.scene = session, {"text": text, "switches": dict.fromkeys(switches, "off")}
        self.picture = self.ask("picture")

    def ask(self, name: str, **parameters: Any) -> dict[str, Any]:
        question = QUESTIONS[name]
        asked = read_parameters(question, json.dumps({**self.scene, **parameters}))
        found: dict[str, Any] = question.answer(self.session, asked, jobs.silent)
        return found

    def value(self, measure: str) -> Any:
        kind, *words = measure.split(" ")
        if kind in ("p", "before", "ptop", "top"):
            table, known = self.picture["next"], self.picture["words"]
            top = known[int(self.picture["top"][-1])]
            ids = [known[i] for i in table["ids"][-1].tolist()]
            word = top if kind in ("ptop", "top") else words[0]
            column = "p_before" if kind == "before" else "p"
            return top if kind == "top" else float(table[column][-1][ids.index(word)])
        if kind in ("loss", "lossbefore"):
            return float(self.picture["losses" if kind == "loss" else "losses_before"].mean())
        config = self.session.config
        if kind == "heads":
            return config.n_layer * config.n_head
        if kind == "sinks":
            return sum(int((self.ask("attention", block=l)["first"] > 0.5).sum()) for l in range(config.n_layer))
        block, _, head = words[0].split(".")
        if kind == "previous":
            return float(self.ask("attention", block=int(block))["previous"][int(head)])
        assert kind == "weight"
        pattern = self.ask("head", block=int(block), head=int(head))["pattern"][-1]
        return sum(float(x) for x, token in zip(pattern, self.picture["tokens"], strict=True) if token == words[1])


def holds(run: Run, claim: list[Any]) -> bool:
    left, comparison, right = claim
    value = run.value(left)
    if comparison == "=":
        return bool(value == right)
    other = run.value(right) if isinstance(right, str) else right
    return bool(value < other if comparison == "<" else value > other)


def session_of(checkpoint: Checkpoint) -> Session:
    return Session(checkpoint, Means(checkpoint))


def test_every_claim_of_every_story_holds_on_the_bundled_model(stories: list[dict[str, Any]]) -> None:
    session = session_of(storyteller())
    assert len(stories) >= 6
    for story in stories:
        assert 0 <= story["right"] < len(story["guesses"])
        for step in story["steps"]:
            run = Run(session, story["text"], step["switches"])
            assert step["claims"]
            for claim in step["claims"]:
                assert holds(run, claim), (story["name"], claim, run.value(claim[0]))
            for measure in step["measures"]:
                run.value(measure)  # a token that is not listed fails


def test_no_mlp_is_missed_more_than_the_first(stories: list[dict[str, Any]]) -> None:
    """The story compares three of them; its question is about all."""
    (story,) = [story for story in stories if story["name"] == "mlp"]
    session = session_of(storyteller())
    losses = [Run(session, story["text"], [f"{l}.mlp"]).value("loss") for l in range(session.config.n_layer)]
    assert max(losses) == losses[0] > 3 * sorted(losses)[-2]


def test_the_claims_are_not_so_on_every_model(stories: list[dict[str, Any]]) -> None:
    """On an untrained model of the same sizes each story claims something that is not so."""
    checkpoint = storyteller()
    torch.manual_seed(0)
    model = GPT2(checkpoint.model.config).eval()
    session = session_of(checkpoint._replace(model=model))
    for story in stories:
        step = story["steps"][0]
        run = Run(session, story["text"], step["switches"])
        with pytest.raises((AssertionError, ValueError)):  # ValueError: a token that is not among the likeliest
            assert all(holds(run, claim) for claim in step["claims"]), story["name"]
