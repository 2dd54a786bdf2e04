"""Adapters made by `peft` on a small random GPT-2, and what peft computes with them."""

import copy
import json
import shutil
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import peft
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from gpt2.checkpoint.adapter import read_adapter
from gpt2.checkpoint.adapter_facts import adapter_facts
from gpt2.checkpoint.adapter_merge import merge
from gpt2.checkpoint.files import load_model
from gpt2.model import GPT2

IDS = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
SIZES = {"vocab_size": 50, "n_positions": 20, "n_embd": 12, "n_layer": 2, "n_head": 2}


def write_base(directory: Path, **sizes: int) -> Path:
    """A random model as transformers writes it."""
    torch.manual_seed(1)
    model = GPT2LMHeadModel(GPT2Config(**SIZES | sizes, bos_token_id=None, eos_token_id=None))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(directory)
    return directory


@lru_cache
def _reference(base: Path) -> GPT2LMHeadModel:
    return GPT2LMHeadModel.from_pretrained(base, attn_implementation="eager")


def reference(base: Path) -> GPT2LMHeadModel:
    """What transformers loads from the directory, a new one each time."""
    return copy.deepcopy(_reference(base))


_made: dict[str, Path] = {}


def made(base: Path, directory: Path, model: Any = None, safe: bool = True, **settings: Any) -> Path:
    """The directory of an adapter that peft wrote, every trainable number changed at random.

    One that was made before, with the same settings and no `model` of the test's own, is copied.
    """
    if model is not None:
        return _make(base, directory, model, safe, **settings)
    key = repr((base, safe, sorted(settings.items())))
    if key not in _made:
        _made[key] = _make(base, base.with_name(f"{base.name}-adapter-{len(_made)}"), None, safe, **settings)
    return Path(shutil.copytree(_made[key], directory, dirs_exist_ok=True))


def _make(base: Path, directory: Path, model: Any, safe: bool, **settings: Any) -> Path:
    torch.manual_seed(2)
    cards = mock.patch.object(peft.PeftModel, "create_or_update_model_card")  # they take longer than all the rest
    with warnings.catch_warnings(), cards, torch.no_grad():
        warnings.simplefilter("ignore")
        config = peft.LoraConfig(**{"r": 4, "lora_alpha": 6, "task_type": "CAUSAL_LM"} | settings)
        adapted = peft.get_peft_model(model or reference(base), config)
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        adapted.save_pretrained(directory, safe_serialization=safe)
    return directory


def by_peft(base: Path, directory: Path, model: Any = None) -> Tensor:
    """The logits of peft's model, in float64."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        adapted = peft.PeftModel.from_pretrained(model or reference(base), directory).double().eval()
        return adapted(input_ids=IDS).logits


@lru_cache
def _loaded(base: Path) -> GPT2:
    return load_model(base, torch.float64)


def merged(base: Path, directory: Path) -> GPT2:
    """Ours, in float64."""
    return merge(copy.deepcopy(_loaded(base)), read_adapter(directory))


def logits(model: GPT2) -> Tensor:
    with torch.no_grad():
        return model.eval()(IDS)


@lru_cache
def unchanged(base: Path) -> Tensor:
    """The base's logits."""
    return logits(_loaded(base))


def agree(base: Path, directory: Path, model: Any = None) -> float:
    """How far the merged model is from the base; asserted is that it computes what peft does."""
    mine, start = merged(base, directory), edited(directory)["init_lora_weights"]
    ours, told = logits(mine), adapter_facts(read_adapter(directory), _loaded(base).config).config
    alike = replace(mine.config, tie_word_embeddings=False) if mine.config.tie_word_embeddings else mine.config
    assert told in (mine.config, alike)  # what is told without the base's weights
    within = 1e-5 if start in ("pissa", "olora") else 1e-12  # these two are computed in float32
    torch.testing.assert_close(ours, by_peft(base, directory, model), atol=within, rtol=within)
    return float((ours - unchanged(base)).abs().max())


def edited(directory: Path, **fields: Any) -> dict[str, Any]:
    """Change fields of adapter_config.json; returns all of them."""
    path = directory / "adapter_config.json"
    changed = json.loads(path.read_text()) | fields
    path.write_text(json.dumps(changed))
    return changed
