"""Commands that start in milliseconds: forks of this process, which has torch and the package in memory already.

In: the words of a command. Out: a process to send signals to, its exit code, what it said, and what outlives it.

Torch forks well as long as no thread runs here, so this process computes nothing. A command's own processes (those of
`gpt2 ablate`) are forks too, unless `real` asks for fresh ones; those of `gpt2 prepare` are always fresh. Whatever a
command leaves behind becomes a child of this process, which is how it is found (prctl(2), PR_SET_CHILD_SUBREAPER).
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpt2.base import processes
from gpt2.cli.main import main
from gpt2.data import encode

PR_SET_CHILD_SUBREAPER = 36
BATCH = 10_000  # characters: a small text has many batches then, as a large one would
PATIENCE = 10.0  # seconds until what is still there counts as left running


def become_reaper() -> None:
    """Have orphans below this process become its children. OSError where the system has no such thing."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this system does not give orphans to another process")


class Command:
    """`gpt2 WORDS`, running."""

    def __init__(self, words: Sequence[str], log: Path, real: bool = False) -> None:
        self.log = log
        log.write_bytes(b"")
        self.pid = os.fork()
        if self.pid == 0:
            _become(words, log, real)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, to this process alone."""
        os.kill(self.pid, number)

    def is_over(self) -> bool:
        """Whether it has ended (its exit code is still to be fetched)."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, seconds: float = 120.0) -> int:
        """Its exit code, negative for the signal that it died of. TimeoutError where it does not end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.is_over():
                return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            time.sleep(0.002)
        raise TimeoutError(f"process {self.pid} does not end: {self.said}")

    @property
    def said(self) -> str:
        """What it wrote, on both streams."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def outlived() -> tuple[float, int]:
    """Wait for what a command left: after how many seconds the last of it had ended, and how many had not by then.

    Those are killed.
    """
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        if not _children():
            return time.monotonic() - began, 0
        time.sleep(0.01)
    left = _children()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return PATIENCE, len(left)


def _children() -> list[int]:
    """This process's children that run; those that have ended are fetched."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
                found += [int(entry.name)] * (int(parent) == os.getpid())
    return found


def _become(words: Sequence[str], log: Path, real: bool) -> None:
    """Turn this fork into the command; does not return."""
    code: Any = 99
    try:
        os.setsid()
        _signals()
        out, nothing = os.open(log, os.O_WRONLY | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
        for handle, number in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(handle, number)
        sys.stdout, sys.stderr = (open(n, "w", encoding="utf-8", closefd=False) for n in (1, 2))  # noqa: SIM115
        encode.BATCH_CHARACTERS = BATCH
        if not real and words[0] == "ablate":
            processes.Processes._launch = _Fork  # type: ignore[method-assign, assignment]
        code = main(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as stop:
        code = stop.code
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 99)


def _signals() -> None:
    """Take signals as a command that was typed does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class _Fork:
    """A process of `gpt2 ablate` that is a fork, in the shape of a `subprocess.Popen`."""

    def __init__(self) -> None:
        theirs, write = os.pipe()
        read, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                os.close(write)
                os.close(read)
                os.dup2(theirs, 0)
                os.dup2(answers, 1)
                os.closerange(3, 256)
                for number in (signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115
                processes.serve()
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        os.close(theirs)
        os.close(answers)
        self.stdin, self.stdout = os.fdopen(write, "wb"), os.fdopen(read, "rb")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def communicate(self) -> None:
        with contextlib.suppress(OSError):
            self.stdin.close()
        self.stdout.close()
        os.waitpid(self.pid, 0)
