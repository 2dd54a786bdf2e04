"""nanoGPT from a checkout: its model, its own AdamW, its settings for a CPU (fp32, no compile). Training only.

In bf16 its step stands under the autocast that its train.py has for a GPU, which it does not use on a CPU.

The checkout is imported from where it lies; none of its code is here. Its GELU is the erf form, so that its loss
differs from the others' in the fifth digit or so.
"""

import hashlib
import importlib.util
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.engines import NotRun, Place, package_versions
from gpt2.checkpoint.files import load_model


def versions() -> dict[str, str]:
    """PyTorch; the checkout is named by `checkout_hash`, it has no version."""
    return package_versions("torch")


def checkout_hash(place: Place) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the checkout's model.py."""
    return hashlib.sha256(_model_file(place).read_bytes()).hexdigest()[:12]


def _model_file(place: Place) -> Path:
    if place.nanogpt is None:
        raise NotRun("needs --nanogpt PATH, a checkout of it")
    path = place.nanogpt / "model.py"
    if not path.is_file():
        raise NotRun(f"{place.nanogpt.name} holds no model.py: give the root of a checkout to --nanogpt")
    return path


def _import(place: Place) -> Any:
    spec = importlib.util.spec_from_file_location("nanogpt_model", _model_file(place))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def prepare(place: Place, precision: str) -> None:
    """Nothing is converted; refuse now what would fail later."""
    _model_file(place)


class Trainer:
    """The same weights (its parameters have our names), biases on, and the vocabulary unpadded as in the others."""

    def __init__(self, place: Place, precision: str) -> None:
        nanogpt = _import(place)
        ours = load_model(place.checkpoint)
        config = ours.config
        self.model = nanogpt.GPT(
            nanogpt.GPTConfig(
                block_size=config.n_positions, vocab_size=config.vocab_size, n_layer=config.n_layer,
                n_head=config.n_head, n_embd=config.n_embd, dropout=0.0, bias=True,
            )
        )  # fmt: skip
        self.model.load_state_dict(ours.state_dict())
        self.model.train()
        self.optimizer = self.model.configure_optimizers(
            weight_decay=0.1, learning_rate=6e-4, betas=(0.9, 0.95), device_type="cpu"
        )
        self.bf16 = precision == "bf16"
        self.forward: Any = self.model

    def compile(self) -> None:
        """From now on through torch.compile."""
        self.forward = torch.compile(self.model)

    def step(self, ids: list[list[int]], targets: list[list[int]]) -> float:
        """As `benchmarks.engines.Trainer`."""
        with self._autocast():
            _, loss = self.forward(torch.tensor(ids), torch.tensor(targets))
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.item())

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext()
