"""Ours, by the paths that a user gets: `gpt2.inference.generate.generate`, and the step of `gpt2 train`."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.engines import Place, package_versions
from gpt2 import __version__
from gpt2.checkpoint.files import load_model
from gpt2.checkpoint.tokenizer_of import tokenizer_for
from gpt2.inference.generate import generate
from gpt2.inference.sampling import Sampling
from gpt2.kernels.bandwidth import bytes_per_token
from gpt2.kernels.linear import quantise_model
from gpt2.training.machine.compiler import compiled
from gpt2.training.machine.device import be_deterministic, has_fast_bf16, suit_processor
from gpt2.training.optimizer import build_optimizers
from gpt2.training.recipe import OptimRecipe, TrainRecipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def versions() -> dict[str, str]:
    """Ours, and PyTorch underneath."""
    return {"glassbox-gpt2": __version__} | package_versions("torch")


class Decoder:
    """Weights in the precision; the key/value cache too, but float32 beside int8 and int4."""

    def __init__(self, place: Place, precision: str) -> None:
        self.model = load_model(place.checkpoint, dtype=DTYPES.get(precision, torch.float32))
        if precision == "int8":
            quantise_model(self.model, "int8")
        if precision == "int4":
            quantise_model(self.model, "int4")
        self.tokenizer = tokenizer_for(Path(place.checkpoint), self.model.config)
        self.tokenizer.eot_id = None  # no token ends a text

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        """As `benchmarks.engines.Decoder`."""
        sampling = Sampling(max_tokens=new, temperature=0)
        return [samples[0].ids for samples in generate(self.model, self.tokenizer, prompts, sampling)]

    def bytes_per_token(self) -> int:
        """Bytes of weights that one step reads."""
        return bytes_per_token(self.model)


class Trainer:
    """The step of `gpt2.training.loop` without data and clipping: fp32 weights, bf16 by autocast."""

    def __init__(self, place: Place, precision: str) -> None:
        be_deterministic(TrainRecipe().deterministic)
        self.model = load_model(place.checkpoint).train()
        bf16 = has_fast_bf16(torch.device("cpu"))
        self.optimizers = build_optimizers(self.model, OptimRecipe(), bf16)
        self.dtype = DTYPES[precision]
        self.forward: Any = self.model

    def compile(self) -> None:
        """From now on through torch.compile, as `gpt2 train` does unless told otherwise."""
        self.forward = compiled(self.model)

    def step(self, ids: list[list[int]], targets: list[list[int]]) -> float:
        """As `benchmarks.engines.Trainer`."""
        x, y = torch.tensor(ids), torch.tensor(targets)
        in_steps = suit_processor(x.device, self.dtype, context=x.size(1))
        with self._autocast():
            loss = self.forward(x, y, reduction="sum", in_steps=in_steps) / y.numel()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.item())

    def _autocast(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.dtype == torch.float32 else torch.autocast("cpu", self.dtype)
