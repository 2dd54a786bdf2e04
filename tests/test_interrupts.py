"""Signals, and memory that runs out."""

import os
import signal
import threading

import pytest
import torch

from gpt2.training.interrupts import STOPPING, StopSignals, explain_out_of_memory


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_one_stops(number: int) -> None:
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    said: list[str] = []
    with StopSignals(said.append) as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert said == [STOPPING]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_elsewhere_than_in_the_main_thread_nothing_is_caught() -> None:
    entered = []

    def enter() -> None:
        with StopSignals() as stop:
            entered.append(stop.requested)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [False]


def test_out_of_memory_names_the_options() -> None:
    """A CPU that is asked for 2^60 bytes, as PyTorch reports it."""
    with pytest.raises(ValueError, match=r"lower train\.micro_batch_size, now 8, to 4, or set train\.activation_check"):
        with explain_out_of_memory(8):
            torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"memory ran out: set train\.activation_checkpointing to true"):
        with explain_out_of_memory(1):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), explain_out_of_memory(8):
        torch.ones(2, 3) @ torch.ones(2, 3)
