"""The README is true: its set-up commands are the ones CI runs, and its examples print what it shows.

A ```console block is run in bash, in order, in one scratch folder: a line that starts with `$ ` is a
command, and the lines below it are all that it prints (both streams). `...` stands for any text in a line
and, on a line of its own, for any lines; a number with a decimal point may differ by one in its last digit,
since processors round differently. A ```python block prints the ```text block that follows it.
"""

import sys

import pytest

from scripts.examples import PYTHON, ROOT, abridged, agrees, blocks, environment, examples, renew, shell, show
from tests.forked import forking

README = (ROOT / "README.md").read_text("utf-8") if (ROOT / "README.md").exists() else ""
SETUP = [line for block in blocks("bash", README) for line in block.splitlines() if line.startswith("python3 -m venv")]
CODE = PYTHON.findall(README)
CONSOLE = [example for block in blocks("console", README) for example in examples(block)]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder that shows the repository's folders, so that examples can read them and litter nothing."""
    return show(tmp_path_factory.mktemp("readme"))


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """The environment of an example: `gpt2` and `python` are the ones under test, nothing is downloaded.

    That `python -m gpt2` and an installed `gpt2` are the same program say tests/cli/test_cli.py and test_wheel.py.
    """
    folder = tmp_path_factory.mktemp("bin")
    found = environment(folder)
    with forking(folder, found):
        yield found


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
    for block in blocks("console", README):
        assert block.startswith("$ ")


@pytest.mark.parametrize("command, want", CONSOLE, ids=[command for command, _ in CONSOLE])
def test_an_example_prints_what_the_readme_shows(scratch, variables, command, want):
    process = shell(["bash", "-o", "pipefail", "-c", command], scratch, variables)
    assert agrees(want, process.stdout), f"README.md shows\n{want}\nbut `{command}` prints\n{process.stdout}"
    assert (process.returncode != 0) == want.startswith("gpt2: ")  # an example may show an error


def test_every_python_block_is_followed_by_what_it_prints():
    assert len(CODE) == len(blocks("python", README)) > 0
    assert all(want for _, want in CODE)


@pytest.mark.parametrize("code, want", CODE)
def test_a_python_block_prints_what_the_readme_shows(scratch, variables, code, want):
    process = shell([sys.executable, "-c", code], scratch, variables)
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


def test_a_new_output_leaves_out_what_the_old_one_did():
    got = "a 0.5\nb 1.5\nc\nerror 3.2e-08, 0.0001 of it\nd\ne\n"
    assert abridged(got, "a 0.4\nb ...\n...\nlast\n") == "a 0.5\nb ...\n...\ne\n"
    assert abridged(got, "error ..., ... of it\n") == got.replace("3.2e-08, 0.0001", "..., ...")


def test_outputs_are_renewed_where_they_stand_and_only_where_they_differ(tmp_path):
    page = tmp_path / "page.md"
    old = "```python\nprint(1.5)\n```\n\n```text\n1.4\n```\n\n```python\nprint(2)\n```\n\n```text\n1\n```\n\n1\n"
    page.write_text(old)
    assert renew(page) == 1  # 1.4 differs from 1.5 by one in the last digit
    assert page.read_text() == old.replace("text\n1\n", "text\n2\n")


@pytest.mark.parametrize("name", ["page.md", "README.md"])
def test_a_new_example_gets_its_output(name, tmp_path):
    """It stayed empty: what shows nothing was taken to hide its output."""
    page, known = tmp_path / name, 'gpt2 tokenize "a cat" --json'
    printed = '{"model": "storyteller", "tokens": []}'
    block = f"```console\n$ {known}\n{printed}\n$ {known}\n$ gpt2 nonsense\n```\n"
    python = "```python\nprint(1)\n```\n\n```text\n```\n\n```python\nprint(2)\n```\n\n```python\nx = 3\n```\n"
    page.write_text(block + "\n" + python)
    told = []
    assert renew(page, lambda done, total: told.append((done, total))) == 5
    assert told == [(n, 6) for n in range(7)]
    commands = [example for block in blocks("console", page.read_text()) for example in examples(block)]
    assert [command for command, _ in commands] == [known, known, "gpt2 nonsense"]
    assert commands[0] == commands[1]
    assert commands[0][1] == '{"model": "storyteller", "ids": [64, 809], "tokens": ["a", " cat"]}\n'
    assert commands[2][1] == "gpt2: there is no command 'nonsense': 'gpt2 --help' lists the commands.\n"
    assert page.read_text().endswith(
        "```\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
        "```python\nprint(2)\n```\n\n```text\n2\n```\n\n```python\nx = 3\n```\n"
    )
    assert renew(page) == 0


def test_examples_are_read_from_a_block():
    text = "```console\n$ gpt2 next \\\n  x\n1 a\n$ gpt2 tokenize y\n```\n"
    assert [examples(block) for block in blocks("console", text)] == [
        [("gpt2 next \\\n  x", "1 a\n"), ("gpt2 tokenize y", "")]
    ]
