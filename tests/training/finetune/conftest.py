"""A small base model, and files to fine-tune it on."""

import json
from pathlib import Path

import pytest
from tuned import PAIRS, TEXT

from gpt2.checkpoint.files import save
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small model with fresh weights and the bytes as its tokenizer; its configuration asks for dropout."""
    config = GPT2Config(vocab_size=257, n_positions=32, n_embd=32, n_layer=2, n_head=2, attn_pdrop=0.1, resid_pdrop=0.1)
    return str(save(GPT2(config, seed=1), Tokenizer.bytes(), tmp_path_factory.mktemp("base") / "model"))


@pytest.fixture(autouse=True)
def few_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes a checkpoint and waits for the disk."""
    monkeypatch.setattr("gpt2.training.finetune.settings.EVALUATIONS", 4)


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "numbers.txt").write_text(TEXT)
    return str(tmp_path / "numbers.txt")


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    (tmp_path / "words.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    return str(tmp_path / "words.jsonl")
