"""Two models on one page: the second one's answers are its own, and models that cannot be compared are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

import gpt2
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import Checkpoint
from gpt2.cli.explain.command import Overview
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.two import other_session
from tests.explained import shallow, storyteller
from tests.page_server import ask, request, serving

SCENE: dict[str, Any] = {"text": "The cat sat on the", "switches": {"0.head.1": "off"}}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    """Two models of the bundled tokenizer, of other weights and other sizes."""
    a = shallow(tmp_path_factory.mktemp("a") / "model")
    config = GPT2Config(vocab_size=a.model.config.vocab_size, n_positions=32, n_embd=32, n_layer=1, n_head=2)
    folder = gpt2.save(GPT2(config, seed=7), storyteller().tokenizer, tmp_path_factory.mktemp("b") / "model")
    return a, gpt2.load(str(folder))


def test_each_model_answers_for_itself(both: tuple[Checkpoint, Checkpoint]) -> None:
    a, b = both
    with serving(a, beside=b) as port:
        of_a, of_b = ask(port, "picture", SCENE), ask(port, "beside/picture", SCENE)
        assert ask(port, "model", {})["beside"] == {"name": b.name, "n_layer": 1, "n_head": 2}
        assert "no block 2" in ask(port, "beside/attention", {**SCENE, "block": 2})
    for checkpoint, found in ((a, of_a), (b, of_b)):
        question = QUESTIONS["picture"]
        asked = read_parameters(question, '{"text": "The cat sat on the", "switches": {"0.head.1": "off"}}')
        expected = question.answer(Session(checkpoint), asked, lambda *more: None)
        assert torch.equal(found["next"]["ids"], expected["next"]["ids"].int())
        assert torch.allclose(found["next"]["p"], expected["next"]["p"], atol=1e-6)
    assert of_a["tokens"] == of_b["tokens"]
    assert not torch.equal(of_a["next"]["ids"], of_b["next"]["ids"])


def test_a_page_of_one_model_says_so(both: tuple[Checkpoint, Checkpoint]) -> None:
    with serving(both[0]) as port:
        assert ask(port, "model", {})["beside"] is None
        status, _, body = request(port, "POST", "api/beside/picture", SCENE)
        assert (status, b"no second model" in body) == (404, True)


def test_a_model_that_reads_other_tokens_is_refused(both: tuple[Checkpoint, Checkpoint], tmp_path: Path) -> None:
    from benchmarks.random_model import make_checkpoint

    vocabulary = both[0].model.config.vocab_size
    make_checkpoint(
        tmp_path / "m", {"vocab_size": vocabulary, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 1}, 1
    )
    with pytest.raises(UsageError, match="different tokenizers, so their predictions are about different tokens"):
        other_session(Session(both[0]), gpt2.load(str(tmp_path / "m")))


def test_a_second_model_needs_the_served_page() -> None:
    with pytest.raises(UsageError, match="a page in a file holds one model"):
        Overview(text="a", html="page.html", beside="b").run()
    with pytest.raises(UsageError, match="add --page"):
        Overview(text="a", beside="b").run()
