"""A command that a signal ends: its exit code, its sentence, and no traceback."""

import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from gpt2.cli import terminal, tokenize
from gpt2.cli.main import main
from gpt2.cli.terminal import Ended, EndingSignals

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no such signals")


def get(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], int]:
    """`gpt2 tokenize` with other work to do."""

    def run(work: Callable[[], None]) -> int:
        monkeypatch.setattr(tokenize.Command, "run", lambda self: work())
        return main(["tokenize", "text"])

    return run


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_it_ends_with_one_sentence(
    running: Callable[[Callable[[], None]], int], name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = []

    def work() -> None:
        try:
            get(signal.Signals[name])
        finally:
            ended.append(True)

    assert running(work) == code
    assert capsys.readouterr() == ("", f"gpt2: ended by {name}.\n")
    assert ended == [True]
    assert signal.getsignal(signal.Signals[name]) == signal.SIG_DFL


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_what_a_command_has_kept_is_said(
    running: Callable[[Callable[[], None]], int], name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def work() -> None:
        try:
            get(signal.Signals[name])
        except (KeyboardInterrupt, Ended) as stop:
            stop.add_note("3 parts are kept.")
            raise

    assert running(work) == code
    assert capsys.readouterr().err.lstrip("\n") == "gpt2: 3 parts are kept.\n"
    signal.signal(signal.SIGINT, before)


def test_a_terminal_that_is_gone_changes_no_exit_code(
    running: Callable[[Callable[[], None]], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

        def flush(self) -> None:
            raise OSError(5, "Input/output error")

        def fileno(self) -> int:
            return nothing

        def isatty(self) -> bool:
            return True

    with open(os.devnull, "w") as file:
        nothing = file.fileno()
        monkeypatch.setattr(sys, "stdout", Gone())
        monkeypatch.setattr(sys, "stderr", Gone())

        def work() -> None:
            try:
                get(signal.SIGHUP)
            finally:
                print("a line")  # as a progress bar that is taken down

        assert running(work) == 129


def test_one_that_comes_twice_lets_the_end_be_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that closes sends SIGHUP, and the shell in it sends it again."""
    with EndingSignals() as caught:
        with pytest.raises(Ended):
            get(signal.SIGHUP)
        get(signal.SIGHUP)
        get(signal.SIGTERM)
        assert caught.code == 129
        monkeypatch.setattr(terminal, "AGAIN", 0.0)
        with pytest.raises(Ended):
            get(signal.SIGTERM)
        assert caught.code == 143


def test_a_signal_that_is_ignored_stays_so(running: Callable[[Callable[[], None]], int]) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert running(lambda: get(signal.SIGHUP)) == 0
    signal.signal(signal.SIGHUP, before)


def test_without_standard_error_nothing_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["tokenise"]) == 2


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_waits_for_the_end_of_an_import(name, tmp_path, monkeypatch):
    """An exception inside the import of torch ended the process in C++, with a long stack and code 134."""
    (tmp_path / f"slow_{name}.py").write_text(
        f"import os, signal\nos.kill(os.getpid(), signal.{name})\nfor _ in range(1000):\n    pass\nreached = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    found = []

    def command():
        with EndingSignals():
            found.append(import_module(f"slow_{name}").reached)
            for _ in range(1000):
                time.sleep(0.01)

    try:
        with pytest.raises((Ended, KeyboardInterrupt)):
            command()
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == [True]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_exception_that_a_library_makes_of_a_signal_is_the_signal(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One in C or Rust may raise its own in place of what the signal raised."""

    def work(argv: list[str]) -> int:
        try:
            os.kill(os.getpid(), number)
        except BaseException:
            raise SystemError("returned a result with an exception set") from None
        return 0

    monkeypatch.setattr("gpt2.cli.main._dispatch", work)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell may ignore it
    try:
        assert main([]) == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setattr("gpt2.cli.main._dispatch", lambda argv: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main([])
