"""metrics.jsonl through kills and resumes; utilisation; memory."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.base.presets import PRESETS
from gpt2.training.run.metrics import PEAKS, MetricsLog, mean_validation, mfu, peak_flops, peak_memory, read_metrics


def line(step: int) -> dict[str, float]:
    return {"step": step, "tokens": 100 * (step + 1), "loss": 1 / 3 + step}


def written(run: Path) -> list[int]:
    return [json.loads(text)["step"] for text in (run / "metrics.jsonl").read_text().splitlines()]


def test_numbers_come_back_to_the_bit(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        log.write(line(0))
        assert read_metrics(tmp_path / "metrics.jsonl") == [line(0)]  # at once, for whoever watches


def test_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        for step in range(7):
            log.write(line(step))
            if step in (2, 5):
                log.write({"step": step, "val": {"a": 2.0}})
    with MetricsLog(tmp_path, start=4) as log:
        assert log.validated == {3}
        log.write(line(4))
        log.write({"step": 4, "val": {"a": 1.0}})
        assert log.validated == {3, 5}
    assert written(tmp_path) == [0, 1, 2, 2, 3, 4, 4]


@pytest.mark.parametrize("cut", [1, 12, 24])
def test_a_torn_last_line_does_not_count(tmp_path: Path, cut: int) -> None:
    """A kill in the middle of a write: readers see the lines before it, and a resumed run writes over it."""
    with MetricsLog(tmp_path) as log:
        for step in range(3):
            log.write(line(step))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert [event["step"] for event in read_metrics(path)] == [0, 1]
    with MetricsLog(tmp_path, start=2) as log:
        log.write(line(2))
    assert [event["step"] for event in read_metrics(path)] == [0, 1, 2]
    assert written(tmp_path) == [0, 1, 2]


def test_a_fresh_run_starts_an_empty_file(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        log.write(line(0))
    MetricsLog(tmp_path).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("once upon a time\n")
    with pytest.raises(ValueError, match=r"a\.txt is not a log of gpt2 train"):
        read_metrics(tmp_path / "a.txt")


def test_the_mean_over_the_sets(tmp_path: Path) -> None:
    events = [line(0), {"step": 0, "val": {"a": 1.0, "b": 2.0}}, line(1), {"step": 1, "val": {"a": 3.0}}]
    assert mean_validation(events) == {1: 1.5, 2: 3.0}


def test_utilisation_is_palms(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPT-2 small at T = 1024 by the formula of appendix B: 6 N + 12 L H Q T, N without the position table.

    nanoGPT's figures for it are 6 x 124M + 12 x 12 x 768 x 1024 = 0.86 GFLOP a token.
    """
    config = PRESETS["gpt2"]
    matrices = 12 * (12 * 768 * 768) + 50257 * 768
    flop = 6 * matrices + 12 * 12 * 12 * 64 * 1024
    assert mfu(463_000, config, 1024, 989.4e12) == pytest.approx(463_000 * flop / 989.4e12)
    assert mfu(463_000, config, 1024, 989.4e12, devices=2) == pytest.approx(463_000 * flop / 989.4e12 / 2)
    assert 0.85e9 < flop < 0.87e9
    assert mfu(1_000, config, 1024, None) is None
    assert peak_flops(torch.device("cpu")) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert peak_flops(torch.device("cuda")) == 989.4e12
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A10G")  # not the A100's
    assert peak_flops(torch.device("cuda")) is None
    assert all(50e12 < peak < 3000e12 for peak in PEAKS.values())


def test_memory_is_in_bytes() -> None:
    before = peak_memory(torch.device("cpu"))
    block = torch.ones(100_000_000, dtype=torch.uint8)
    after = peak_memory(torch.device("cpu"))
    assert before is not None
    assert after is not None
    assert after >= before
    assert 100e6 < after < 100e9
    assert block.sum() == 100_000_000


def test_tensorboard_gets_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the writer: TensorBoard is an extra. Steps that are done again replace those of before."""
    calls: list[tuple[Any, ...]] = []

    class SummaryWriter:
        def __init__(self, directory: str, purge_step: int) -> None:
            calls.append((directory, purge_step))

        def add_scalar(self, *words: Any) -> None:
            calls.append(words)

        def flush(self) -> None:
            calls.append(("flush",))

        def close(self) -> None:
            calls.append(("close",))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=SummaryWriter))
    with MetricsLog(tmp_path, start=5, tensorboard=True) as log:
        log.write({"step": 5, "tokens": 64, "loss": 2.5, "mfu": None})
        log.write({"step": 5, "tokens": 64, "val": {"data/books-val": 2.25}})
        log.sync()
    assert calls == [
        (str(tmp_path / "tensorboard"), 5),
        ("train/tokens", 64, 5),
        ("train/loss", 2.5, 5),
        ("val/books-val", 2.25, 5),
        ("flush",),
        ("close",),
    ]


def test_tensorboard_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r'pip install "glassbox-gpt2\[tensorboard\]"'):
        MetricsLog(tmp_path, tensorboard=True)


def test_reading_a_log_does_not_import_torch() -> None:
    code = "import sys, gpt2.training.run.history, gpt2.training.run.resume; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
