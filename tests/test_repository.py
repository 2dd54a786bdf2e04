"""What holds for the repository as a whole: which way imports point, and what may be committed."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import gpt2
from gpt2.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gpt2"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
CORE_FILES = "config attention block model forward_pass probe addresses cache loss"
CORE = {f"gpt2.{name}" for name in CORE_FILES.split()}
PARTS = ("explain", "training", "inference")


def committed() -> list[Path]:
    """The files under version control; in an archive without git, every file but what tools leave."""
    if (ROOT / ".git").exists():
        # safe.directory: a checkout that belongs to another user than the one who runs the tests
        words = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
        listed = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    left_by_tools = re.compile(r"(\.venv.*|__pycache__|\.\w+_cache|build|dist)/")
    files = [path for path in ROOT.rglob("*") if path.is_file()]
    return [path for path in files if not left_by_tools.match(str(path.relative_to(ROOT)))]


FILES = committed()


def texts() -> list[tuple[str, str]]:
    """Every committed text file as (path, text), but for data and weights."""
    kept = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".cfg", ".sh", ".html", ".js", ".css", ".ipynb", ""}
    return [(str(f.relative_to(ROOT)), f.read_text("utf-8")) for f in FILES if f.suffix in kept]


def nodes(tree: ast.AST, types: bool) -> Iterator[ast.AST]:
    """Every node of a file; without `types`, those under `if TYPE_CHECKING` are left out."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if types or not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from nodes(child, types)


def imports(name: str, types: bool = True) -> set[str]:
    """The modules of the package that module `name` imports anywhere, inside functions too; `types`: for types too."""
    found: set[str] = set()
    for node in nodes(ast.parse(MODULES[name].read_text("utf-8")), types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            # `from gpt2.data import shards` imports the module gpt2.data.shards
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names}
    return {module for module in found if module.split(".")[0] == "gpt2"}


def part(module: str) -> str:
    """`training` for gpt2.training and for everything inside it."""
    return [*module.split("."), ""][1]


def test_imports_are_found_in_every_spelling(tmp_path, monkeypatch):
    source = "import gpt2.cli.main\nfrom gpt2.data import shards\nimport torch\n"
    source += "def f():\n    from ..model import GPT2\n    from . import other\n"
    (tmp_path / "m.py").write_text(source)
    names = ("gpt2.training.m", "gpt2.data.shards", "gpt2.training.other", "gpt2.model")
    for name in names:
        monkeypatch.setitem(MODULES, name, tmp_path / "m.py")
    assert imports("gpt2.training.m") == {
        "gpt2.cli.main", "gpt2.data.shards", "gpt2.model", "gpt2.training.other",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_imports_nothing_else_of_the_package(name):
    assert imports(name) - CORE == set()


def test_the_core_is_read_in_one_sitting():
    """GPT-2 whole, docstrings included: every file that the core imports is counted."""
    lines = {name: len(MODULES[name].read_text("utf-8").splitlines()) for name in CORE}
    assert sum(lines.values()) < 940, lines


@pytest.mark.parametrize("name", sorted(CORE))
def test_a_line_of_the_core_holds_one_statement(name):
    """No semicolon, no body behind a colon, no assignment inside an expression."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    assert len(lines) == len(set(lines))
    assert not any(isinstance(node, ast.NamedExpr) for node in ast.walk(tree))


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_prints_nothing_and_opens_nothing(name):
    called = {n.func for n in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(n, ast.Call)}
    assert not {f.id for f in called if isinstance(f, ast.Name)} & {"print", "open", "input"}


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) in PARTS])
def test_parts_never_import_each_others_insides(name):
    others = {module for module in imports(name) if part(module) in PARTS and part(module) != part(name)}
    insides = {module for module in others if module.count(".") > 1}
    assert insides == set()


@pytest.mark.parametrize("name", MODULES)
def test_only_the_outside_knows_the_outside(name):
    if part(name) not in ("cli", "server", "__main__"):
        assert {module for module in imports(name) if part(module) in ("cli", "server")} == set()


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups in which each leads to each other: strongly connected components of more than one."""

    def reached(start: str) -> set[str]:
        seen, ahead = set(), [start]
        while ahead:
            fresh = arrows[ahead.pop()] - seen
            seen |= fresh
            ahead += fresh
        return seen

    reach = {name: reached(name) for name in arrows}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in arrows}
    return [list(group) for group in sorted(groups) if group]


