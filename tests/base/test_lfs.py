"""A Git LFS pointer in place of a file is called so, with what to type, by whoever reads the file."""

import shutil
from pathlib import Path

import pytest

from gpt2.base.lfs import is_pointer
from gpt2.checkpoint.files import load
from gpt2.checkpoint.hub import bundled_directory
from gpt2.cli.main import main

POINTER = (
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32\nsize 12345\n"
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled_directory(), tmp_path / "clone"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_of_a_checkpoint(name: str, clone: Path) -> None:
    (clone / name).write_text(POINTER)
    assert is_pointer(clone / name)
    with pytest.raises(ValueError, match=f"{name} is a Git LFS pointer, not the file itself: run `git lfs pull`"):
        load(str(clone))


def test_of_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "big.txt"
    text.write_text(POINTER)
    assert main(["prepare", str(text), "--tokenizer", "bytes", "--out", str(tmp_path / "set")]) == 1
    assert "big.txt is a Git LFS pointer" in capsys.readouterr().err


def test_what_is_none(tmp_path: Path) -> None:
    long = tmp_path / "long"
    long.write_text(POINTER + "a text that speaks of it " * 100)
    assert not is_pointer(long)
    assert not is_pointer(tmp_path)
    assert not is_pointer(tmp_path / "missing")
