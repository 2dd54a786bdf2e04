"""The number of threads: all of them alone, fewer beside another program, all again when it has gone."""

from pathlib import Path

import pytest

from gpt2.kernels import threads
from gpt2.kernels.threads import PASSES, PAUSE, Count


def run(count: Count, seconds: dict[int, float], windows: int) -> list[int]:
    """The number of threads in each of so many windows, where a pass takes so long on so many threads."""
    found = []
    for _ in range(windows):
        found.append(count.now)
        for _ in range(PASSES):
            count.took(seconds[count.now])
    return found


def test_alone_all_threads_but_one_trial() -> None:
    assert run(Count(2, lambda: 0.0), {2: 1.0, 1: 1.8}, 40) == [2, 1, 1] + [2] * 37


def test_beside_another_program_one_less_and_then_all_again() -> None:
    count = Count(2, lambda: 0.0)
    run(count, {2: 1.0, 1: 1.8}, 5)
    beside = run(count, {2: 4.0, 1: 1.9}, 3 * PAUSE)
    assert beside[-PAUSE:].count(1) >= PAUSE - 1
    assert 2 in beside[-PAUSE - 2 :]  # it is asked from time to time
    assert run(count, {2: 1.0, 1: 1.8}, 2 * PAUSE)[-2:] == [2, 2]


def test_a_core_that_has_nothing_to_do_is_tried_at_once() -> None:
    idle = [0.0]
    count = Count(2, lambda: idle[0])
    run(count, {2: 1.0, 1: 1.8}, 5)
    while count.now == 2 or count._wait < 2:
        run(count, {2: 4.0, 1: 1.9}, 1)
    idle[0] = 1.0
    assert run(count, {2: 1.0, 1: 1.8}, 4) == [1, 1, 2, 2]


def test_a_trial_that_failed_is_repeated_soon_and_then_rarely() -> None:
    count = Count(2, lambda: 0.0)
    run(count, {2: 1.0, 1: 1.8}, 5)
    assert 1 in run(count, {2: 4.0, 1: 5.0}, 3)
    assert 1 in run(count, {2: 4.0, 1: 5.0}, 6)
    late = run(count, {2: 4.0, 1: 5.0}, 200)[-100:]
    assert 0 < late.count(1) <= 10


def test_passes_right_after_a_change_are_not_counted() -> None:
    count = Count(2, lambda: 0.0)
    run(count, {2: 1.0, 1: 1.8}, 5)
    while count.now == 2:
        count.took(4.0)
    for seconds in (50.0, 50.0, 1.9, 1.9, 1.9, 1.9):
        count.took(seconds)
    assert count.now == 1


def test_idle_cores_are_read_from_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "STAT", tmp_path / "stat")
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 4)
    idle = threads.IdleCores()
    assert idle() == 0.0
    for line, want in (("cpu 10 0 0 100 0 0 0 0 0 0", 0.0), ("cpu 40 0 10 160 0 0 0 0 0 0", 2.4), ("cpu x", 0.0)):
        (tmp_path / "stat").write_text(line + "\ncpu0 1\n")
        assert idle() == pytest.approx(want)


def test_of_many_threads_as_many_as_help() -> None:
    count = Count(8, lambda: 0.0)
    found = run(count, {n: 1.0 if n == 5 else 1.0 + abs(n - 5) * 0.5 for n in range(1, 9)}, 60)
    assert found[-PAUSE:].count(5) >= PAUSE - 2


def test_one_thread_is_one_thread() -> None:
    assert run(Count(1, lambda: 0.0), {1: 1.0}, 5) == [1] * 5


def test_long_passes_take_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_counts", {(1, 3): Count(3)})
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 3)
    threads._counts[1, 3].now = 2
    with threads.of_pass(1) as found:
        assert found == threads.now() == 2
    with threads.of_pass(100) as found:
        assert found == threads.now() == 3
