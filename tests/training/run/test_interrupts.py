"""Signals, and memory that runs out."""

import os
import signal
import threading
from typing import Any

import pytest
import torch

from gpt2.training.recipe import TrainRecipe
from gpt2.training.run.interrupts import STOPPING, StopSignals, explain_out_of_memory, savers

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_and_the_second_one_stops(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that closes sends SIGHUP twice: within a second the second one is the first one again."""
    before = [signal.getsignal(s) for s in SIGNALS]
    monkeypatch.setattr(os, "isatty", lambda handle: False)
    clock = [100.0]
    monkeypatch.setattr("gpt2.training.run.interrupts.time.monotonic", lambda: clock[0])
    said: list[str] = []
    with StopSignals(said.append) as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert said == [STOPPING]
        assert stop.code == 128 + number
        if number != signal.SIGINT:
            os.kill(os.getpid(), number)
        clock[0] += 2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert [signal.getsignal(s) for s in SIGNALS] == before


def test_a_signal_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_elsewhere_than_in_the_main_thread_nothing_is_caught() -> None:
    entered = []

    def enter() -> None:
        with StopSignals() as stop:
            entered.append(stop.requested)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [False]


@pytest.mark.parametrize("train, rows, context, options, said", [
    (TrainRecipe(), 8, 64, {},
     "lower train.micro_batch_size, now 8, to 4 (the batch stays the same), or set train.activation_checkpointing to "
     "true, or lower train.context, now 64, to 32"),
    (TrainRecipe(), 1, 64, {}, "set train.activation_checkpointing to true, or lower train.context, now 64, to 32"),
    (TrainRecipe(activation_checkpointing=True), 1, 64, {}, "lower train.context, now 64, to 32"),
    (TrainRecipe(activation_checkpointing=True), 2, 64, {"bf16": True},
     "lower train.micro_batch_size, now 2, to 1 (the batch stays the same), or set train.dtype to bfloat16, or lower "
     "train.context, now 64, to 32"),
    (TrainRecipe(activation_checkpointing=True), 1, 64, {"processes": 2},
     "set train.parallel to fsdp, or lower train.context, now 64, to 32"),
    (TrainRecipe(activation_checkpointing=True, parallel="fsdp"), 1, 64, {"processes": 2},
     "lower train.context, now 64, to 32"),
    (TrainRecipe(activation_checkpointing=True, dtype="float16"), 1, 64, {"processes": 2},
     "lower train.context, now 64, to 32"),
    (TrainRecipe(activation_checkpointing=True), 1, 1, {}, "choose a smaller model"),
])  # fmt: skip
def test_what_still_saves_memory(
    train: TrainRecipe, rows: int, context: int, options: dict[str, Any], said: str
) -> None:
    """Nothing that is on already: the sentence once asked for activation checkpointing of a run that had it."""
    mends = savers(train, rows, context, **options)
    with pytest.raises(ValueError) as error, explain_out_of_memory(mends):
        raise MemoryError
    assert str(error.value) == f"memory ran out: {said}."
    assert "" in mends or all(f"{{{name}}}" in mend for name, mend in mends.items())


def test_out_of_memory_names_the_options() -> None:
    """A CPU that is asked for 2^60 bytes, as PyTorch reports it; and a GPU."""
    with pytest.raises(ValueError, match=r"^memory ran out: lower this, or that\.$"):
        with explain_out_of_memory({"this": "lower {this}", "": "that"}):
            torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"^memory ran out: lower this\.$"):
        with explain_out_of_memory({"this": "lower {this}"}):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_other_errors_pass() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        explain_out_of_memory({"this": "lower {this}"}),
    ):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_a_signal_in_the_middle_of_a_line_that_is_printed() -> None:
    """Python refuses to write to a stream that is being written: that once ended the command with a traceback."""

    def say(sentence: str) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    with StopSignals(say) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
