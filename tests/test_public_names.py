"""What `import gpt2` offers: one list, the same everywhere, each name explained by its own docstring."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import gpt2
import gpt2.explain
from gpt2.cli.commands import COMMANDS
from gpt2.cli.explain.analyses import ANALYSES

FILE = Path(gpt2.__file__)
NAMES = [name for name in gpt2.__all__ if name != "__version__"]
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(gpt2, name))]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(gpt2, name))]


def test_every_name_is_a_function_a_class_or_the_table_of_sizes() -> None:
    assert {*FUNCTIONS, *CLASSES, "PRESETS"} == {*NAMES}
    assert {"load", "save", "generate", "stream", "score", "trace", "finetune", "sampling_for"} == {*FUNCTIONS}


def test_type_checkers_see_the_same_names() -> None:
    """Those under `if TYPE_CHECKING` are what `getattr` gives; py.typed says that they may be trusted."""
    [block] = [node for node in ast.parse(FILE.read_text("utf-8")).body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {*seen} == {*NAMES}
    for name, module in seen.items():
        assert getattr(import_module(str(module)), name) is getattr(gpt2, name)
    assert (FILE.parent / "py.typed").is_file()


def test_dir_shows_the_list_and_nothing_else() -> None:
    assert [name for name in dir(gpt2) if not name.startswith("_")] == sorted(NAMES)
    assert {"__version__", "__doc__"} <= {*dir(gpt2)}


def test_the_docstring_of_the_package_gives_every_name_a_line() -> None:
    assert {*re.findall(r"^    (\w+)  +\S", gpt2.__doc__ or "", re.MULTILINE)} == {*NAMES}


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(AttributeError, match="generat"):
        gpt2.generat  # noqa: B018


def test_every_command_has_a_name_of_the_package_or_a_hint() -> None:
    for package, names in ((gpt2, COMMANDS), (gpt2.explain, ANALYSES)):
        for name in (command.replace("-", "_") for command in names):  # leave-one-out is leave_one_out in Python
            if not hasattr(package, name):
                with pytest.raises(AttributeError, match=f"has no attribute '{name}': "):
                    getattr(package, name)


def test_an_import_of_a_command_shows_the_hint() -> None:
    """The statement leaves out what an AttributeError says: `from gpt2.explain import patch` ended without a hint."""
    with pytest.raises(ImportError, match=r"'patch' from 'gpt2.explain': write from gpt2.explain import Patching, and"):
        from gpt2.explain import patch  # type: ignore[attr-defined]  # noqa: F401
    with pytest.raises(ImportError, match="'serve' from 'gpt2': it is a command: type `gpt2 serve` in a terminal"):
        from gpt2 import serve  # type: ignore[attr-defined]  # noqa: F401
    with pytest.raises(ImportError, match="'nothing' from 'gpt2' \\("):
        from gpt2 import nothing  # type: ignore[attr-defined]  # noqa: F401


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import gpt2, sys; dir(gpt2); print([m for m in ('torch', 'numpy', 'tyro', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=FILE.parents[1], check=True, capture_output=True)
    assert done.stdout == b"[]\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_docstring_of_a_function_stands_alone(name: str) -> None:
    """Its arguments, what it returns, what it raises, and how it is called."""
    function = getattr(gpt2, name)
    text = inspect.getdoc(function) or ""
    arguments = list(inspect.signature(function).parameters)
    if name == "generate":  # it names `stream` for the rest
        assert "`stream`" in text
    missing = [p for p in arguments if not re.search(rf"^\s*[\w, ]*\b{p}\b", text, re.MULTILINE)]
    assert missing == [], f"gpt2.{name} does not explain {missing}"
    assert re.search(r"Returns|yields|Piece` for every token", text), name
    assert "Raises" in text, name
    assert re.search(rf"^    .*gpt2\.{name}\(", text, re.MULTILINE), f"gpt2.{name} shows no call"


@pytest.mark.parametrize("name", [n for n in CLASSES if dataclasses.is_dataclass(getattr(gpt2, n))])
def test_the_docstring_of_a_record_names_its_fields(name: str) -> None:
    text = inspect.getdoc(getattr(gpt2, name)) or ""
    missing = [f.name for f in dataclasses.fields(getattr(gpt2, name)) if not re.search(rf"\b{f.name}\b", text)]
    assert missing == [], f"gpt2.{name} does not explain {missing}"


@pytest.mark.parametrize("name", CLASSES)
def test_the_docstring_of_a_class_names_what_it_is_made_of(name: str) -> None:
    kind = getattr(gpt2, name)
    text = f"{inspect.getdoc(kind)}\n{inspect.getdoc(kind.__init__)}"
    arguments = list(inspect.signature(kind.__init__).parameters.values())[1:]
    missing = [
        p.name
        for p in arguments
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and not re.search(rf"\b{p.name}\b", text)
    ]
    assert missing == [], f"gpt2.{name} does not explain {missing}"


@pytest.mark.parametrize("name", [n for n in CLASSES if not issubclass(getattr(gpt2, n), Exception)])
def test_every_public_method_has_a_docstring(name: str) -> None:
    kind = getattr(gpt2, name)
    own = {n: m for n, m in vars(kind).items() if not n.startswith("_") and (callable(m) or isinstance(m, property))}
    assert [n for n, m in own.items() if not inspect.getdoc(m)] == []
