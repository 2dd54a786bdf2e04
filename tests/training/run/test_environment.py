"""Where a run took place: what is written, and what is not."""

import json
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gpt2.base.sealed import sealed
from gpt2.training.run.environment import FIELDS, commit, describe, write_environment


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    commit.cache_clear()
    yield
    commit.cache_clear()


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = describe(torch.device("cpu"))
    assert environment["torch"] == torch.__version__
    assert environment["threads"] == torch.get_num_threads()
    assert (environment["gpu"], environment["cuda"]) == (None, None)
    assert len(environment["processor"]) > 2
    write_environment(tmp_path, environment)
    text = (tmp_path / "environment.json").read_text()
    assert json.loads(text) == sealed(environment)
    assert {*environment} == {*FIELDS}
    assert [word for word in (platform.node(), str(tmp_path), str(Path.home())) if word and word in text] == []
    assert [path.name for path in tmp_path.iterdir()] == ["environment.json"]


def test_the_commit_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == {"commit": None, "uncommitted_changes": None}
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "first")
    commit.cache_clear()
    assert commit() == {"commit": git(tmp_path, "rev-parse", "HEAD"), "uncommitted_changes": False}
    (tmp_path / "a").write_text("2")
    assert not commit()["uncommitted_changes"]  # of the process's start
    commit.cache_clear()
    assert commit()["uncommitted_changes"]


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit()["commit"] is None
