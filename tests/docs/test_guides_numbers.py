"""What the guides show is what the model gives now: commands' outputs, measured numbers, neighbours of five words.

Outputs are compared with the liberties of test_readme.py, numbers to 2%, since processors round differently. Their
texts and figures are held by test_guides.py.
"""

import json
import math

import pytest

from scripts.guides import neighbours
from scripts.guides.measure import numbers, output
from scripts.guides.render import MEASURED, NEIGHBOURS
from scripts.guides.subject import Subject
from tests.docs.test_readme import agrees

KEPT = json.loads(MEASURED.read_text("utf-8"))


@pytest.mark.parametrize("command", KEPT["outputs"])
def test_a_command_prints_what_the_guides_show(command):
    want, got = KEPT["outputs"][command].splitlines(), output(command).splitlines()
    assert len(want) == len(got)
    for a, b in zip(want, got):
        assert agrees(a, b), f"`{command}` now prints\n{b}\nin place of\n{a}"


def differences(want, got, where=""):
    """Places where two measurements differ by more than 2% (and 0.003), or at all where they are no decimals."""
    if isinstance(want, dict):
        assert list(want) == list(got), where
        return [d for key in want for d in differences(want[key], got[key], f"{where}.{key}")]
    if isinstance(want, list):
        assert len(want) == len(got), where
        return [d for i, pair in enumerate(zip(want, got)) for d in differences(*pair, f"{where}[{i}]")]
    if isinstance(want, float):
        return [] if math.isclose(want, got, rel_tol=0.02, abs_tol=0.003) else [(where, want, got)]
    return [] if want == got else [(where, want, got)]


def test_the_numbers_are_those_of_the_model():
    assert differences(KEPT["numbers"], numbers()) == []


def test_a_changed_number_is_found():
    assert differences({"a": [1.0, 2]}, {"a": [1.01, 2]}) == []
    assert differences({"a": [1.0, 2]}, {"a": [1.05, 2]}) == [(".a[0]", 1.0, 1.05)]
    assert differences({"a": [1.0, 2]}, {"a": [1.0, 3]}) == [(".a[1]", 2, 3)]


def test_first_and_last_neighbours_are_those_of_seed_and_model():
    entries = json.loads(NEIGHBOURS.read_text("utf-8"))["snapshots"]
    assert [e["step"] for e in entries] == sorted(e["step"] for e in entries)
    for want, got in zip((entries[0], entries[-1]), neighbours.ends(Subject.load(), entries[-1]["step"])):
        assert differences(want, got) == []
