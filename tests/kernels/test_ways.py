"""Which way is the fastest: how it is decided, and where the answer is kept."""

import json
from pathlib import Path

import pytest
import torch

from gpt2.kernels import library, ways


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in a cache folder of its own, for a measurement that takes no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(ways, "measure", lambda dtype: pytest.fail("measured again"))
    ways._ways.cache_clear()
    yield tmp_path / "cache" / "glassbox-gpt2" / "linear-maps.json"
    ways._ways.cache_clear()


def answer(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(ways, "measure", lambda dtype: [{way: 1.0}] * 4)
    ways._ways.cache_clear()


def test_the_fastest_wins_and_the_kernel_where_it_is_nearly_as_fast() -> None:
    seconds = [
        {"torch": 1.0, "kernel": 1.1},
        {"torch": 1.0, "kernel": 1.2},
        {"torch": 2.0, "packed": 1.0},
        {"torch": 1.0},
    ]
    assert ways.fastest(seconds) == ("kernel", "torch", "packed", "torch")


def test_it_is_measured_once_for_a_processor_and_what_is_computed_there(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "onednn")
    assert ways.ways(torch.float32) == ("onednn",) * 4
    monkeypatch.setattr(ways, "measure", lambda dtype: pytest.fail("measured again"))
    ways._ways.cache_clear()
    assert ways.ways(torch.float32) == ("onednn",) * 4
    [name] = json.loads(kept.read_text())
    for part in (ways.processor(), torch.__version__, "float32", f"{torch.get_num_threads()} threads"):
        assert part in name
    answer(monkeypatch, "torch")
    monkeypatch.setattr(ways, "processor", lambda: "another one")
    assert ways.ways(torch.float32) == ("torch",) * 4
    assert len(json.loads(kept.read_text())) == 2


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"NAME": ["torch", "torch"]}', '{"NAME": [["a", "b", "c", "d"], []]}', '{"NAME": 3}']
)
def test_a_damaged_file_is_measured_again(damage: str, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "torch")
    ways.ways(torch.float32)
    [name] = json.loads(kept.read_text())
    kept.write_text(damage.replace('"NAME"', json.dumps(name)))
    answer(monkeypatch, "onednn")
    assert ways.ways(torch.float32) == ("onednn",) * 4
    assert list(json.loads(kept.read_text()).values()) == [[["onednn"] * 4] * 2]


def test_a_folder_that_cannot_be_written_is_no_failure(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.parent.parent.write_text("a file where the folder should be")
    answer(monkeypatch, "torch")
    assert ways.ways(torch.float32) == ("torch",) * 4


def test_a_measurement_names_the_seconds_of_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "SHAPE", (24, 16))
    monkeypatch.setattr(ways, "_last_cache", lambda: 0)
    found = ways.measure(torch.float32)
    assert len(found) == len(ways.ROWS)
    for of in found:
        assert "torch" in of
        assert ("kernel" in of) == (library.library() is not None)
        assert all(seconds > 0 for seconds in of.values())
    assert len(ways.fastest(found)) == 4
