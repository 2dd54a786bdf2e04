"""Every variant of `gpt2 ablate` as a live page: the engine gives what PyTorch does, or the page is refused by name.

All graphs are traced here; the models are tiny.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.page_answers import apart, forget_ties
from gpt2.ablation.models import VARIANTS, build
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import Checkpoint
from gpt2.config import GPT2Config
from gpt2.explain import reference
from gpt2.explain.live import averages, graphs
from gpt2.server.live import write_live
from gpt2.server.means import Means
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.text.tokenizer import Tokenizer
from tests.server.test_live import engine

DOCUMENTS = ["One day a dog found a red ball.", "Tom and Sue ran to the park, and they played."]
TEXT = "The cat saw Tom"
NOT_LIVE = {
    "post-norm": "the variant 'post-norm' is without a final norm: use gpt2 explain off",
    "no-norm": "the variant 'no-norm' is without ln_1, ln_2 and a final norm: use gpt2 explain off",
    "no-attention": "the variant 'no-attention' is without ln_1 and attention: use gpt2 explain off",
    "no-mlp": "the variant 'no-mlp' is without ln_2 and MLPs: use gpt2 explain off",
    "no-mask": "the variant 'no-mask' computes something else where it reads a text at once: write the still page",
}
LIVE = [name for name in VARIANTS if name not in NOT_LIVE]


def made(name: str, folder: Path) -> Checkpoint:
    """A variant with random weights, bytes as tokens."""
    tokenizer = Tokenizer.bytes()
    config = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=48, n_embd=12, n_layer=2, n_head=2)
    model, generator = build(config, {"name": name, "arguments": {}}), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter + 0.2 * torch.randn(parameter.shape, generator=generator)).half())
    return Checkpoint(model.eval(), tokenizer, name, folder)


def asked() -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for switches in ({}, {"1.head.1": "off", "0.mlp": "mean"}):
        scene = {"text": TEXT, "switches": switches}
        numbers = ["embed.pos", "embed.tok", "0.resid_mid", "1.resid_post", "1.ln_2.scale", "1.ln_1.out", "final.out"]
        numbers += ["final.scale", "1.mlp.post"]
        found += [
            ("picture", scene),
            ("lens", {**scene, "first": 0, "stop": 16}),
            ("head", {**scene, "block": 1, "head": 1}),
            ("attribution", {**scene, "row": 8}),
            ("attribution", {**scene, "row": 8, "of": "1.head.0"}),
            ("neurons", {**scene, "block": 1, "row": 5}),
            ("leave_one_out", {**scene, "components": "parts", "kind": "zero"}),
            *(
                ("calculation", {**scene, "address": a, "row": 6, "index": 0 if "scale" in a else 3}) for a in numbers
            ),
            ("continuation", {**scene, "tokens": 8, "temperature": 0.8, "top_p": 0.95, "seed": 1}),
        ]  # fmt: skip
    found += [("positions", {"count": 16}), ("neighbours", {"token": 100}), ("contexts", {"block": 1, "neuron": 5})]
    return found


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache folder of this test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(averages, "reference", lambda checkpoint: reference(checkpoint, DOCUMENTS))
        yield


@pytest.mark.parametrize("name", LIVE)
def test_the_engine_computes_a_variant_as_pytorch_does(name: str, node: str, kept: None, tmp_path: Path) -> None:
    checkpoint = made(name, tmp_path)
    means = Means(checkpoint)
    means.text = reference(checkpoint, DOCUMENTS)
    session = Session(checkpoint, means)
    for (question, parameters), found in zip(asked(), engine(node, tmp_path, session, asked()), strict=True):
        given = QUESTIONS[question], read_parameters(QUESTIONS[question], json.dumps(parameters))
        if "error" in found:
            with pytest.raises(UsageError, match=f"(?i)^{re.escape(found['error'])}$"):
                given[0].answer(session, given[1], lambda *a: None)
            continue
        expected = given[0].answer(session, given[1], lambda *a: None)
        for arcs in expected.get("arcs", {}):
            forget_ties(expected["arcs"][arcs], found["answer"]["arcs"][arcs])
        if question == "contexts":  # of a neuron that is often 0 the places are ties
            expected, found["answer"] = ({"active": one["active"]} for one in (expected, found["answer"]))
        assert apart(expected, found["answer"], f"{question} {parameters}") <= 1e-3


@pytest.mark.parametrize("name", NOT_LIVE)
def test_a_variant_that_cannot_be_live_is_refused_by_name(name: str, kept: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(NOT_LIVE[name])):
        write_live(made(name, tmp_path), TEXT, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_means_are_kept_by_the_variant(tmp_path: Path) -> None:
    """A variant may have the plain model's weights: it was given means of the plain model."""
    same = [made(name, tmp_path) for name in ("relu", "squared-relu", "unscaled-attention")]
    assert len({averages.weights_hash(one) for one in same}) == 1
    assert len({averages.key_of(one, reference(one, DOCUMENTS), ["attn.z"]) for one in same}) == 3


def test_a_graph_is_kept_by_its_variant() -> None:
    config = GPT2Config(vocab_size=31, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    keys = [graphs.key_of(build(config, variant)) for variant in (None, *({"name": name} for name in VARIANTS))]
    assert len({*keys}) == len(keys) == 15
    own = build(config)
    own.variant = {"name": "leaky-relu", "arguments": {}}
    assert graphs.key_of(own) == ""  # traced each time: its source may change
