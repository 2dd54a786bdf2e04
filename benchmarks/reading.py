"""How much code one answer enters, and how much of it a reader opens: counts of files, functions and lines.

In: one or more checkouts of this project. Out: a table with one column per checkout; with --json FILE every name.

    python -m benchmarks.reading [--package PATH]... [--only next,step] [--companions REGEX] [--json FILE]

Each case runs in a process of its own, where `sys.setprofile` sees every call in every thread. A file is *imported*
when its module body runs, and *entered* when one of its functions runs. Functions that PyTorch or a dataclass makes
are not counted: their code stands in no file of the package. The cases are commands, so that checkouts whose folders
differ can be compared. What is counted without running, the lines of the core and of its forward passes, is read from
the source text.
"""

import argparse
import ast
import contextlib
import inspect
import io
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CASES = {
    "next": 'gpt2 next "The cat sat on the"',
    "step": "one training step",
    "off": "gpt2 explain off 3.head.1",
    "forward": "one GPT2.forward without a probe",
}
COMPANIONS = "probe|tap"  # what the companions of a pass are called in its code
GUIDE = Path("docs") / "component_functions.md"
STORY = "Lily had a red ball. She lost it in the park. A big dog found the ball and gave it back to her.\n"
RECIPE = """
[model]
n_layer = 2
n_head = 2
n_embd = 32
n_positions = 16

[data]
train = ["{data}"]
val = ["{data}"]

[train]
steps = 1
batch_size = 2
dtype = "float32"
compile = false
eval_tokens = 16
"""


class Calls:
    """The code objects of one package that run while this is active; with `within`, only below that function.

    `within` is the qualified name of a function, such as "TrainingRun.step"; it is counted itself. Calls of its thread
    count until it returns.
    """

    def __init__(self, package: Path, within: str | None = None) -> None:
        self.package, self.within = str(package / "gpt2") + "/", within
        self.bodies: set[CodeType] = set()  # of modules
        self.functions: set[CodeType] = set()
        self._depth = threading.local()

    def __enter__(self) -> "Calls":
        threading.setprofile(self._event)
        sys.setprofile(self._event)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(self.package):
            return
        depth = getattr(self._depth, "value", 0)
        if self.within is not None and code.co_qualname == self.within:
            self._depth.value = depth = depth + (1 if event == "call" else -1)
            depth += event == "return"
        if event == "call" and (self.within is None or depth):
            if code.co_name == "<module>":
                self.bodies.add(code)
            elif code.co_flags & inspect.CO_OPTIMIZED:  # the body of a class is code too, but no function
                self.functions.add(code)

    def found(self) -> dict[str, Any]:
        """Files imported and entered, functions entered, and the files' lines that whole functions take."""
        lines: dict[str, set[int]] = {}
        for code in self.functions:
            source, first = inspect.getsourcelines(code)
            lines.setdefault(self._file(code), set()).update(range(first, first + len(source)))
        return {
            "imported": sorted(self._file(code) for code in self.bodies),
            "entered": sorted(lines),
            "functions": sorted(f"{self._file(code)}: {code.co_qualname}" for code in self.functions),
            "lines": {file: len(lines[file]) for file in sorted(lines)},
        }

    def _file(self, code: CodeType) -> str:
        return "gpt2/" + code.co_filename.removeprefix(self.package)


def follow(case: str, package: Path) -> dict[str, Any]:
    """Run one case in this process, whose `gpt2` is the package's, and say what it entered."""
    sys.path.insert(0, str(package))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = prepared(case, package, Path(folder))
        with Calls(package, "TrainingRun.step" if case == "step" else None) as calls:
            run()
    return calls.found()


def prepared(case: str, package: Path, folder: Path) -> Callable[[], object]:
    """What a case does, once all that it needs is there. The command itself is imported only when it is called."""
    story = folder / "story.txt"
    story.write_text(STORY, encoding="utf-8")
    if case == "next":
        return lambda: command("next", "The cat sat on the")
    if case == "off":
        files = ["--text", str(story), "--means", str(story)]
        return lambda: command("explain", "off", "3.head.1", *files)
    if case == "step":
        data, recipe = folder / "data", folder / "recipe.toml"
        words = [sys.executable, "-m", "gpt2", "prepare", str(story), "--out", str(data), "--tokenizer", "bytes"]
        subprocess.run(words, cwd=package, check=True, capture_output=True)
        recipe.write_text(RECIPE.format(data=data), encoding="utf-8")
        return lambda: command("train", str(recipe), "--out", str(folder / "run"), "--json")

    import torch

    from gpt2.config import GPT2Config
    from gpt2.model import GPT2

    model = GPT2(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=2)).eval()
    return lambda: model(torch.zeros(1, 8, dtype=torch.int64))


def command(*words: str) -> None:
    """Run one command line of `gpt2`. RuntimeError when it fails."""
    from gpt2.cli.main import main

    code = main(list(words))
    if code:
        raise RuntimeError(f"gpt2 {' '.join(words)} ended with exit code {code}.")


