"""A few dozen cases of the oracle, and what the generator itself must hold; `python -m tests.oracle` runs thousands."""

from pathlib import Path

import torch

from tests.oracle import configs, faults
from tests.oracle.__main__ import run
from tests.oracle.generator import DECK, build, cards
from tests.oracle.report import bad, table

CASES = 30


def test_cases_are_equal_to_transformers_and_peft_or_refused_by_name(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = list(run(1, range(CASES), tmp_path))
    finally:
        torch.set_num_threads(threads)
    assert not [row for row in rows if bad(row)], table(rows)
    family = [row for row in rows if row.family and not row.theirs]
    assert sum(row.outcome == "equal" for row in family) >= 0.9 * len(family), table(rows)


def test_a_case_is_a_function_of_its_seed_and_number(tmp_path: Path) -> None:
    one, other = (build(3, 11, tmp_path / name) for name in ("one", "other"))
    assert one.drawn == other.drawn
    for path in sorted(one.base.iterdir()):
        assert path.read_bytes() == (other.base / path.name).read_bytes(), path.name


def test_every_odd_field_comes_up_fifty_times_in_two_thousand_cases() -> None:
    drawn = [name for number in range(2000) for name in cards(0, number)]
    assert min(drawn.count(name) for name in DECK) >= 50


def test_there_are_twenty_faults_and_the_family_has_twenty_two_activations() -> None:
    assert len(faults.ALL) >= 20
    assert len(configs.ACTIVATIONS) == 22
