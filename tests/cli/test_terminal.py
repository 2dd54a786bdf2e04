"""What reaches a terminal: nothing that a hostile tokenizer, file or name says steers it; a pipe gets every byte."""

import errno
import io
import json
import os
import sys
from contextlib import contextmanager, nullcontext

import pytest
from rich.table import Table

from benchmarks.terminal_bytes import commands, make_model, offending, write_files
from gpt2.base.errors import DiskFailure
from gpt2.cli import console as shown
from gpt2.cli.common import wide_console
from gpt2.cli.console import VisibleConsole
from gpt2.cli.main import main
from gpt2.cli.terminal import Shown, as_they_are, beneath, coloured, outlasting, shown_streams

WORST = "\x1b[2J\x07\x1b]8;;x\x1b\\\r\x08\x7f\x9b\u202e\u2066\u2028[/bold]"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder with a model whose likeliest token is the worst, under a name of the same kind, and with files."""
    folder = tmp_path_factory.mktemp("hostile")
    make_model(folder / "m\x1b[2J\u202e", WORST)
    write_files(folder, WORST)
    return folder


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Run one command line as in a terminal that shows no colours: code and the bytes of both streams."""
    monkeypatch.setenv("TERM", "dumb")

    def run(*argv):
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        code = main(list(argv))
        came = capsys.readouterr()
        return code, (came.out + came.err).encode("utf-8", "surrogatepass")

    return run


SLOW = ("--html", "--png", "neurons", "effects", "off", "patch", "chat")
SEEN = [
    (group, n) for n, (group, argv) in enumerate(commands("m", __import__("pathlib").Path("d"), "x"))
    if not any(word in argv for word in SLOW)
]  # fmt: skip


@pytest.mark.parametrize(("group", "n"), SEEN)
def test_nothing_steers_a_terminal(hostile, terminal, group, n):
    """`gpt2 generate` passed bidirectional marks on, and tables rich's own markup, even ESC."""
    _, argv = list(commands(str(hostile / "m\x1b[2J\u202e"), hostile, WORST))[n]
    code, came = terminal(*argv)
    assert code in (0, 1, 2)
    assert came
    assert offending(came, "dumb") == []


def test_the_tokens_are_really_said(hostile, terminal):
    code, came = terminal("generate", "ab", "--model", str(hostile / "m\x1b[2J\u202e"), "--max-tokens", "12")
    assert code == 0
    assert came.count(rb"\x1b[2J\x07") > 2


def test_a_pipe_gets_every_byte(hostile, capsys):
    argv = ["generate", "ab", "--model", str(hostile / "m\x1b[2J\u202e"), "--max-tokens", "12"]
    assert main(argv) == 0
    assert WORST in capsys.readouterr().out
    assert main([*argv, "--json"]) == 0
    document = capsys.readouterr().out
    assert WORST in json.loads(document)["completions"][0]["text"]
    assert offending(document.encode(), "dumb") == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_streams_are_shown_and_restored(monkeypatch):
    out, err = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with shown_streams():
        print("a\x1b[2J\x1b[1m", end="|")
        sys.stdout.writelines(["\x9b", "\x1b"])  # an escape split over two pieces
        with coloured():
            print("\x1b[1mbold\x1b[0m\x1b[2J", end="")
        with as_they_are():
            print("\r50%", file=sys.stderr, end="")
        print("\u202e", file=sys.stderr)
        assert beneath(sys.stdout) is out
        with shown_streams():
            assert not isinstance(beneath(sys.stdout), Shown)
    assert (sys.stdout, sys.stderr) == (out, err)
    assert out.getvalue() == r"a\x1b[2J\x1b[1m|\x9b\x1b" + "\x1b[1mbold\x1b[0m" + r"\x1b[2J"
    assert err.getvalue() == "\r50%" + "\\u202e\n"


