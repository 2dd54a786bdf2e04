"""The page of one run: every answer in it is the server's, within 0.5 %, as Python and as the page's script read it."""

import gzip
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.page_answers import apart
from gpt2.checkpoint.files import Checkpoint
from gpt2.server import export
from gpt2.server.answers.lens import unchanged
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.switches import components, states
from tests.explained import shallow
from tests.page_server import answers_of, bytes_of

TEXT = "The cat sat on the cat and"
SCRIPT = Path(__file__).with_name("still_page.mjs")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return shallow(tmp_path_factory.mktemp("shallow") / "model")


@pytest.fixture(scope="module")
def html(checkpoint: Checkpoint) -> str:
    ask = export.Export(text=TEXT, corrupt="The dog sat on the dog and", switches={"0.head.1": "off", "1.mlp": "half"})
    return export.page_html(Session(checkpoint), ask, lambda *a: None)


def as_a_browser(value: Any) -> Any:
    """An answer with tensors as `apart` compares one."""
    if isinstance(value, torch.Tensor):
        numbers = value.flatten().tolist()
        return {"data": numbers, "shape": list(value.shape), "whole": not value.is_floating_point()}
    if isinstance(value, dict):
        return {key: as_a_browser(item) for key, item in value.items()}
    return [as_a_browser(item) for item in value] if isinstance(value, list) else value


def arcs_drawn(arcs: Any) -> dict[tuple[int, int, int], float]:
    """The arcs that the page draws or tells a number of, by block, row and source."""
    return {
        (l, i, int(j)): float(w)
        for l, block in enumerate(arcs["from"].tolist())
        for i, row in enumerate(block)
        for j, w in zip(row, arcs["weight"][l, i].tolist(), strict=True)
        if w >= 0.02 or (j == 0 and w > 0.001)
    }


def test_every_answer_of_a_still_page_is_the_servers(checkpoint: Checkpoint, html: str) -> None:
    session = Session(checkpoint)
    read = answers_of(html)
    assert len(read) > 200
    for name, found in read.items():
        question, _, parameters = name.partition("{")
        asked = read_parameters(QUESTIONS[question], "{" + parameters)
        expected = QUESTIONS[question].answer(session, asked, lambda *a: None)
        if question == "picture":
            for kind in ("mean", "written"):
                ours, theirs = arcs_drawn(found["arcs"].pop(kind)), arcs_drawn(expected["arcs"].pop(kind))
                for arc in ours.keys() | theirs.keys():  # one on the edge of being drawn may be in one of them only
                    assert abs(ours.get(arc, 0.02) - theirs.get(arc, 0.02)) <= 1.1e-3
            # tokens of equal chance may change places where their chances are the same in half precision
            assert (found["next"].pop("ids") == expected["next"].pop("ids")).float().mean() > 0.98
        if question in ("picture", "lens"):
            assert {int(i): w for i, w in found.pop("words").items()} == expected.pop("words")
        if question == "lens":  # a batch may rank two tokens of the same chance the other way round
            assert (found.pop("rank") - expected.pop("rank")).abs().max() <= 1
        assert apart(expected, as_a_browser(found), name) <= 5e-3, name


def test_the_page_reads_its_answers_as_python_does(node: str, html: str, tmp_path: Path) -> None:
    inside = re.search(r'id="data">([^<]*)</script>', html)
    assert inside is not None
    (tmp_path / "data").write_bytes(gzip.decompress(bytes_of(inside[1])))
    expected = answers_of(html)
    done = subprocess.run(
        [node, str(SCRIPT), str(tmp_path / "data")], input=json.dumps(list(expected)), capture_output=True, text=True,
        encoding="utf-8", check=True,
    )  # fmt: skip

    def same(ours: Any, theirs: Any, name: str) -> None:
        if isinstance(ours, torch.Tensor):
            assert list(ours.shape) == theirs["shape"], name
            numbers = torch.tensor([torch.nan if x is None else x for x in theirs["data"]]).view(ours.shape)
            assert torch.allclose(ours.float(), numbers.float(), rtol=1e-6, atol=0, equal_nan=True), name
        elif isinstance(ours, dict):
            assert ours.keys() == theirs.keys(), name
            for key, value in ours.items():
                same(value, theirs[key], f"{name}.{key}")
        elif isinstance(ours, list):
            for one, other in zip(ours, theirs, strict=True):
                same(one, other, name)
        else:
            assert ours == theirs, name

    for (name, ours), theirs in zip(expected.items(), json.loads(done.stdout), strict=True):
        same(ours, theirs, name)


def test_what_lies_before_a_switch_is_what_it_was(checkpoint: Checkpoint) -> None:
    """The lens reads only what `unchanged` does not name: each point before it must be the plain run's."""
    session, config = Session(checkpoint), checkpoint.model.config
    ids = session.encode(TEXT)
    before = session.look(ids, {})
    for address in components(config):
        now = session.look(ids, {address: states(address)[-1]})
        same = [torch.equal(now.stream(p), before.stream(p)) for p in now.points]
        assert all(same[: unchanged(config.n_layer, {address: "off"})]), address


def test_a_still_page_brings_no_engine(html: str) -> None:
    script = html.rpartition("<script>")[2]
    assert "WebAssembly" not in script
    assert "This needs the model, and this file holds one run." in script
