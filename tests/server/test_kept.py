"""What is kept between questions: counted as it is, within the budget, and made once."""

import threading

import pytest
import torch

from gpt2.base.held import held
from gpt2.base.stopping import Stopped, check, stoppable, turn
from gpt2.server.kept import Kept


def test_a_tensor_counts_with_its_whole_storage_and_once():
    x = torch.zeros(1000)
    assert held(x) == 4000
    assert held([x[:1], x[500:], {"a": x}]) - held([None, None, {"a": None}]) == 4000 - 3 * 64
    assert held(torch.nn.Linear(100, 100)) == 0
    assert held((x, "text"), apart_from=(x,)) < 300


def test_the_oldest_leave_and_what_is_too_large_is_not_kept():
    kept = Kept(budget=10_000)
    made = []

    def make(name, n):
        return lambda: made.append(name) or torch.zeros(n)

    for name in ("a", "b", "a", "c", "b"):  # a was used after b
        kept.get(name, make(name, 1000))
        assert kept.size <= 10_000
    assert made == ["a", "b", "c", "b"]
    for _ in range(2):
        assert kept.get("large", make("large", 5000)).numel() == 5000
    assert made[4:] == ["large", "large"]
    assert kept.size <= 10_000


def test_several_who_ask_together_wait_for_one():
    kept, begun, go, made, found = Kept(10_000), threading.Event(), threading.Event(), [], []

    def make():
        made.append(1)
        begun.set()
        go.wait(60)
        return 7

    threads = [threading.Thread(target=lambda: found.append(kept.get("a", make))) for _ in range(3)]
    threads[0].start()
    assert begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(60)
    assert (made, found) == ([1], [7, 7, 7])


def test_what_a_stopped_one_left_is_made_by_the_next():
    kept = Kept(10_000)

    def stopped():
        raise Stopped

    with pytest.raises(Stopped):
        kept.get("a", stopped)
    assert kept.get("a", lambda: 3) == 3


def test_a_computation_stops_at_its_next_operation():
    stop, x = threading.Event(), torch.randn(5, 5)
    with stoppable(stop):
        assert torch.equal(torch.nn.functional.linear(x, x).softmax(-1), (x @ x.T).softmax(-1))
        check()
        stop.set()
        with pytest.raises(Stopped):
            x + 1
        with pytest.raises(Stopped):
            check()
    assert (x + 1).shape == x.shape
    check()


def test_who_waits_for_a_lock_stops_too():
    stop, lock = threading.Event(), threading.Lock()
    stop.set()
    with lock, stoppable(stop), pytest.raises(Stopped), turn(lock):
        pass
    with turn(lock):
        assert lock.locked()
    assert not lock.locked()
