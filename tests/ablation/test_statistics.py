"""Statistics of the ablation study, against scipy and worked examples."""

import math

import numpy as np
import pytest
from scipy import stats

from gpt2.ablation.statistics import Difference, equal_tokens, holm, paired, region, verdict

RNG = np.random.default_rng(1)
BASE = RNG.normal(2.0, 0.05, 10)
OTHER = BASE + RNG.normal(0.03, 0.02, 10)


def test_paired_interval_and_p_value_are_those_of_scipy() -> None:
    d = paired(OTHER.tolist(), BASE.tolist())
    reference = stats.ttest_rel(OTHER, BASE)
    interval = reference.confidence_interval(0.95)
    assert (d.low, d.high, d.p) == pytest.approx((interval.low, interval.high, reference.pvalue))
    assert d.mean == pytest.approx((OTHER - BASE).mean())
    assert d.pairs == 10


def test_a_family_of_intervals_is_wider_and_covers_together() -> None:
    interval = stats.ttest_rel(OTHER, BASE).confidence_interval(1 - 0.05 / 8)
    d = paired(OTHER.tolist(), BASE.tolist(), family=8)
    assert (d.low, d.high) == pytest.approx((interval.low, interval.high))
    studies = RNG.normal(size=(400, 8, 5))  # eight true differences of 0 in each
    covered = [all((x := paired(row, [0.0] * 5, family=8)).low <= 0 <= x.high for row in study) for study in studies]
    assert np.mean(covered) > 0.92


def test_one_pair_says_nothing_and_what_diverged_is_refused() -> None:
    assert paired([1.0], [0.5]) == Difference(0.5, -math.inf, math.inf, 1.0, 1)
    with pytest.raises(ValueError, match="not finite"):
        paired([1.0, math.nan], [0.5, 0.5])
    with pytest.raises(ValueError, match="do not make pairs"):
        paired([1.0], [0.5, 0.5])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    ("low", "high", "expectation", "says"),
    [
        (0.06, 0.2, ">= 0.05", "hit"),
        (0.01, 0.2, ">= 0.05", "undecided"),
        (-0.2, 0.04, ">= 0.05", "miss"),
        (-0.2, -0.06, "<= -0.05", "hit"),
        (-0.04, 0.2, "<= -0.05", "miss"),
        (-0.2, 0.01, "<= -0.05", "undecided"),
        (-0.01, 0.015, "within 0.02", "hit"),
        (-0.01, 0.03, "within 0.02", "undecided"),
        (0.03, 0.05, "within 0.02", "miss"),
        (-math.inf, math.inf, ">= 0.05", "undecided"),
    ],
)
def test_verdicts(low: float, high: float, expectation: str, says: str) -> None:
    assert verdict(Difference((low + high) / 2, low, high, 0.5, 5), expectation) == says


def test_an_expectation_is_spelt_in_one_of_three_ways() -> None:
    for wrong in ("> 0.5", ">= much", "", "within"):
        with pytest.raises(ValueError, match="is not '>= NUMBER'"):
            region(wrong)


def test_equal_tokens_reads_between_completed_budgets_and_never_beyond() -> None:
    budgets = [(1.0, 2.0), (0.5, 2.2), (2.0, 1.9)]
    assert equal_tokens(2.0, budgets)[0] == pytest.approx(1.0)
    assert equal_tokens(2.1, budgets)[0] == pytest.approx(math.sqrt(0.5))
    assert equal_tokens(2.1, budgets)[1] == "the plain model reaches this loss with 0.71 of the tokens"
    assert equal_tokens(1.95, budgets)[1] == "the plain model reaches this loss with 1.41 times the tokens"
    assert "less than 0.5 of" in equal_tokens(3.0, budgets)[1]
    assert "more than 2 times" in equal_tokens(1.0, budgets)[1]
    with pytest.raises(ValueError, match="does not fall"):
        equal_tokens(2.0, [(0.5, 2.0), (1.0, 2.1)])
