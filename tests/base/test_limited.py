"""Foreign work in a process of its own: what waits is ended by the clock, as what computes is by its processor time."""

import os
import time

import pytest

from gpt2.base import limited
from gpt2.base.limited import Limited


@pytest.mark.skipif(os.name != "posix", reason="this system has no such limits")
def test_work_that_only_waits_is_ended_too(monkeypatch):
    """On a busy machine ten seconds of processor time were many minutes, without a word."""
    monkeypatch.setattr(limited, "CLOCK", 1)
    waiting = Limited(time.sleep, 2**30, lambda seconds: f"more than {seconds} seconds")
    with pytest.raises(ValueError, match=r"more than 0\.05 seconds"):
        waiting.ask(0.05, 600)
