"""The cores of this process: a container's limit counts, and what the user has set stays."""

import os
from pathlib import Path

import pytest

from gpt2.base import cores as module


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("OMP_NUM_THREADS")


@pytest.mark.parametrize(
    ("said", "want"), [("max 100000", 8), ("50000 100000", 1), ("250000 100000", 3), ("9900000 100000", 8), ("x", 8)]
)
def test_a_limit_is_rounded_up_to_whole_cores(said: str, want: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(said + "\n")
    assert module.cores() == want


@pytest.mark.parametrize(("quota", "want"), [("-1", 8), ("150000", 2), ("0", 8)])
def test_the_older_files_of_a_limit_are_read(quota: str, want: int, tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert module.cores() == want


def test_threads_of_libraries_follow_the_limit_and_not_without_one(tmp_path: Path) -> None:
    module.respect_limit()
    assert "OMP_NUM_THREADS" not in os.environ
    (tmp_path / "cpu.max").write_text("150000 100000")
    module.respect_limit()
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_what_the_user_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    module.respect_limit()
    assert os.environ["OMP_NUM_THREADS"] == "5"
