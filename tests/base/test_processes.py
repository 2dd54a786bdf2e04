"""Processes that work for another one: what they answer, and that none outlives it."""

import operator
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from gpt2.base.errors import Failure
from gpt2.base.processes import Processes, _pickled

LOST = Failure("a process has ended", "try again.")


class OnlyHere(Exception):
    """An error that cannot be made from its text alone, as a user's may be."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_work_is_done_and_what_goes_wrong_is_told() -> None:
    with Processes(operator.floordiv, 1, LOST) as workers:
        assert [workers.submit(n, 2).result() for n in (7, 9)] == [3, 4]
        with pytest.raises(ZeroDivisionError):
            workers.submit(1, 0).result()
        workers._children[0].kill()
        with pytest.raises(Failure, match="a process has ended: try again"):
            workers.submit(1, 2).result()


def test_what_the_work_prints_is_no_answer() -> None:
    with Processes(os.write, 1, LOST) as workers:
        assert workers.submit(1, b"").result() == 0
        assert workers.submit(1, b" ").result() == 1


def test_an_error_that_no_other_process_can_read_keeps_its_words() -> None:
    import pickle

    found = pickle.loads(_pickled(OnlyHere(1, 2)))
    assert isinstance(found, RuntimeError)
    assert "1 and 2" in str(found)
    assert pickle.loads(_pickled({"a": 1})) == {"a": 1}


def test_one_that_is_busy_does_not_hold_up_the_end() -> None:
    with Processes(time.sleep, 1, LOST) as workers:
        workers.submit(0).result()
        busy = workers.submit(3600)
    assert busy.done()


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_processes_end_with_a_parent_that_is_killed() -> None:
    """They lived on, with all their memory, when `gpt2 ablate` was killed."""
    script = """
        import os, signal, time
        from gpt2.base.errors import Failure
        from gpt2.base.processes import Processes
        with Processes(time.sleep, 2, Failure("lost")) as workers:
            workers.submit(0).result()
            workers.submit(3600)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    # A busy process shares this error stream: it ends when the process has.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-c", textwrap.dedent(script)]
    killed = subprocess.run(words, stderr=subprocess.PIPE, env=environment)
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, b"")
