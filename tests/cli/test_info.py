"""`gpt2 info`: the figures it prints, what it needs for them, what it refuses."""

import json
import os
import subprocess
import sys

import pytest
import torch

from gpt2.base.costs import flops_per_token, n_params
from gpt2.base.presets import PRESETS
from gpt2.checkpoint.files import save
from gpt2.checkpoint.stored_type import stored_dtypes
from gpt2.cli import info
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

CONFIG = GPT2Config(vocab_size=300, n_positions=24, n_embd=32, n_layer=2, n_head=4)


@pytest.fixture
def tiny(tmp_path):
    """A directory with a tiny model in half precision."""
    return save(GPT2(CONFIG), Tokenizer.bytes(), tmp_path / "tiny", dtype=torch.float16)


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def facts(capsys, *words):
    assert main(["info", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_need_no_weights(name, capsys):
    found = facts(capsys, name)
    assert found["parameters"]["total"] == n_params(PRESETS[name])
    assert sum(found["parameters"]["components"].values()) == n_params(PRESETS[name])
    assert found["directory"] is found["stored"] is found["tokenizer"] is None


def test_the_counts_are_those_of_the_model(tiny, capsys):
    found = facts(capsys, str(tiny))
    model = GPT2(CONFIG)
    assert found["parameters"]["total"] == sum(p.numel() for p in model.parameters())
    blocks = model.transformer.h
    assert found["parameters"]["components"]["attention"] == sum(p.numel() for b in blocks for p in b.attn.parameters())
    assert found["parameters"]["components"]["mlp"] == sum(p.numel() for b in blocks for p in b.mlp.parameters())


def test_memory_and_flops(tiny, capsys):
    found = facts(capsys, str(tiny), "--context", "10")
    assert found["memory"]["weights"] == {"float32": 4 * n_params(CONFIG), "bfloat16": 2 * n_params(CONFIG)}
    # A key and a value of 32 numbers in each of 2 layers.
    assert found["memory"]["cache_per_token"] == {"float32": 512, "bfloat16": 256}
    assert found["memory"]["cache"] == {"float32": 5120, "bfloat16": 2560}
    each = [flops_per_token(CONFIG, keys) for keys in range(1, 11)]
    assert found["flops_per_token"]["forward_last"] == each[-1]
    assert found["flops_per_token"]["forward_mean"] == sum(each) / 10
    assert found["flops_per_token"]["training_mean"] == 3 * sum(each) / 10


def test_what_lies_in_the_directory(tiny, capsys):
    found = facts(capsys, str(tiny))
    weights = tiny / "model.safetensors"
    assert found["stored"] == {
        "files": ["model.safetensors"], "bytes": weights.stat().st_size, "dtypes": ["float16"],
        "numbers": {"float16": 35_840},
    }  # fmt: skip
    assert found["tokenizer"] == {"entries": 257, "eot": "<|endoftext|>", "eot_id": 256, "hash": Tokenizer.bytes().hash}
    assert stored_dtypes(weights) == {"F16": n_params(CONFIG)}
    assert main(["info", str(tiny)]) == 0
    page = capsys.readouterr().out
    for part in ("35,840 parameters", "model.safetensors, float16", "257 entries", "n_embd", "46.6%"):
        assert part in page


def test_the_page_fits_a_terminal_of_80_columns(capsys):
    for name in PRESETS:
        main(["info", name])
        page = capsys.readouterr().out
        assert max(map(len, page.splitlines())) <= 80
        assert "\x1b" not in page
        assert "█" not in page  # bars are for eyes, not for pipes


@pytest.mark.parametrize("context", ["0", "-3", "25"])
def test_a_context_that_the_model_has_not(context, tiny, capsys):
    assert main(["info", str(tiny), "--context", context]) == 2
    assert f"--context is {context}: this model takes 1 to 24" in capsys.readouterr().err


@pytest.mark.parametrize("keep", [0, 6, 200, 20_000])
def test_cut_weights_are_refused(keep, tiny, capsys):
    os.truncate(tiny / "model.safetensors", keep)
    assert main(["info", str(tiny)]) == 1
    assert "model.safetensors is truncated" in capsys.readouterr().err


def test_a_model_that_is_not_here_is_not_fetched(capsys):
    assert main(["info", "someone/else"]) == 1
    assert "`gpt2 fetch someone/else`" in capsys.readouterr().err


def test_a_broken_copy_of_a_preset_is_not_passed_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text('{"model_type": "llama"}')
    assert main(["info", "gpt2"]) == 1
    assert "model_type is 'llama'" in capsys.readouterr().err


def test_torch_is_not_imported(tiny):
    words = f"import sys; from gpt2.cli.main import main; main(['info', {str(tiny)!r}]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_units():
    assert [info.size(n) for n in (0, 999, 1000, 27_500_000, 3.1149e9, 999_600)] == [
        "0 B", "999 B", "1.00 kB", "27.5 MB", "3.11 GB", "1.00 MB",
    ]  # fmt: skip
    assert info.flop(123_532_032) == "124 MFLOP"
