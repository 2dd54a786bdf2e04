"""What the tests of explain/ share: a random small model beside its twins, and the bundled model."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

import gpt2
from gpt2.checkpoint.files import Checkpoint
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from tests.numpy_gpt2 import NumpyGPT2
from tests.twins import SMALL, twins

CONFIG = json.loads((Path(gpt2.__file__).parent / "assets" / "storyteller" / "config.json").read_text("utf-8"))
BLOCKS, HEADS, WIDTH = CONFIG["n_layer"], CONFIG["n_head"], CONFIG["n_embd"]  # of the bundled model
TEXT = "Once upon a time there was a little girl named Lily. She"


class Small(NamedTuple):
    """One model three times, in float64: ours, transformers', and numpy's on row 0 of `ids` [2, T]."""

    model: GPT2
    hf: GPT2LMHeadModel
    numpy: NumpyGPT2
    ids: Tensor


@cache
def small(seed: int = 3, T: int = 13) -> Small:
    """A model with 3 layers and 3 heads, random to the last bias."""
    ids = torch.randint(SMALL.vocab_size, (2, T), generator=torch.Generator().manual_seed(seed))
    model, hf = twins(SMALL, seed, ids)
    return Small(model, hf, in_numpy(model, ids[0]), ids)


def in_numpy(model: GPT2, ids: Tensor) -> NumpyGPT2:
    """The same weights and one text in numpy, float64."""
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    return NumpyGPT2(state, model.config.n_head, ids.tolist(), model.config.layer_norm_epsilon)


def shallow(directory: Path) -> Checkpoint:
    """A checkpoint in `directory` that answers every question quickly: 3 blocks of 2 heads, the bundled model's
    tokenizer, weights random to the last bias and so large that some tokens are likely."""
    tokenizer = storyteller().tokenizer
    config = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=64, n_embd=48, n_layer=3, n_head=2)
    model, generator = GPT2(config), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=generator)
    return gpt2.load(str(gpt2.save(model, tokenizer, directory)))


@cache
def storyteller() -> Checkpoint:
    """The bundled model in fp32."""
    return gpt2.load("storyteller")
