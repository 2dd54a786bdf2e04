"""benchmarks/mutations.py: its cases can be repeated, its seeds are sound, and it judges as it says."""

import json
import warnings
from pathlib import Path

import pytest

from benchmarks.hostile.seeds import make_seeds
from benchmarks.mutations import judged, outcome, prepare_case
from gpt2.base.errors import UsageError


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_seeds(tmp_path_factory.mktemp("seeds"))


def contents(place: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(place.iterdir())}


def test_a_case_does_not_depend_on_those_before_it(seeds, tmp_path):
    """A value that was inserted and changed again was shared by all cases; one became a cycle without end."""
    alone = contents(prepare_case(seeds, tmp_path, 5, 771)[1])
    for case in range(700, 771):
        prepare_case(seeds, tmp_path, 5, case)
    assert contents(prepare_case(seeds, tmp_path, 5, 771)[1]) == alone


@pytest.mark.filterwarnings("ignore")
def test_sound_files_are_accepted_and_cut_ones_refused(seeds, tmp_path):
    for place in seeds.values():
        assert outcome(place)[0] == "accepted"
    _, place, _ = prepare_case(seeds, tmp_path, 0, 0)
    (place / "config.json").write_text(json.dumps({"n_embd": 10**9}))
    assert outcome(place)[0] == "refused"


def test_a_sentence_is_short_and_printable():
    assert judged("refused", UsageError("config.json is no object: fetch it again."))[0] == "refused"
    assert judged("refused", ValueError("x" * 5000))[0] == "WRONG"
    assert judged("refused", ValueError("a\x1b[31m"))[0] == "WRONG"
    assert judged("refused", RuntimeError("no sentence of ours"))[0] == "WRONG"
