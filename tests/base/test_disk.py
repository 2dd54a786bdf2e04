"""Files and directories that are there whole or not at all, also after a process that was killed."""

import os
from pathlib import Path

import pytest

from gpt2.base.disk import abandoned, half_written, held, whole_file
from gpt2.checkpoint.target import whole_directory


def test_what_a_killed_process_left_of_a_file_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    killed, living, mine = half_written(target), half_written(target), tmp_path / ".result.json.mine.partial"
    for path in (killed, living, mine, tmp_path / ".other.json.12345678.partial"):
        path.write_text("half")
    with held(living), whole_file(target) as temporary:
        temporary.write_text("whole")
        assert abandoned(target) == []
    assert target.read_text() == "whole"
    assert {path.name for path in tmp_path.iterdir()} == {
        target.name, living.name, mine.name, ".other.json.12345678.partial"
    }  # fmt: skip


def test_what_a_killed_process_left_of_a_directory_goes_but_what_is_a_users(tmp_path: Path) -> None:
    target = tmp_path / "model"
    killed, users = half_written(target), half_written(target)
    for path, name in ((killed, "config.json"), (users, "letter.txt")):
        path.mkdir()
        (path / name).write_text("half")
    with whole_directory(target) as temporary:
        (temporary / "config.json").write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([target.name, users.name])


def test_a_file_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with whole_file(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert os.listdir(tmp_path) == []
