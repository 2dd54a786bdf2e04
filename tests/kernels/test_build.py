"""What builds the kernel: it compiles once, and an install without a compiler goes on without it."""

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="it is in the test extra")
import hatch_build
from gpt2.kernels.library import FILE
from hatch_build import CustomBuildHook, compile_kernel

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the kernel is not built on Windows")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the library would come to lie; nothing is there yet."""
    monkeypatch.setattr(hatch_build, "LIBRARY", tmp_path / "linear.so")
    monkeypatch.delenv("GPT2_KERNELS", raising=False)
    return tmp_path / "linear.so"


def built(version: str) -> dict:
    data = {"force_include": {}, "pure_python": True}
    CustomBuildHook(".", {}, None, None, ".", "wheel").initialize(version, data)
    return data


PURE = {"force_include": {}, "pure_python": True}


@POSIX
def test_a_wheel_with_the_kernel_is_one_for_this_system(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an editable install reads the library from where it lies."""
    monkeypatch.setenv("CXX", "a compiler that is not asked: the library is newer than its sources")
    library.write_bytes(b"")
    wheel = built("standard")
    assert wheel["force_include"] == {str(library): "gpt2/kernels/native/linear.so"}
    assert not wheel["pure_python"]
    assert wheel["tag"].startswith("py3-none-")
    assert built("editable") == PURE
    assert hatch_build.Path(hatch_build.__file__).parent / "gpt2/kernels/native/linear.so" == FILE


@POSIX
@pytest.mark.parametrize("compiler", ["false", "no-such-compiler"])
def test_an_install_goes_on_without_the_kernel(
    compiler: str, library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", compiler)
    assert built("standard") == PURE
    assert not library.exists()
    assert "The kernel of gpt2/kernels is left out" in capsys.readouterr().err


@POSIX
def test_it_is_left_out_where_that_is_asked(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT2_KERNELS", "off")
    library.write_bytes(b"")
    assert built("standard") == PURE


@POSIX
def test_it_is_compiled_anew_when_a_source_is_newer(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.write_bytes(b"")
    os.utime(library, (0, 0))
    asked = []
    monkeypatch.setattr(hatch_build, "_compile", asked.append)
    monkeypatch.setenv("CXX", "c++")
    assert compile_kernel()
    assert asked == ["c++"]