def test_circles_are_found():
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert circles(arrows) == [["b", "c"]]


def test_no_import_goes_in_a_circle():
    """At run time, imports inside functions included: what two files need stands in a third one."""
    arrows = {name: imports(name, types=False) & MODULES.keys() - {name} for name in MODULES}
    assert circles(arrows) == []


# What the server may do with tensors: hold them, take parts of them, hand their numbers on.
OF_TORCH = {"Tensor", "float16", "float32", "int32", "frombuffer", "full", "nan", "zeros"}
OF_TENSORS = {
    "contiguous", "count_nonzero", "detach", "flatten", "float", "is_floating_point", "item", "numel", "numpy", "size",
    "to", "tolist", "view",
}  # fmt: skip

NO_TENSORS = {"session", "means", "math"}  # whose methods have names that tensors' methods have too


def computations(source: str) -> set[str]:
    """What a file computes with tensors itself, beside moving them: names of torch's functions, of methods, and @."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
            found |= {f"torch.{node.attr}"} - {f"torch.{name}" for name in OF_TORCH}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found |= {m for m in modules if m.startswith("torch.")}
            if modules == ["torch"] and isinstance(node, ast.ImportFrom):
                found |= {f"torch.{a.name}" for a in node.names if a.name not in OF_TORCH}
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found.add("@")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            others = {*dir(dict), *dir(list), *dir(str), *dir(set), *dir(Path), *dir(re.Pattern)}
            moves = node.func.attr in others | OF_TENSORS or ast.unparse(node.func.value) in NO_TENSORS
            if hasattr(torch.Tensor, node.func.attr) and not moves:
                found.add(f".{node.func.attr}()")
    return found


def test_computations_are_found():
    source = "import torch\nimport torch.nn.functional as F\nfrom torch import Tensor, einsum\n"
    source += "y = torch.stack([x.softmax(-1).tolist(), a @ b, x.norm(dim=1), d.items(), torch.nan, math.prod(n)])\n"
    assert computations(source) == {
        "torch.nn.functional", "torch.einsum", "torch.stack", ".softmax()", "@", ".norm()",
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) == "server"])
def test_the_server_asks_and_computes_nothing(name):
    """Its answers are those of explain and inference, which a reader can ask too."""
    assert computations(MODULES[name].read_text("utf-8")) == set()


OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
OTHERS_OPTIONS = {  # options that are not of the caller, by module
    "gpt2.base.errors": {"--overwrite"},  # says in its docstring how a command spells `overwrite=True`
    "gpt2.data.shards": {"--out", "--overwrite", "--tokenizer"},  # of `gpt2 prepare`, whoever reads a damaged data set
    "gpt2.evaluation.lm_eval_adapter": {"--model", "--model_args", "--tasks"},  # of `python -m`, for lm-eval
    "gpt2.training.run.environment": {"--porcelain", "--untracked-files"},  # of git
}


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) != "cli"])
def test_only_commands_speak_of_options(name):
    """The library names arguments as Python does; `gpt2/cli/errors.py` makes options of them."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    found = {option for text in texts for option in OPTION.findall(text)}
    assert found == OTHERS_OPTIONS.get(name, set())


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is(name):
    assert ast.get_docstring(ast.parse(MODULES[name].read_text("utf-8")))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_module(name):
    module, summary = COMMANDS[name]
    assert module in MODULES
    assert summary
    command = import_module(module).Command
    assert command.__doc__
    assert callable(command.run)


def test_every_command_module_is_listed():
    command = re.compile(r"^(class Command\b|Command = )", re.MULTILINE)
    written = {n for n in MODULES if part(n) == "cli" and command.search(MODULES[n].read_text("utf-8"))}
    assert written == {module for module, _ in COMMANDS.values()}


ENTERED = """
import json, sys
from pathlib import Path
import gpt2
from gpt2.cli.main import main

package, importing, entered = str(Path(gpt2.__file__).parent), 0, set()

def seen(frame, event, argument):
    global importing
    body = frame.f_code.co_name == "<module>"
    if body and event in ("call", "return"):
        importing += 1 if event == "call" else -1
    elif event == "call" and not importing and frame.f_code.co_filename.startswith(package):
        entered.add(Path(frame.f_code.co_filename).relative_to(package).as_posix())

sys.setprofile(seen)
code = main(["next", "The cat sat on the"])
sys.setprofile(None)
print(json.dumps([code, sorted(entered), sorted(name for name in sys.modules if name.startswith("gpt2."))]))
"""