def core(package: Path) -> dict[str, int]:
    """Lines of gpt2/model.py and of every file that it imports, directly or through another, type checking aside."""
    lines: dict[str, int] = {}
    waiting = [package / "gpt2" / "model.py"]
    while waiting:
        file = waiting.pop()
        name = file.relative_to(package).as_posix()
        if name in lines:
            continue
        text = file.read_text(encoding="utf-8")
        lines[name] = len(text.splitlines())
        for module in imports(ast.parse(text)):
            path = package.joinpath(*module.split("."))
            waiting += [found for found in (path.with_suffix(".py"), path / "__init__.py") if found.exists()]
    return dict(sorted(lines.items()))


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules of the package that are imported at run time; of `from gpt2.base import disk` also gpt2.base.disk."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{name}" for name in names)]
        yield from (name for name in names if name.startswith("gpt2."))
        yield from imports(node)


def forwards(package: Path, files: list[str], companions: re.Pattern[str]) -> dict[str, list[int]]:
    """[lines, those that name the companions] of the body of every `forward`: code without docstring and comments."""
    found: dict[str, list[int]] = {}
    for file in files:
        text = (package / file).read_text(encoding="utf-8")
        for kind in ast.walk(ast.parse(text)):
            if not isinstance(kind, ast.ClassDef):
                continue
            for method in kind.body:
                if isinstance(method, ast.FunctionDef) and method.name == "forward":
                    body = method.body[1:] if ast.get_docstring(method) is not None else method.body
                    last = method.end_lineno
                    code = code_lines(text.splitlines()[body[0].lineno - 1 : last])
                    found[f"{kind.name}.forward"] = [len(code), sum(bool(companions.search(line)) for line in code)]
    return found


def shown(guide: Path, companions: re.Pattern[str]) -> list[int]:
    """[lines, those that name the companions] of the Python that a page shows, as in `forwards`."""
    blocks = re.findall(r"^```py(?:thon)?\n(.*?)^```", guide.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    code = code_lines([line for block in blocks for line in block.splitlines()])
    return [len(code), sum(bool(companions.search(line)) for line in code)]


def code_lines(lines: list[str]) -> list[str]:
    """The lines that are neither empty nor a comment."""
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def measure(package: Path, cases: list[str], companions: re.Pattern[str]) -> dict[str, Any]:
    """Everything that is counted in one checkout."""
    result: dict[str, Any] = {"cases": {}}
    for case in cases:
        words = [sys.executable, "-m", "benchmarks.reading", "--follow", case, "--package", str(package)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{CASES[case]} failed in {package}:\n{done.stderr}")
        result["cases"][case] = json.loads(done.stdout)
    result["core"] = core(package)
    result["forwards"] = forwards(package, list(result["core"]), companions)
    guide = package / GUIDE
    result["guide"] = shown(guide, companions) if guide.exists() else None
    return result


def rows(result: dict[str, Any], companions: str) -> dict[str, str]:
    """The table's cells of one checkout, by their first column."""
    cells = {}
    for case, found in result["cases"].items():
        files, functions, lines = len(found["entered"]), len(found["functions"]), sum(found["lines"].values())
        cells[f"{CASES[case]}: entered"] = f"{files} files, {functions} functions, {lines} lines"
        if found["imported"]:
            cells[f"{CASES[case]}: imported"] = f"{len(found['imported'])} files"
    cells["the core"] = f"{len(result['core'])} files, {sum(result['core'].values())} lines"
    naming = "lines, those with " + companions.replace("|", "\\|")  # a bar would end the cell
    cells |= {f"{name}: {naming}": "{}, {}".format(*counts) for name, counts in result["forwards"].items()}
    if result["guide"] is not None:
        cells[f"{GUIDE.name}, its Python: {naming}"] = "{}, {}".format(*result["guide"])
    return cells


def table(results: dict[str, dict[str, Any]], companions: str) -> str:
    """Markdown: one column per checkout, and below it the files that a reader opens to follow one number."""
    columns = {package: rows(result, companions) for package, result in results.items()}
    names = dict.fromkeys(name for cells in columns.values() for name in cells)
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for name in names:
        cells = " | ".join(cells.get(name, "") for cells in columns.values())
        lines.append(f"| {name} | {cells} |")
    for package, result in results.items():
        if "forward" in result["cases"]:
            lines += ["", f"{package}: the functions from ids to logits, in lines per file", ""]
            lines += [f"- {file}: {n}" for file, n in result["cases"]["forward"]["lines"].items()]
    return "\n".join(lines)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--package", type=Path, action="append", metavar="PATH", help="a checkout (default: this one)")
    parser.add_argument("--only", default=",".join(CASES), metavar="CASES", help="some cases, joined by commas")
    parser.add_argument("--companions", default=COMPANIONS, metavar="REGEX", help="what their lines contain")
    parser.add_argument("--json", metavar="FILE", help="write every name and number to this file")
    parser.add_argument("--follow", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    packages = [path.resolve() for path in options.package or [ROOT]]
    if options.follow:
        print(json.dumps(follow(options.follow, packages[0])))
        return
    cases = [case for case in options.only.split(",") if case]
    if unknown := set(cases) - CASES.keys():
        parser.error(f"--only {','.join(sorted(unknown))}: choose among {', '.join(CASES)}.")
    pattern = re.compile(options.companions)
    results = {str(package): measure(package, cases, pattern) for package in packages}
    print(table(results, options.companions))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
