"""The README is true: its set-up commands are the ones CI runs, and its examples print what it shows.

A ```console block is run in bash, in order, in one scratch folder: a line that starts with `$ ` is a
command, and the lines below it are all that it prints (both streams). `...` stands for any text in a line
and, on a line of its own, for any lines; a number with a decimal point may differ by one in its last digit,
since processors round differently. A ```python block prints the ```text block that follows it.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8") if (ROOT / "README.md").exists() else ""
NUMBER = r"-?\d+\.\d+"


def blocks(language: str, text: str = README) -> list[str]:
    """The contents of the fenced blocks in `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def examples(block: str) -> list[tuple[str, str]]:
    """(command, what it prints) for each command of a console block; a command goes on after a backslash."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.replace("\\\n", "\0").partition("\n")
        found.append((command.replace("\0", "\\\n"), output.replace("\0", "\\\n")))
    return found


def agrees(want: str, got: str) -> bool:
    """Whether `got` is `want`, by the liberties that this file's docstring names."""
    want, got = ("".join(f"{line.rstrip()}\n" for line in text.strip().splitlines()) for text in (want, got))
    pieces = re.split(rf"(^\.\.\.\n|\.\.\.|{NUMBER})", want, flags=re.MULTILINE)
    numbers = [piece for piece in pieces if re.fullmatch(NUMBER, piece)]
    free = {"...\n": r"(?:[^\n]*\n)*?", "...": r"[^\n]*?"} | dict.fromkeys(numbers, f"({NUMBER})")
    match = re.fullmatch("".join(free.get(piece, re.escape(piece)) for piece in pieces), got)
    if match is None:
        return False
    units = [10.0 ** -len(number.partition(".")[2]) for number in numbers]
    return all(abs(float(a) - float(b)) < 1.01 * u for a, b, u in zip(numbers, match.groups(), units, strict=True))


SETUP = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("python3 -m venv")]
PYTHON = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
CONSOLE = [example for block in blocks("console") for example in examples(block)]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder that shows the repository's folders, so that examples can read them and litter nothing."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("gpt2", "recipes", "docs", "benchmarks"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment of an example: `gpt2` and `python` are the ones under test, nothing is downloaded."""
    command = tmp_path_factory.mktemp("bin") / "gpt2"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gpt2 "$@"\n')
    command.chmod(0o755)
    places = [str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    return os.environ | {
        "PATH": os.pathsep.join(places),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "80",
        "HF_HUB_OFFLINE": "1",
        "LC_ALL": "C.UTF-8",
    }


def test_two_commands_set_everything_up():
    assert len(SETUP) == 2, "README.md needs its two set-up commands, each one line of a ```bash block"
    use, test = SETUP
    assert ".venv/bin/gpt2 next " in use
    assert ".venv/bin/gpt2 generate " in use
    assert test.endswith(" && .venv/bin/pytest")
    assert all("pip install -c constraints.txt" in line for line in SETUP)


def test_ci_runs_the_readme_commands_as_they_stand():
    assert SETUP
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert [line for line in SETUP if line not in lines] == []


def test_the_readme_has_examples():
    assert CONSOLE
    for block in blocks("console"):
        assert block.startswith("$ ")


@pytest.mark.parametrize("command, want", CONSOLE, ids=[command for command, _ in CONSOLE])
def test_an_example_prints_what_the_readme_shows(scratch, environment, command, want):
    process = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=scratch, env=environment, timeout=300, encoding="utf-8",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert agrees(want, process.stdout), f"README.md shows\n{want}\nbut `{command}` prints\n{process.stdout}"
    assert (process.returncode != 0) == want.startswith("gpt2: ")  # an example may show an error


def test_every_python_block_is_followed_by_what_it_prints():
    assert len(PYTHON) == len(blocks("python")) > 0


@pytest.mark.parametrize("code, want", PYTHON)
def test_a_python_block_prints_what_the_readme_shows(scratch, environment, code, want):
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=scratch, env=environment, timeout=300, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert agrees(want, process.stdout), f"README.md shows\n{want}\nbut its code prints\n{process.stdout}"


@pytest.mark.parametrize(
    "want, got, verdict",
    [
        ("p 0.1234\n", "p 0.1235\n", True),
        ("p 0.1234\n", "p 0.1236\n", False),
        ("p 0.1234\n", "q 0.1234\n", False),
        ("rank 12\n", "rank 13\n", False),
        ("one\n...\nfour\n", "one\ntwo\nthree\nfour\n", True),
        ("one\n...\nfour\n", "one\ntwo\n", False),
        ("one\n...\n", "one\n", True),
        ("took ... s, loss -2.50", "took 3 min and 1.5 s, loss -2.51", True),
        ("a (b) [c]* $d", "a (b) [c]* $d", True),
        ("", "surprise", False),
    ],
)
def test_examples_are_compared_with_these_liberties(want, got, verdict):
    assert agrees(want, got) is verdict


def test_examples_are_read_from_a_block():
    text = "```console\n$ gpt2 next \\\n  x\n1 a\n$ gpt2 tokenize y\n```\n"
    assert [examples(block) for block in blocks("console", text)] == [
        [("gpt2 next \\\n  x", "1 a\n"), ("gpt2 tokenize y", "")]
    ]
