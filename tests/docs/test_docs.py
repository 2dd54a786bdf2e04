"""The documents are true: their Python runs, their commands print what they show, their links lead somewhere.

A ```python block runs in this process, after those above it in its document; a ```text block below it is what it
prints. (A ```py block shows other software's code and is not run.) A ```console block of docs/explain.md or
docs/scores.md holds `gpt2` commands with their standard output, through a pipe of 80 columns; or, where a command
fails, its one sentence. Outputs are compared with the liberties of scripts/examples.py, which also renews them. Two
analyses take minutes (SLOW): their commands are parsed and not run; what they compute is tested in test_heads.py and
test_behaviours.py.
"""

import pkgutil
import re
import shlex
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import gpt2
import gpt2.checkpoint
import gpt2.explain
from gpt2.addresses import parse
from gpt2.cli.explain import command as explain
from gpt2.cli.main import main
from scripts.examples import PYTHON, ROOT, SLOW, agrees, blocks, examples

DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
TRIED = [ROOT / "docs" / name for name in ("explain.md", "scores.md")]
COMMANDS = [
    example for path in TRIED for block in blocks("console", path.read_text("utf-8")) for example in examples(block)
]
IN_ORDER = [ROOT / "docs" / name for name in ("checkpoints.md", "export.md", "quantised.md")]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in that shows the bundled files, and a terminal of 80 columns."""
    (tmp_path / "gpt2").symlink_to(ROOT / "gpt2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if PYTHON.search(p.read_text("utf-8"))], ids=lambda p: p.name)
def test_the_python_of_a_document_prints_what_it_shows(
    path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace: dict[str, object] = {"__name__": "document"}
    for match in PYTHON.finditer(path.read_text("utf-8")):
        code, want = match.groups()
        exec(compile(code, path.name, "exec"), namespace)
        got = capsys.readouterr().out
        if want is not None:
            assert agrees(want, got), f"{path.name} shows\n{want}\nbut\n{code}\nprints\n{got}"


def test_the_document_has_examples() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize(("command", "want"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_prints_what_the_document_shows(
    command: str, want: str, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *words = shlex.split(command.replace("\\\n", " "))
    assert program == "gpt2", "commands of these documents run in this process, so they are gpt2's alone"
    if words[1] in SLOW:
        assert explain.parse(words[1:])
        return
    code = main(words)
    out, err = capsys.readouterr()
    got = err if code else out
    assert agrees(want, got), f"a document shows\n{want}\nbut `{command}` prints\n{got}{'' if code else err}"
    assert (code != 0) == want.startswith("gpt2: ")


@pytest.mark.parametrize("path", IN_ORDER, ids=lambda path: path.name)
def test_commands_that_read_what_another_wrote(path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [example for block in blocks("console", path.read_text("utf-8")) for example in examples(block)]
    assert len(shown) > 4
    for command, want in shown:
        code = main(shlex.split(command)[1:])
        out, err = capsys.readouterr()
        assert agrees(want, err if code else out), f"`{command}` prints\n{err if code else out}"
        assert (code != 0) == want.startswith("gpt2: ")


def outside_code(path: Path) -> str:
    """A document without what its fences hold."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The names that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", outside_code(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> list[str]:
    """Relative links of a document that lead to no file, or to no heading of one."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", outside_code(path)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        if file == "index.html" and path.parent == ROOT / "docs":  # the site's live page: test_teaching.py
            continue
        target = path.parent / file if file else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("path", [ROOT / "README.md", *DOCUMENTS], ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two\n[a](page.md) [b](none.md) [c](#one-two) [d](#three) ![e](x.png) [f](https://example.org/x)\n"
        "```text\n[g](in-code.md)\n```\n"
    )
    assert broken_links(page) == ["none.md", "#three", "x.png"]


ADDRESS = re.compile(r"`((?:l|\d+|\*|embed|final)\.[a-z_][\w.*@:#]*)`")


@pytest.mark.parametrize("name", ["explain.md", "from-transformerlens.md", "terms.md"])
def test_addresses_in_the_text_are_addresses(name: str) -> None:
    named = set(ADDRESS.findall(outside_code(ROOT / "docs" / name)))
    for text in {t for t in named if not re.search(r"attn\.b_[VO]$", t)}:  # parts of a sum, not tensors
        assert parse(re.sub(r"^l\.", "3.", text).replace(".head.h", ".head.7").replace("#n", "#1"), 12, 12), text


def test_a_term_is_defined_once() -> None:
    terms = re.findall(r"^\*\*([^*]+)\.\*\*", (ROOT / "docs" / "terms.md").read_text("utf-8"), re.MULTILINE)
    names = [re.sub(r" \(.*", "", part).strip() for term in terms for part in term.lower().split(",")]
    assert len(names) > 60
    assert {n for n in names if names.count(n) > 1} == {"head"}  # of attention, and of the model: each says which


@pytest.mark.parametrize("package", [gpt2, gpt2.checkpoint, gpt2.explain])
def test_a_public_name_is_never_a_submodule(package: ModuleType) -> None:
    """Once, `from gpt2.explain import off` gave a function or a module, by what had been imported before."""
    inside = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert inside & set(package.__all__) == set()
    for module in inside - {"__main__"}:
        import_module(f"{package.__name__}.{module}")
    for name in package.__all__:
        assert not isinstance(getattr(package, name), ModuleType), name
