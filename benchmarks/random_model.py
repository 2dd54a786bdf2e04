"""A GPT-2 with random weights as a checkpoint directory, with a tokenizer that fits and needs no download.

In: sizes and a seed. Out: a directory in Hugging Face's format, which every peer reads or converts.
"""

import json
import tempfile
from itertools import islice, product
from pathlib import Path

from gpt2.base.costs import n_params
from gpt2.checkpoint.files import save
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import EOT, Tokenizer, byte_alphabet


def make_tokenizer(vocab_size: int) -> Tokenizer:
    """256 bytes, then pairs of bytes in order, then `<|endoftext|>`: what a text becomes does not matter here.

    `vocab_size` at most 256 + 65536 + 1; below 257 there are only some of the bytes, enough to train on ids.
    """
    alphabet = list(byte_alphabet())[: vocab_size - 1]
    merges = list(islice(product(alphabet, alphabet), vocab_size - len(alphabet) - 1))
    tokens = [*alphabet, *(left + right for left, right in merges), EOT]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = {token: i for i, token in enumerate(tokens)}
        Path(folder, "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
        Path(folder, "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return Tokenizer.load(folder)


def make_checkpoint(directory: Path, sizes: dict[str, int], seed: int) -> int:
    """Write the model, without dropout, in fp32; returns its number of parameters."""
    config = GPT2Config(**sizes, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)  # type: ignore[arg-type]
    save(GPT2(config, seed=seed), make_tokenizer(config.vocab_size), directory)
    return n_params(config)
