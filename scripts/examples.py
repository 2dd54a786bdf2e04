"""The examples of the documents: `python -m scripts.examples [FILES]` runs them and writes what they print.

In: README.md and docs/*.md, or the files named. Out: the same files, where an output had changed; one that `agrees`
stays as it stands. A ```console block holds commands behind `$ ` with what they print, a ```python block is followed
by what it prints in a ```text block. tests/docs/ (test_readme.py, test_docs.py) runs the same examples and compares.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NUMBER = r"-?\d+\.\d+"
FREE = {"...\n": r"(?:[^\n]*\n)*?", "...": r"[^\n]*?"}
PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```$(?:\n\n```text\n(?P<output>.*?)^```$)?", re.MULTILINE | re.DOTALL)
BETWEEN = "```\n\n```text\n"
RENDERED = "<!-- Rendered by"  # documents that scripts/guides writes
SHOWN = ("gpt2", "recipes", "docs", "benchmarks")  # folders that an example of the README may read
SLOW = ("behaviours", "heads")  # analyses of docs/explain.md that take minutes: not run


def blocks(language: str, text: str) -> list[str]:
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
    """Whether `got` is `want`: `...` stands for any text of a line and, on a line of its own, for any lines; a number
    with a decimal point may differ by one in its last digit, since processors round differently.
    """
    want, got = ("".join(f"{line.rstrip()}\n" for line in text.strip().splitlines()) for text in (want, got))
    pieces = re.split(rf"(^\.\.\.\n|\.\.\.|{NUMBER})", want, flags=re.MULTILINE)
    numbers = [piece for piece in pieces if re.fullmatch(NUMBER, piece)]
    free = FREE | dict.fromkeys(numbers, f"({NUMBER})")
    match = re.fullmatch("".join(free.get(piece, re.escape(piece)) for piece in pieces), got)
    if match is None:
        return False
    units = [10.0 ** -len(number.partition(".")[2]) for number in numbers]
    return all(abs(float(a) - float(b)) < 1.01 * u for a, b, u in zip(numbers, match.groups(), units, strict=True))


def abridged(got: str, want: str) -> str:
    """`got` without what `want` leaves out: parts of lines that differ in numbers alone, and lines, by their count."""
    parts = [part.splitlines() for part in re.split(r"^\.\.\.\n", want, flags=re.MULTILINE)]
    lines = [line.rstrip() for line in got.strip("\n").splitlines()]
    for line in {line for part in parts for line in part if "..." in line}:
        pieces = re.split(rf"(\.\.\.|{NUMBER})", line)
        words = {piece: f"(?:{NUMBER})" for piece in pieces if re.fullmatch(NUMBER, piece)} | {"...": "(.*?)"}
        pattern = re.compile("".join(words.get(piece, re.escape(piece)) for piece in pieces))
        for i, printed in enumerate(lines):
            if match := pattern.fullmatch(printed):
                for group in range(match.re.groups, 0, -1):
                    printed = printed[: match.start(group)] + "..." + printed[match.end(group) :]
                lines[i] = printed
    if len(parts) > 1:
        lines = [*lines[: len(parts[0])], "...", *lines[len(lines) - len(parts[-1]) :]]
    return "".join(f"{line}\n" for line in lines)


def environment(folder: Path) -> dict[str, str]:
    """A command's environment: `gpt2`, put into `folder`, and `python` are those that run now; no downloads, no GPU."""
    command = folder / "gpt2"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gpt2 "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    ours = {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "HF_HUB_OFFLINE": "1", "LC_ALL": "C.UTF-8"}
    ours["CUDA_VISIBLE_DEVICES"] = ""  # training would take one, and print so
    return os.environ | ours


def show(folder: Path) -> Path:
    """`folder`, with links to what an example may read of the repository: it litters nothing there."""
    for name in SHOWN:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    return folder


def shell(words: list[str], folder: Path, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """The finished process of `words` in `folder`: both its streams in `stdout`, in the order in which they came."""
    return subprocess.run(
        words, cwd=folder, env=variables, timeout=1800, encoding="utf-8",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def alone(text: str) -> Iterator[tuple[str, str, str]]:
    """(what stands before the output, output shown, printed) of the README's examples, each a process of its own."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as programs:
        folder, variables = show(Path(scratch)), environment(Path(programs))
        for command, want in [pair for block in blocks("console", text) for pair in examples(block)]:
            yield command + "\n", want, shell(["bash", "-o", "pipefail", "-c", command], folder, variables).stdout
        for code, want in PYTHON.findall(text):
            yield code + BETWEEN, want, shell([sys.executable, "-c", code], folder, variables).stdout


def together(text: str) -> Iterator[tuple[str, str, str]]:
    """The same of another document, in this process: its Python, then its commands; of one that fails its sentence."""
    from gpt2.cli.main import main

    namespace: dict[str, object] = {"__name__": "document"}
    for code, want in PYTHON.findall(text):
        with redirect_stdout(StringIO()) as out:
            exec(compile(code, "document", "exec"), namespace)
        yield code + BETWEEN, want, out.getvalue()
    for command, want in [pair for block in blocks("console", text) for pair in examples(block)]:
        program, *words = shlex.split(command.replace("\\\n", " "))
        if program == "gpt2" and words[1] not in SLOW:
            with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as error:
                failed = main(words)
            yield command + "\n", want, (error if failed else out).getvalue()


def renew(path: Path) -> int:
    """Runs the examples of `path` and writes outputs that have changed into it; how many had."""
    text = path.read_text("utf-8")
    if path.name == "README.md":
        found = list(alone(text))
    else:
        with tempfile.TemporaryDirectory() as scratch, chdir(show(Path(scratch))):
            os.environ["COLUMNS"] = "80"
            found = list(together(text))
    changes = [(before, want, got) for before, want, got in found if want and not agrees(want, got)]
    text = path.read_text("utf-8")  # again: the examples took their time
    for before, want, got in changes:
        text = text.replace(before + want, before + abridged(got, want), 1)
    path.write_text(text, "utf-8")
    return len(changes)


if __name__ == "__main__":
    written = [path for path in sorted((ROOT / "docs").glob("*.md")) if RENDERED not in path.read_text("utf-8")]
    for document in [Path(name).resolve() for name in sys.argv[1:]] or [ROOT / "README.md", *written]:
        print(f"{document.name}: {renew(document)} outputs changed", flush=True)
