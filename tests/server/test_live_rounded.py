"""A live page in 8 bits: its engine computes with the weights that the codes stand for, and it says what that costs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.page_answers import apart, forget_ties
from gpt2.checkpoint.files import Checkpoint
from gpt2.config import GPT2Config
from gpt2.explain import reference, trace
from gpt2.explain.live import averages, rounded
from gpt2.model import GPT2
from gpt2.server.export import is_page
from gpt2.server.live import Brings, write_live
from gpt2.server.measured import BEFORE, measured
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.text.tokenizer import Tokenizer
from tests.explained import storyteller
from tests.page_server import answers_of
from tests.server.test_live import engine

DOCUMENTS = ["One day a dog found a red ball.", "Tom and Sue ran to the park, and they played."]
TEXT = "The cat saw Tom"


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """One block, weights of unequal sizes that no half can hold, bytes as tokens; one row is all zeros."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(averages, "reference", lambda checkpoint: reference(checkpoint, DOCUMENTS))
    tokenizer = Tokenizer.bytes()
    model = GPT2(GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=32, n_embd=12, n_layer=1, n_head=2), seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
        model.transformer.h[0].mlp.c_fc.weight[3] = 0
        model.transformer.h[0].mlp.c_fc.weight[4, 0] = 50  # of a row with steps of its largest, not of its deviation
    return Checkpoint(model.eval(), tokenizer, "small", tmp_path)


def test_the_engine_computes_with_the_rounded_weights(node: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    made = rounded.rounded(checkpoint)
    session = Session(made.checkpoint)
    session.rounded = made
    asked = [("picture", {"text": TEXT, "switches": s}) for s in ({}, {"0.head.1": "off"})]
    asked.append(("calculation", {"text": TEXT, "switches": {}, "address": "0.mlp.pre", "row": 2, "index": 4}))
    for (name, parameters), found in zip(asked, engine(node, tmp_path, session, asked), strict=True):
        question = QUESTIONS[name]
        expected = question.answer(session, read_parameters(question, json.dumps(parameters)), lambda *a: None)
        for arcs in expected.get("arcs", {}):
            forget_ties(expected["arcs"][arcs], found["answer"]["arcs"][arcs])
        assert apart(expected, found["answer"]) <= 1e-4
    logits = [trace(one, TEXT).logits for one in (checkpoint, made.checkpoint)]
    assert (logits[0] - logits[1]).abs().max() > 1e-3  # so that what is compared above is not the model itself


def test_each_weight_is_at_most_half_a_step_away(checkpoint: Checkpoint) -> None:
    before = {name: value.clone() for name, value in checkpoint.model.state_dict().items()}
    made = rounded.rounded(checkpoint)
    after = made.checkpoint.model.state_dict()
    for name, weight in before.items():
        assert torch.equal(weight, checkpoint.model.state_dict()[name])
        if weight.dim() == 2:
            scale = torch.maximum(weight.square().mean(-1).sqrt() / 24, weight.abs().amax(-1) / 127)
            assert ((after[name] - weight).abs() <= 0.501 * scale[:, None]).all()
            codes = made.stored.get(name, made.stored["transformer.wte.weight"])
            assert codes.dtype == torch.int8
        else:
            assert torch.equal(after[name], weight.half().float())
    assert "lm_head.weight" not in made.stored  # tied: held once
    assert torch.equal(after["lm_head.weight"], after["transformer.wte.weight"])


def test_a_page_says_what_rounding_costs_where_it_was_measured(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def model(brings: Brings) -> tuple[dict[str, Any], dict[str, Any]]:
        path = write_live(checkpoint, TEXT, tmp_path / "page.html", brings=brings)
        assert is_page(path)
        answers = answers_of(path.read_text("utf-8"))
        return answers["model{}"], answers

    said, answers = model(Brings("int8"))
    assert said["rounding"] == {"kind": "int8", "costs": []}
    assert not [name for name in answers if name.startswith(("heads", "importance"))]
    assert model(Brings())[0]["rounding"] is None
    (tmp_path / "mine.txt").write_text("\n<|endoftext|>\n".join(DOCUMENTS))
    shares: list[float] = []
    path = write_live(
        checkpoint, TEXT, tmp_path / "page.html", lambda share=0.0, partial=None: shares.append(share),
        Brings("int8", tmp_path / "mine.txt"),
    )  # fmt: skip
    answers = answers_of(path.read_text("utf-8"))
    (cost,) = answers["model{}"]["rounding"]["costs"]
    assert (cost["text"], cost["documents"], cost["bytes"]) == ("mine.txt", 2, sum(map(len, DOCUMENTS)))
    assert 0 < abs(cost["after"] - cost["before"]) < 0.1
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    assert answers["heads{}"]["text"] == "mine.txt, 2 beginnings of up to 256 tokens"
    kinds = [name for name in answers if name.startswith("importance")]
    assert len(kinds) == 6
    assert all(answers[name]["text"].startswith("mine.txt") for name in kinds)


def test_the_bundled_models_cost_is_that_of_these_codes() -> None:
    """Where this fails: `python -m scripts.page_parts rounding TEXT ...`."""
    shipped = json.loads(rounded.SHIPPED.read_text("utf-8"))
    made = rounded.rounded(storyteller())
    assert (shipped["model"], shipped["rounded"]) == (made.original, averages.model_hash(made.checkpoint))
    costs = rounded.shipped_costs(made)
    assert [cost.text for cost in costs] == ["tinystories/val"]
    assert all(abs(cost.after - cost.before) < 0.005 for cost in costs)
    session = Session(made.checkpoint)
    session.rounded = made
    for name, _, answer in measured(session):
        assert answer["text"].endswith(BEFORE), name
    assert len(re.findall("stories", answer["text"])) == 1
