"""The learning rate is a pure function of the recipe and the step."""

import math
from typing import Literal, get_args

import pytest

from gpt2.training.recipe import OptimRecipe
from gpt2.training.schedule import factor

Schedule = Literal["cosine", "linear", "constant", "wsd"]
SCHEDULES = get_args(Schedule)


def optim(schedule: Schedule, warmup_steps: int = 10, floor: float = 0.1, decay: float = 0.2) -> OptimRecipe:
    return OptimRecipe(schedule=schedule, warmup_steps=warmup_steps, floor=floor, decay=decay)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_then_down_to_the_floor_and_never_below(name: Schedule) -> None:
    values = [factor(optim(name), step, 100) for step in range(100)]
    assert values[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert values[10] == 1.0
    assert values[99] == pytest.approx(1.0 if name == "constant" else 0.1)
    assert values[10:] == sorted(values[10:], reverse=True)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 5, 9, 10, 11, 12, 1000])
@pytest.mark.parametrize("warmup_steps", [0, 1, 10, 11, 500])
def test_any_length_and_warm_up_stays_between_zero_and_the_peak(name: Schedule, steps: int, warmup_steps: int) -> None:
    """nanochat's fine-tuning drove its rate to -127 times the peak: past the end, with a warm-up beyond the run."""
    for decay in (0.0, 0.2, 1.0):
        for step in (*range(min(steps, 30)), steps - 1, steps, 10 * steps):
            value = factor(optim(name, warmup_steps, decay=decay), step, steps)
            assert 0 < value <= 1
            if step > max(steps, warmup_steps) and name in ("cosine", "linear"):
                assert value == pytest.approx(0.1)


def test_a_warm_up_longer_than_the_run_is_cut_off() -> None:
    assert [factor(optim("cosine", 10), step, 5) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_cosine_is_half_way_in_the_middle() -> None:
    assert factor(optim("cosine", 0, 0.0), 50, 101) == pytest.approx(0.5)
    assert factor(optim("cosine", 0, 0.0), 25, 101) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_wsd_is_stable_and_falls_in_its_share_of_the_steps() -> None:
    values = [factor(optim("wsd", 10, 0.0), step, 100) for step in range(100)]
    assert set(values[9:80]) == {1.0}
    assert values[79:] == pytest.approx([1 - i / 20 for i in range(21)])


def test_wsd_whose_fall_reaches_into_the_warm_up_begins_after_it() -> None:
    values = [factor(optim("wsd", 10, 0.0, decay=1.0), step, 20) for step in range(20)]
    assert values[9:11] == [1.0, 1.0]
    assert values[10:] == pytest.approx([1 - i / 9 for i in range(10)])


@pytest.mark.parametrize("name", ["constant", "wsd"])
def test_a_longer_run_has_the_same_beginning(name: Schedule) -> None:
    """What makes these two worth having: a run may be resumed with more steps, as if it had been planned so."""
    short, long = ([factor(optim(name), step, steps) for step in range(79)] for steps in (100, 400))
    assert short == long


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_resumed_with_another_length_the_rate_goes_to_where_the_new_length_has_it(name: Schedule) -> None:
    """At the border the rate may jump, to the value that the longer run has there, and it ends at the floor."""
    assert factor(optim(name), 99, 100) == pytest.approx(0.1)
    assert 0.1 < factor(optim(name), 100, 200) < 1
    assert factor(optim(name), 199, 200) == pytest.approx(0.1)