def test_the_next_token_takes_few_files():
    """`gpt2 next` on a plain checkpoint: files with a function that runs (what runs while a module is imported does
    not count), and parts of the package that are loaded."""
    done = subprocess.run([sys.executable, "-c", ENTERED], cwd=ROOT, check=True, capture_output=True, text=True)
    code, entered, loaded = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert "model.py" in entered
    assert len(entered) <= 23, entered
    assert {part(name) for name in loaded} & {"data", "training", "ablation", "explain", "inference", "server"} == set()
    assert {"gpt2.habits", "gpt2.base.calls", "gpt2.base.names"} & set(loaded) == set()  # answers for callers in Python


@pytest.mark.parametrize("name", gpt2.__all__)
def test_every_public_name_exists(name):
    assert getattr(gpt2, name) is not None


def test_no_large_file():
    """Data and weights stay out of version control; the bundled model is the one exception."""
    large = [path for path in FILES if path.stat().st_size > 1_000_000]
    bundled = [path for path in large if path.match("gpt2/assets/*/*.safetensors")]
    assert [path for path in large if path not in bundled] == []
    assert all(path.stat().st_size <= 32_000_000 for path in bundled)


def test_the_bundled_model_is_at_most_32_mb():
    assert sum(path.stat().st_size for path in (PACKAGE / "assets").rglob("*")) <= 32_000_000


def test_nothing_pickled_is_committed():
    assert [path for path in FILES if path.suffix in {".pt", ".pth", ".bin", ".pkl", ".npy", ".pyc"}] == []


def test_no_path_of_one_machine():
    """Absolute paths are somebody's; those that every system has may stand."""
    absolute = re.compile(r"""(?<![\w.~/$:<>)}\]*+%@-])/[A-Za-z_][\w.-]*/[\w.-]+""")
    everywhere = ("/usr/bin", "/bin/", "/dev/", "/proc/", "/v1/", "/api/", "/path/to")
    for file, text in texts():
        if file not in (".gitignore", ".gitattributes"):  # their slashes mean the root of the repository
            assert [found for found in absolute.findall(text) if not found.startswith(everywhere)] == [], file


def test_no_package_index_is_named():
    """Where packages come from is the machine's setting, never this project's."""
    index = re.compile(r"(?i)(index.url|find.links|trusted.host)[\s=:\"']+(https?|file):")
    for file, text in texts():
        assert not index.search(text), file


COLOUR = re.compile(r"#[0-9a-f]{6}\b")


def test_colours_stand_in_one_place():
    """Pictures take theirs from base/palette.py; the site takes those of the page, whose themes are in one file."""
    named = {name for name, path in MODULES.items() if COLOUR.search(path.read_text("utf-8"))}
    assert named == {"gpt2.base.palette"}
    page = set(COLOUR.findall((PACKAGE / "server/web/style.css").read_text("utf-8")))
    for name in ("site.css", "icon.svg"):
        found = set(COLOUR.findall((ROOT / "docs/site" / name).read_text("utf-8")))
        assert found
        assert found <= page, name


def test_text_files_are_tidy():
    for file, text in texts():
        assert "\r" not in text, file
        assert "\t" not in text or file.endswith((".txt", ".js", ".html")), file
        assert text == "" or text.endswith("\n"), file
        if not file.endswith(".md"):
            assert not re.search(r"[ \t]+$", text, re.MULTILINE), file


def test_pins_cover_every_declared_dependency():
    """constraints.txt fixes exactly one release for each package that pyproject.toml asks for."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", pin)] == []
    names = [pin.partition("==")[0] for pin in pins]
    assert all(first < second for first, second in pairwise(names))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    assert {re.match(r"[\w-]+", requirement)[0] for requirement in asked} <= set(names)


def test_links_between_documents_lead_somewhere():
    for file in FILES:
        if file.suffix == ".md":
            for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", file.read_text("utf-8")):
                live = file.parent.name == "docs" and target == "index.html"  # the live page, which the site makes
                assert live or (file.parent / target).exists(), f"{file.name}: {target}"
