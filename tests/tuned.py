"""What the tests of fine-tuning share: a text, prompts with completions, and losses by transformers."""

from pathlib import Path

import torch
from transformers import GPT2LMHeadModel

from gpt2.text.tokenizer import Tokenizer

TEXT = "".join(f"{n} comes after {n - 1}.\n" for n in range(1, 70))
WORDS = ("apple", "bread", "candle", "door", "elephant", "flower", "grass", "hat")
PAIRS = [{"prompt": f"{word[0]} is for", "completion": f" {word}"} for word in WORDS]
ids_of = Tokenizer.bytes().encode
EOT = 256


def loss_by_transformers(directory: Path | str, examples: list[tuple[list[int], int]]) -> float:
    """The mean of -log p over the ids from `first` on, each sequence alone and unpadded."""
    hf = GPT2LMHeadModel.from_pretrained(directory).eval()
    losses = []
    for ids, first in examples:
        with torch.no_grad():
            log_p = hf(torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
        losses += [-log_p[place - 1, ids[place]].item() for place in range(first, len(ids))]
    return sum(losses) / len(losses)
