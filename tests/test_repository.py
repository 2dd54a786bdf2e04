"""What holds for the repository as a whole: which way imports point, and what may be committed."""

import ast
import re
import subprocess
import tomllib
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

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


def imports(name: str) -> set[str]:
    """The modules of the package that module `name` imports anywhere: inside functions and for types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
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
    assert sum(lines.values()) < 900, lines


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


OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
OTHERS_OPTIONS = {  # options that are not of `gpt2`, by module
    "gpt2.base.errors": {"--overwrite"},  # says in its docstring how a command spells `overwrite=True`
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
    everywhere = ("/usr/bin", "/bin/", "/dev/", "/proc/", "/v1/", "/path/to")
    for file, text in texts():
        if file not in (".gitignore", ".gitattributes"):  # their slashes mean the root of the repository
            assert [found for found in absolute.findall(text) if not found.startswith(everywhere)] == [], file


def test_no_package_index_is_named():
    """Where packages come from is the machine's setting, never this project's."""
    index = re.compile(r"(?i)(index.url|find.links|trusted.host)[\s=:\"']+(https?|file):")
    for file, text in texts():
        assert not index.search(text), file


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
                assert (file.parent / target).exists(), f"{file.name}: {target}"
