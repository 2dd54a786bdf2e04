"""The command `gpt2` itself: help, unknown commands, exit codes, a reader that goes away, what it imports."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from gpt2 import __version__
from gpt2.base.errors import UsageError
from gpt2.cli import main as cli

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "matplotlib", "safetensors", "tokenizers", "tiktoken", "huggingface_hub"}

# Prints, as JSON, what each command's --help gives in one process, and which modules that process then holds.
HELP_OF_ALL = """
import contextlib, io, json, sys
from gpt2.cli.main import COMMANDS, main

seen = {}
for name in COMMANDS:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([name, "--help"])
        except Exception as error:
            code = repr(error)
    seen[name] = {"code": code, "out": out.getvalue(), "err": err.getvalue(), "modules": sorted(sys.modules)}
json.dump(seen, sys.stdout)
"""


@pytest.fixture
def command(monkeypatch):
    """Install a command `probe` whose run raises, or does, what the test asks for."""

    def install(run):
        @dataclass
        class Command:
            """A command for tests."""

            count: int = 1

            def run(self):
                run(self)

        module = ModuleType("gpt2.cli.probe_for_tests")
        module.Command = Command
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "probe", (module.__name__, "for tests"))

    return install


def raiser(error):
    def run(_):
        raise error

    return run


@pytest.fixture(scope="module")
def helps():
    process = python("-c", HELP_OF_ALL, environment={"COLUMNS": "80"})
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def python(*words, environment=None, **options):
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
        text=True,
        **({"capture_output": True} | options),
    )


def test_help_lists_every_command_on_80_columns(capsys):
    for words in ([], ["--help"], ["-h"], ["help"]):
        assert cli.main(words) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        assert max(map(len, shown.out.splitlines())) <= 80
        for name, (_, summary) in cli.COMMANDS.items():
            assert f"  {name} " in shown.out
            assert summary in shown.out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"gpt2 {__version__}\n"


def test_help_imports_no_library():
    """Start-up stays light by what is imported; a timing would depend on the machine."""
    code = "import sys; from gpt2.cli.main import main; main(['--help']); print(*sys.modules)"
    process = python("-c", code)
    assert process.returncode == 0, process.stderr
    modules = set(process.stdout.splitlines()[-1].split())
    assert not modules & (HEAVY | {"numpy", "tyro", "rich"})
    ours = {name for name in modules if name.split(".")[0] == "gpt2"}
    light = {
        "gpt2.base.disk",
        "gpt2.base.errors",
        "gpt2.base.habits",
        "gpt2.base.lazy",
        "gpt2.base.lock",
        "gpt2.base.notes",
        "gpt2.base.visible",
        "gpt2.cli.commands",
        "gpt2.cli.errors",
        "gpt2.cli.parsing",
        "gpt2.cli.spelling",
        "gpt2.cli.terminal",
    }
    assert ours <= {"gpt2", "gpt2.base", "gpt2.cli", "gpt2.cli.main"} | light


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_a_command(helps, name):
    """Every command explains itself, on 80 columns, without loading torch."""
    shown = helps[name]
    assert (shown["code"], shown["err"]) == (0, "")
    assert f"usage: gpt2 {name} " in shown["out"]
    # the usage line of tyro, recognised by its [-h], may be longer
    assert [line for line in shown["out"].splitlines() if len(line) > 80 and "[-h]" not in line] == []
    assert not HEAVY & set(shown["modules"])


def test_the_description_of_a_command_is_filled(command, capsys):
    """tyro breaks the lines of options, but not those of the description."""
    command(lambda self: None)
    sys.modules["gpt2.cli.probe_for_tests"].Command.__doc__ = f"""{"word " * 32}

    example: gpt2 probe
      {"code " * 30}
    """
    assert cli.main(["probe", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [("word " * 16).strip(), ("word " * 16).strip(), ""]
    assert lines[3:5] == ["example: gpt2 probe", f"  {'code ' * 30}"]
    assert lines[6].startswith("usage: gpt2 probe ")


def test_help_of_a_command_by_the_word_help(command, capsys):
    command(lambda self: None)
    assert cli.main(["probe", "--help"]) == 0
    by_option = capsys.readouterr().out
    assert cli.main(["help", "probe"]) == 0
    assert capsys.readouterr().out == by_option


def test_unknown_command_names_the_nearest(capsys):
    assert cli.main(["genrate", "x"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "gpt2: there is no command 'genrate': did you mean 'gpt2 generate'?\n"


def test_unknown_command_with_nothing_near(capsys):
    assert cli.main(["zzzz"]) == 2
    assert capsys.readouterr().err == "gpt2: there is no command 'zzzz': 'gpt2 --help' lists the commands.\n"


@pytest.mark.parametrize(
    "error, code, sentence",
    [
        (UsageError("--top-p 0 keeps nothing."), 2, "--top-p 0 keeps nothing."),
        (ValueError("the file is cut short."), 1, "the file is cut short."),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), 1, "a.txt: no such file or directory"),
        (PermissionError(13, "Permission denied", "out"), 1, "out: permission denied"),
        (
            OSError(28, "No space left on device"),
            1,
            "the output: no space left on device: make room, then type the same command again.",
        ),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(command, capsys, monkeypatch, error, code, sentence):
    monkeypatch.delenv("GPT2_TRACEBACK", raising=False)
    command(raiser(error))
    assert cli.main(["probe"]) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"gpt2: {sentence}\n")


def test_traceback_on_request(command, monkeypatch):
    monkeypatch.setenv("GPT2_TRACEBACK", "1")
    command(raiser(ValueError("the file is cut short.")))
    with pytest.raises(ValueError, match="cut short"):
        cli.main(["probe"])


def test_a_fault_of_the_program_is_not_hidden(command):
    command(raiser(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_interrupt_is_130(command, capsys):
    command(raiser(KeyboardInterrupt()))
    assert cli.main(["probe"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_options_reach_the_command(command):
    seen = []
    command(lambda self: seen.append(self.count))
    assert cli.main(["probe", "--count", "3"]) == 0
    assert seen == [3]


@pytest.mark.parametrize("words", [["--count", "many"], ["--cuont", "3"]])
def test_a_wrong_option_is_2_and_is_named(command, capsys, words):
    command(lambda self: None)
    assert cli.main(["probe", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "--count" in shown.err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["tokenize", "--help"]])
def test_a_reader_that_goes_away_is_no_failure(words, unbuffered):
    """`gpt2 ... | head -n 0`: without a flush in main, the interpreter complains at exit, with 120."""
    read, write = os.pipe()
    os.close(read)
    process = python(
        "-m", "gpt2", *words,
        environment={"PYTHONUNBUFFERED": unbuffered},
        capture_output=False, stdout=write, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(write)
    assert (process.returncode, process.stderr) == (0, "")


def test_what_the_output_cannot_encode_is_escaped():
    """A pipe in the C locale takes ASCII alone: no UnicodeEncodeError, and JSON that is still JSON."""
    for words in ([], ["--json"]):
        process = python("-m", "gpt2", "tokenize", "é 🙂", *words, environment={"PYTHONIOENCODING": "ascii"})
        assert (process.returncode, process.stderr) == (0, "")
    assert json.loads(process.stdout)["tokens"][0] == "é"
    process = python("-m", "gpt2", "next", "--model", "é", environment={"PYTHONIOENCODING": "ascii"}, input="x")
    assert process.returncode == 2
    assert process.stderr.startswith("gpt2: there is no model '\\xe9'")


def test_module_and_command_are_the_same():
    process = python("-m", "gpt2", "--version")
    assert (process.returncode, process.stdout) == (0, f"gpt2 {__version__}\n")


def test_closed_standard_output_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["next", "Once upon"]) == 0
