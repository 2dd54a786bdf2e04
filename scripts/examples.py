"""The examples of the documents: `python -m scripts.examples [FILES]` runs them and writes what they print.

In: README.md and docs/*.md, or the files named. Out: the same files, where an output had changed; one that `agrees`
stays as it stands. A ```console block holds commands behind `$ ` with what they print, a ```python block is followed
by what it prints in a ```text block. Write a new example without its output: what it prints is filled in, below the
command or in a ```text block. A line `...` in its place leaves out what is not to be shown.
tests/docs/ (test_readme.py, test_docs.py) runs the same examples and compares.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NUMBER = r"-?\d+\.\d+"
PROGRESS = re.compile(r"^gpt2: [^:\n]+: .*(?: so far| left)\n", re.MULTILINE)
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
    """The finished process of `words` in `folder`: both its streams in `stdout`, in the order in which they came.

    Without the lines that a slow machine adds, which say how far a long command is.
    """
    process = subprocess.run(
        words, cwd=folder, env=variables, timeout=1800, encoding="utf-8",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    process.stdout = PROGRESS.sub("", process.stdout)
    return process


Example = tuple[str, str, str]  # what stands before the output, or the whole block where none is shown; shown; printed


def place(match: "re.Match[str]") -> str:
    """What stands in a document up to where the output of a Python block is, or belongs."""
    return f"```python\n{match['code']}" + (BETWEEN if match["output"] is not None else "```\n")


def shown_commands(text: str) -> list[tuple[str, str]]:
    """(command, what it prints) of all console blocks."""
    return [pair for block in blocks("console", text) for pair in examples(block)]


def quick_commands(text: str) -> list[tuple[str, str]]:
    """Those that call `gpt2`, without the analyses that take minutes."""
    words = [(words_of(command), (command, want)) for command, want in shown_commands(text)]
    return [pair for (program, *rest), pair in words if program == "gpt2" and not {*rest[1:2]} & {*SLOW}]


def words_of(command: str) -> list[str]:
    """The words of a command, which may go on after a backslash."""
    return shlex.split(command.replace("\\\n", " "))


def alone(text: str) -> Iterator[Example]:
    """The README's examples, each a process of its own."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as programs:
        folder, variables = show(Path(scratch)), environment(Path(programs))
        for command, want in shown_commands(text):
            yield f"$ {command}\n", want, shell(["bash", "-o", "pipefail", "-c", command], folder, variables).stdout
        for match in PYTHON.finditer(text):
            process = shell([sys.executable, "-c", match["code"]], folder, variables)
            yield place(match), match["output"] or "", process.stdout


def together(text: str) -> Iterator[Example]:
    """Those of another document, in this process: its Python, then its commands; of one that fails its sentence."""
    from gpt2.cli.main import main

    namespace: dict[str, object] = {"__name__": "document"}
    for match in PYTHON.finditer(text):
        with redirect_stdout(StringIO()) as out:
            exec(compile(match["code"], "document", "exec"), namespace)
        yield place(match), match["output"] or "", out.getvalue()
    for command, want in quick_commands(text):
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as error:
            failed = main(words_of(command)[1:])
        yield f"$ {command}\n", want, (error if failed else out).getvalue()


def renew(path: Path, tell: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Runs the examples of `path` and writes outputs that are new or have changed into it; how many were.

    tell   is told how many examples have run, of how many
    """
    text = path.read_text("utf-8")
    run, commands = (alone, shown_commands) if path.name == "README.md" else (together, quick_commands)
    total, found = len(commands(text)) + len(PYTHON.findall(text)), []
    with tempfile.TemporaryDirectory() as scratch, chdir(show(Path(scratch))):
        os.environ["COLUMNS"] = "80"
        tell(0, total)
        for example in run(text):
            found.append(example)
            tell(len(found), total)
    changes = [(before, want, got) for before, want, got in found if not agrees(want, got)]
    text = path.read_text("utf-8")  # again: the examples took their time
    for before, want, got in changes:
        text = text.replace(before + want, before + abridged(got, want), 1) if want else filled(text, before, got)
    path.write_text(text, "utf-8")
    return len(changes)


def filled(text: str, before: str, got: str) -> str:
    """`text` with the output of an example that shows none yet."""
    new = "".join(f"{line.rstrip()}\n" for line in got.strip("\n").splitlines())
    if before.startswith("```python") and not before.endswith(BETWEEN):
        new = f"\n```text\n{new}```\n"
        return re.sub(re.escape(before) + r"(?!\n```text)", lambda found: found[0] + new, text, count=1)
    return re.sub(re.escape(before) + r"(?=\$ |```)", lambda found: found[0] + new, text, count=1)


def progress(what: str) -> Callable[[int, int], None]:
    """A function that says on standard error how many examples of `what` have run: in a terminal as each ends."""

    def tell(done: int, total: int) -> None:
        terminal = sys.stderr.isatty()
        if terminal or done == 0:
            start, end = ("\r", "\n" if done == total else "") if terminal else ("", "\n")
            print(f"{start}{what}: {done} of {total} examples", end=end, file=sys.stderr, flush=True)

    return tell


if __name__ == "__main__":
    written = [path for path in sorted((ROOT / "docs").glob("*.md")) if RENDERED not in path.read_text("utf-8")]
    documents = [Path(name).resolve() for name in sys.argv[1:]] or [ROOT / "README.md", *written]
    for number, document in enumerate(documents, 1):
        what = f"[{number} of {len(documents)}] {document.name}"
        print(f"{what}: {renew(document, progress(what))} outputs changed", flush=True)
