"""Hugging Face's transformers: `generate` with its default cache, and a plain training step; sdpa attention.

Eager, as its documentation shows it first. Its static cache exists for torch.compile; without it, it is no faster.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from transformers import GPT2LMHeadModel

from benchmarks.engines import Place, package_versions

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def versions() -> dict[str, str]:
    """transformers, and PyTorch underneath."""
    return package_versions("transformers", "torch")


def _load(place: Place, precision: str, attention: str = "sdpa") -> GPT2LMHeadModel:
    return GPT2LMHeadModel.from_pretrained(place.checkpoint, dtype=DTYPES[precision], attn_implementation=attention)


class Decoder:
    """`model.generate(do_sample=False)`."""

    def __init__(self, place: Place, precision: str, attention: str = "sdpa") -> None:
        self.model = _load(place, precision, attention).eval()
        self.model.generation_config.eos_token_id = None  # no token ends a text
        self.model.generation_config.pad_token_id = 0

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        """As `benchmarks.engines.Decoder`."""
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new,
                do_sample=False,
                use_cache=True,
            )
        return out[:, ids.size(1) :].tolist()


class Trainer:
    """Its own loss, and PyTorch's fused AdamW, which its Trainer uses too."""

    def __init__(self, place: Place, precision: str) -> None:
        self.model = _load(place, precision).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=6e-4, betas=(0.9, 0.95), fused=True)

    def step(self, ids: list[list[int]], targets: list[list[int]]) -> float:
        """As `benchmarks.engines.Trainer`; the targets are given shifted, so that all T positions count."""
        y = torch.tensor(targets)
        loss = self.model(input_ids=torch.tensor(ids), labels=y, shift_labels=y, use_cache=False).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.item())
