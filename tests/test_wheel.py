"""The wheel: it holds every committed file of the package and nothing else, and runs from where it was installed."""

import os
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import gpt2
from tests.test_repository import FILES, PACKAGE, ROOT

KERNEL = "gpt2/kernels/native/linear.so"  # where a compiler is

wheels = pytest.importorskip("hatchling.builders.wheel", reason="it is in the test extra")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    [path] = wheels.WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    return Path(path)


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """The bundled model, its tokenizer, the page, the texts and py.typed among them."""
    names = zipfile.ZipFile(wheel).namelist()
    ours = {path.relative_to(ROOT).as_posix() for path in FILES if path.is_relative_to(PACKAGE)}
    assert {name for name in names if ".dist-info/" not in name} - {KERNEL} == ours
    assert {"gpt2/py.typed", "gpt2/server/web/index.html", "gpt2/assets/storyteller/model.safetensors"} <= ours


def test_it_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [folder] = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        said = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
        points = archive.read(f"{folder}/entry_points.txt").decode()
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert "gpt2 = gpt2.cli.main:main" in points
    assert (said["Name"], said["Version"]) == ("glassbox-gpt2", gpt2.__version__)
    assert (said["License-Expression"], said["Requires-Python"]) == ("MIT", ">=3.11")
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload() == (ROOT / "README.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {line for line in said.get_all("Requires-Dist") if "extra ==" not in line}
    assert len(needed) == len(project["dependencies"])


def test_it_runs_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    """With no other gpt2 in sight: from the installed files, in another directory, by its own command."""
    target, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--target", str(target), str(wheel)], check=True)
    variables = os.environ | {"PYTHONPATH": str(target), "HF_HUB_OFFLINE": "1"}
    script = "import gpt2, runpy, sys; print(gpt2.__file__); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    words = [sys.executable, "-c", script, str(target / "bin" / "gpt2"), "next", "Once upon a", "--top", "1"]
    done = subprocess.run(words, cwd=elsewhere, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file, *table = done.stdout.splitlines()
    assert Path(file) == target / "gpt2" / "__init__.py"
    assert any("time" in line for line in table)


def test_a_source_archive_holds_what_a_wheel_is_made_of(tmp_path: Path) -> None:
    """And nothing that is not committed: of the package, every file with its assets; of the rest, what builds it."""
    from hatchling.builders.sdist import SdistBuilder

    held = {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    committed = {path.relative_to(ROOT).as_posix() for path in FILES}
    assert {name for name in committed if name.startswith("gpt2/")} <= held
    assert {"pyproject.toml", "README.md", "LICENSE"} <= held <= committed
