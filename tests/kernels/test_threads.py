"""The number of threads: all of them alone, fewer beside another program, all again when it has gone."""

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
    assert run(Count(2), {2: 1.0, 1: 1.8}, 40) == [2, 1] + [2] * 38


def test_beside_another_program_one_less_and_then_all_again() -> None:
    count = Count(2)
    run(count, {2: 1.0, 1: 1.8}, 5)
    beside = run(count, {2: 4.0, 1: 1.9}, 3 * PAUSE)
    assert beside[-PAUSE:].count(1) >= PAUSE - 1
    assert 2 in beside[-PAUSE - 2 :]  # it is asked from time to time
    assert run(count, {2: 1.0, 1: 1.8}, 2 * PAUSE)[-2:] == [2, 2]


def test_of_many_threads_as_many_as_help() -> None:
    count = Count(8)
    found = run(count, {n: 1.0 if n == 5 else 1.0 + abs(n - 5) * 0.5 for n in range(1, 9)}, 60)
    assert found[-PAUSE:].count(5) >= PAUSE - 2


def test_one_thread_is_one_thread() -> None:
    assert run(Count(1), {1: 1.0}, 5) == [1] * 5


def test_long_passes_take_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_counts", {(1, 3): Count(3)})
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 3)
    threads._counts[1, 3].now = 2
    with threads.of_pass(1) as found:
        assert found == threads.now() == 2
    with threads.of_pass(100) as found:
        assert found == threads.now() == 3
