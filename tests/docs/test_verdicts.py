"""The one rule for verdicts: three regions, settings that agree or do not, shares."""

import pytest

from gpt2.ablation.conduct import read_records
from scripts.guides.verdicts import (
    SMALLEST,
    Interval,
    depending,
    interaction,
    of_cases,
    of_difference,
    of_settings,
    of_share,
)
from tests.docs.test_readme import ROOT


def setting(mean, half, where="a", n=4):
    """A setting whose seeds lie around `mean`."""
    differences = tuple(mean + half * (k - (n - 1) / 2) / n for k in range(n))
    return Interval(mean, mean - half, mean + half, where, differences)


@pytest.mark.parametrize(
    "low, high, verdict",
    [
        (0.03, 0.5, "holds"), (0.02, 0.5, "holds"), (0.01, 0.5, "undecided"), (-0.5, 0.5, "undecided"),
        (-0.01, 0.019, "too small to matter"), (0.001, 0.015, "too small to matter"),
        (-0.04, -0.01, "fails"), (-0.5, -0.1, "fails"), (-0.04, 0.01, "fails"),
        (float("-inf"), float("inf"), "undecided"),
    ],
)  # fmt: skip
def test_the_whole_interval_decides(low, high, verdict):
    assert of_difference(Interval((low + high) / 2, low, high), "higher") == verdict
    assert of_difference(Interval(-(low + high) / 2, -high, -low), "lower") == verdict


def test_where_there_is_no_room_for_an_effect_nothing_is_decided():
    found = setting(-0.005, 0.004)
    assert of_difference(found, "lower") == "too small to matter"
    assert of_difference(found, "lower", room=0.011) == of_settings([found], "lower", room=0.011) == "undecided"
    assert of_difference(found, "lower", room=0.02) == "too small to matter"


@pytest.mark.parametrize(
    "so, verdict",
    [
        ([True, True], "holds"), ([False, False], "fails"), ([True, False], "depends"), ([True, None], "undecided"),
        ([True, False, None], "depends"), ([None], "undecided"), ([], "undecided"),
    ],
)  # fmt: skip
def test_a_statement_without_a_moment_is_judged_at_each(so, verdict):
    assert of_cases([(f"case {i}", one) for i, one in enumerate(so)]) == verdict


def test_settings_that_agree_and_settings_that_are_noisy():
    assert of_settings([setting(0.1, 0.01), setting(0.5, 0.01, "b")], "higher") == "holds"
    assert of_settings([setting(0.1, 0.01), setting(0.1, 0.3, "b")], "higher") == "holds"
    assert of_settings([setting(0.1, 0.3)], "higher") == "undecided"
    assert of_settings([], "higher") == "undecided"


def test_it_depends_only_on_opposite_signs_or_an_interaction():
    one, other = setting(0.1, 0.01), setting(-0.1, 0.01, "b")
    assert of_settings([one, other], "higher") == "depends"
    assert depending([one, other], ["holds", "fails"]) == ("a", "b")
    small = setting(0.005, 0.01, "b")
    assert of_settings([one, small], "higher") == "depends"  # holds and too small, and the interaction excludes 0
    assert interaction(one, small).low > 0
    unsure = Interval(0.05, 0.021, 0.079, "a", (-0.2, 0.3))
    assert of_settings([unsure, small], "higher") == "undecided"
    # a larger and a smaller effect that both hold: one verdict, whatever the interaction
    assert of_settings([setting(0.1, 0.01), setting(2.0, 0.01, "b")], "higher") == "holds"


def test_the_reason_for_the_smallest_effect_is_what_the_study_measured():
    records = read_records(ROOT / "results" / "ablation" / "minute.jsonl").values()
    plain = [r for r in records if r["contestant"] == "baseline"]
    one, two = (
        [r["val_loss"] for r in plain if (r["purpose"], r["share"]) == kind] for kind in (("report", 1), ("budget", 2))
    )
    assert len(one) == len(two) == 10
    gain = (sum(one) - sum(two)) / 10  # of twice the text
    assert gain == pytest.approx(0.286, abs=0.0005)
    assert 2 ** (SMALLEST / gain) == pytest.approx(1.05, abs=0.002)


def test_shares_have_one_threshold():
    assert [of_share(0.81, 0.9), of_share(0.6, 0.7), of_share(0.7, 0.9)] == ["holds", "fails", "undecided"]