def test_a_console_reads_no_markup_and_keeps_its_own_colours(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    table = Table(header_style="bold")
    table.add_column("na\x1bme")
    table.add_row("[/bold] :smile: \x1b[8m")
    console = VisibleConsole(width=60)
    console.print(table)
    said = sys.stdout.getvalue()
    assert "\x1b[1m" in said
    assert r"[/bold] :smile: \x1b[8m" in said
    assert "\x1b[8m" not in said
    assert r"na\x1bme" in said


def test_time_left_is_said():
    sign = shown.Sign("reading")
    sign.began -= 30
    assert sign.said() == "30 s so far"
    sign.tell(1, 4, "7 MB/s")
    assert sign.said() == "25%, 7 MB/s, about 90 s left"
    sign.tell(4, 4)
    assert sign.said() == "30 s so far"
    assert [shown.duration(s) for s in (3.2, 1560, 11520)] == ["3 s", "26 min", "3.2 h"]


def test_a_table_in_a_pipe_is_as_wide_as_it_needs(capsys):
    """rich makes none wider than its console, whatever width it is printed with."""
    table = Table("name", *map(str, range(40)))
    table.add_row("a run", *(["0.12345"] * 40))
    table.box = None
    wide_console().print(table)
    assert capsys.readouterr().out.split() == ["name", *map(str, range(40)), "a", "run", *(["0.12345"] * 40)]


def test_without_a_terminal_lines_come_now_and_then(capsys, monkeypatch):
    monkeypatch.undo()  # conftest.py keeps the first line away from commands that a busy machine slows down
    waits = []

    class Over:
        def wait(self, seconds):
            waits.append(seconds)
            return len(waits) > 7

    sign = shown.Sign("be\x1bhaviours")
    with shown_streams():
        shown._lines(sign, Over())
    lines = capsys.readouterr().err.splitlines()
    assert waits == [3, 27, 60, 120, 240, 240, 240, 240]
    assert lines == [r"gpt2: be\x1bhaviours: 0 s so far"] * 7


LONG = {
    "next ab": {"loading", "reading the text"},
    "walk ab": {"loading", "walking"},
    "generate ab --json": {"loading", "generating"},
    "score ab": {"loading", "scoring"},
    "explain ab": {"loading", "reading the text"},
    "explain lens ab": {"loading", "reading the text", "looking after each block"},
    "explain attribution ab": {"loading", "reading the text", "adding up"},
    "explain effects ab": {"loading", "reading the text", "replacing components"},
    "explain stream ab": {"loading", "reading the text", "reading the stream"},
    "explain patch ab ac --target x --foil y": {"loading", "patching"},
    "explain neighbours a": {"loading", "comparing tokens"},
    "explain off 0.mlp": {"loading", "means of the documents", "switching off", "writing both texts"},
}


@pytest.mark.parametrize("line", LONG)
def test_what_may_take_long_gives_a_sign(hostile, monkeypatch, capsys, line):
    begun = set()
    make = shown.Sign.__init__

    def noted(self, what, began=None):
        begun.add(what.split(" ")[0] if what.startswith("loading") else what)
        make(self, what, began)

    monkeypatch.setattr(shown.Sign, "__init__", noted)
    main([*line.split(), "--model", str(hostile / "m\x1b[2J\u202e")])
    assert " so far" not in capsys.readouterr().err
    assert begun == LONG[line]


class Refusing(io.StringIO):
    def __init__(self, number, drawn=False):
        super().__init__()
        self.number, self.isatty = number, lambda: drawn

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "drawn", "whole"),
    [(errno.ENOSPC, False, False), (errno.EPIPE, False, True), (errno.EIO, True, True), (errno.EIO, False, False)],
)
def test_output_that_cannot_be_written_ends_no_work(monkeypatch, capsys, number, drawn, whole):
    monkeypatch.setattr("sys.stdout", Refusing(number, drawn))
    done = []
    with (
        nullcontext() if whole else pytest.raises(DiskFailure, match=r"standard output: .* work is done"),
        outlasting(),
    ):
        for n in range(3):
            print(n)
            VisibleConsole().print(n)
            done.append(n)
    assert done == [0, 1, 2]
    said = capsys.readouterr().err
    assert said.count("the work goes on without it") == 1
    assert ("reader has gone" in said) == whole


def test_a_reader_that_has_gone_is_no_failure_of_a_table(monkeypatch):
    monkeypatch.setattr("sys.stdout", Refusing(errno.EPIPE))
    with pytest.raises(BrokenPipeError):
        VisibleConsole().print("a table")


def test_the_steps_of_training_are_said_from_the_first_that_is_taken(monkeypatch):
    told = []

    @contextmanager
    def recorded(what):
        yield lambda *args: told.append(args)

    monkeypatch.setattr(shown, "progress", recorded)
    with shown.of_steps(10, wanted=True) as tell:
        for done in (0, 5, 6):
            tell(done)
    assert told == [(1, 6, "step 5 of 10"), (2, 6, "step 6 of 10")]
