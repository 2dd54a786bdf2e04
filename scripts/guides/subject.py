"""What the guides measure: the bundled model, the model it was before training, and text it never saw.

In: gpt2/assets and the recipe's seed. Out: a `Subject`. Read next: measure_embeddings.py.
"""

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gpt2
from gpt2.explain import reference
from gpt2.explain.run.reference import Reference
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[2]
EXAMPLE = "The cat sat on the"
RECIPE = ROOT / "recipes" / "storyteller.toml"
DOCUMENTS, LENGTH = 12, 128  # beginnings of the bundled stories, and their tokens


@dataclass(frozen=True)
class Subject:
    """The bundled model, with what several measurements share."""

    checkpoint: Any

    @classmethod
    def load(cls) -> "Subject":
        """The bundled model in fp32."""
        return cls(gpt2.load("storyteller"))

    @property
    def model(self) -> GPT2:
        """In eval mode."""
        return self.checkpoint.model

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own."""
        return self.checkpoint.tokenizer

    @cached_property
    def seed(self) -> int:
        """The seed of the recipe that trained it."""
        return int(tomllib.loads(RECIPE.read_text("utf-8"))["train"]["seed"])

    @cached_property
    def untrained(self) -> GPT2:
        """The same model at step 0: every tensor is a function of (seed, name)."""
        return GPT2(self.model.config, self.seed).eval()

    @cached_property
    def stories(self) -> Reference:
        """The bundled stories, which no training run read."""
        return reference(self.checkpoint)

    @cached_property
    def rows(self) -> tuple[Tensor, Tensor]:
        """Beginnings of stories: ids and the tokens that follow, [DOCUMENTS, LENGTH] each."""
        long = [row for row in self.stories.rows if len(row) > LENGTH][:DOCUMENTS]
        block = torch.tensor([row[: LENGTH + 1] for row in long])
        return block[:, :-1], block[:, 1:]

    @cached_property
    def ids(self) -> Tensor:
        """The example sentence, [1, T]."""
        return torch.tensor([self.tokenizer.encode(EXAMPLE)])

    def token(self, word: str) -> int | None:
        """The id of a word that is one token, None for one that is several."""
        ids = self.tokenizer.encode(word)
        return ids[0] if len(ids) == 1 else None


def rounded(value: Any) -> Any:
    """Numbers as they are stored: five significant digits; tensors as lists."""
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
