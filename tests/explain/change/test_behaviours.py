"""Behaviours: accuracy comes first, and what a model lacks is not explained."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gpt2 import load
from gpt2.checkpoint.files import Checkpoint
from gpt2.explain.change.behaviours import Behaviours, behaviours
from gpt2.explain.change.off import excerpt
from gpt2.explain.change.pairs import BUNDLED
from gpt2.explain.run.reference import reference

NAMES = (("Lily", "Tom"), ("Mary", "John"))


def write(path: Path, records: Sequence[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.fixture(scope="module")
def storyteller() -> Checkpoint:
    return load("storyteller")


@pytest.fixture(scope="module")
def result(storyteller: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Behaviours:
    """One that a story model has (she for a girl), and one that no model has (its answers are turned around)."""
    directory = tmp_path_factory.mktemp("pairs")
    prompts = ["Everyone in the village liked {} because", "When the lamp went out, {} was not afraid, for"]
    has = [
        {"clean": p.format(a), "corrupt": p.format(b), "target": t, "foil": f}
        for p in prompts for girl, boy in NAMES
        for a, b, t, f in ((girl, boy, " she", " he"), (boy, girl, " he", " she"))
    ]  # fmt: skip
    lacks = [{**record, "target": record["foil"], "foil": record["target"]} for record in has]
    means = excerpt(storyteller, reference(storyteller), 2, 48)
    files = write(directory / "has.jsonl", has), write(directory / "lacks.jsonl", lacks)
    return behaviours(storyteller, files, means)


def test_accuracy_comes_first(result: Behaviours) -> None:
    has, lacks = result.sets
    assert has.accuracy.clean.low.item() > 0.5 > lacks.accuracy.clean.high.item()
    assert None not in (has.adds, has.off, has.patch)
    assert (lacks.adds, lacks.off, lacks.patch) == (None, None, None)
    assert "not above chance" in str(result)
    data = result.to_dict()
    assert data[lacks.name]["patch"] is None
    assert data[has.name]["accuracy"]["clean"]["value"] == has.accuracy.clean.value.item()


def test_the_three_explanations_are_of_the_same_pairs(result: Behaviours) -> None:
    has = result.sets[0]
    lead = has.accuracy.lead.value.item()
    assert has.adds.lead.value.item() == pytest.approx(lead, abs=1e-3)
    assert has.adds.values.value.sum().item() == pytest.approx(lead, abs=1e-3)
    assert has.off.lead.value.item() == pytest.approx(lead, abs=1e-3)
    assert has.adds.n == has.off.n == has.patch.n + has.patch.left_out == 8
    assert has.patch.places.value[0, 0].item() == pytest.approx(1, abs=1e-3)


def test_it_shows_itself(result: Behaviours) -> None:
    has = result.sets[0]
    assert has.patch.top(1)[0].split()[0] in str(result)
    assert len(result.plot().axes) == 3  # a grid with its scale, and a note
    for one in (has.adds, has.off):
        assert f"{one.names[one.order[0]]}" in str(one)
        assert len(one.plot().axes) == 1
    assert len(has.patch.plot().axes) == 4
    assert len(has.off.to_dict()["effects"]) == len(has.off.names)


def test_bundled_sets_are_there() -> None:
    assert sorted(path.stem for path in BUNDLED.glob("*.jsonl")) == ["name", "pronoun", "quote", "verb"]
