"""Files that a user names: pipes are read once, and nothing waits for ever or reads without an end."""

import os
import threading
from pathlib import Path

import pytest

from gpt2.base import given, notes
from gpt2.base.errors import UsageError
from gpt2.base.given import kind_given, open_given, read_given
from gpt2.data.documents import documents
from gpt2.data.files import sources
from gpt2.explain.change import pairs
from gpt2.training.recipe_file import load_recipe

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(given, "PATIENCE", 0.02)


@pytest.fixture
def pipe(tmp_path) -> Path:
    path = tmp_path / "p.txt"
    os.mkfifo(path)
    return path


@pytest.fixture
def endless(tmp_path) -> Path:
    path = tmp_path / "q.txt"
    path.symlink_to("/dev/zero")
    return path


def test_a_named_pipe_without_a_writer_is_refused(pipe):
    with pytest.raises(OSError, match="it is a named pipe, and nothing is written to it"):
        open_given(pipe)


def test_a_named_pipe_with_a_writer_is_read(pipe, monkeypatch):
    monkeypatch.setattr(given, "PATIENCE", 60)
    writer = threading.Thread(target=pipe.write_text, args=("hello",))
    writer.start()
    assert list(documents(sources([pipe], pipes=True)[0][0].path)) == ["hello"]
    writer.join()


def test_a_pipe_that_a_shell_opened_is_waited_for():
    read, write = os.pipe()
    writer = threading.Timer(0.1, lambda: (os.write(write, b"hello"), os.close(write)))
    writer.start()
    assert read_given(Path(f"/dev/fd/{read}")) == b"hello"
    writer.join()
    os.close(read)


def test_the_null_device_is_an_empty_file():
    assert read_given(Path(os.devnull)) == b""


def test_a_device_is_no_file(endless):
    assert kind_given(endless) == "a device"
    with pytest.raises(OSError, match="it is a device"):
        read_given(endless)


def test_text_is_no_pipe_where_it_is_read_twice(pipe, endless):
    with pytest.raises(ValueError, match=r"p\.txt is a named pipe: name a file"):
        sources([pipe])
    for pipes in (False, True):
        with pytest.raises(ValueError, match=r"q\.txt is a device: name a file"):
            sources([endless], pipes)


def test_a_directory_of_text_leaves_out_what_is_no_file(pipe, endless, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    notes.forget()
    with pytest.warns(notes.Note, match=r"1 named pipe \(p\.txt\), 1 device \(q\.txt\)"):
        found, left = sources([tmp_path])
    assert [one.name for one in found] == ["a.txt"]
    assert {one.path.name for one in left} == {"p.txt", "q.txt"}


def test_other_files_of_the_user_are_read_by_the_same_rule(pipe, endless, monkeypatch):
    monkeypatch.setattr(pairs, "opened", lambda model: (None, object()))
    for path, what in ((pipe, "named pipe"), (endless, "device")):
        with pytest.raises(ValueError, match=f"it is a {what}"):
            pairs.read_pairs(None, path)
        with pytest.raises(UsageError, match=f"it is a {what}"):
            load_recipe(path)
