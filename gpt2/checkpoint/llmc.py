"""llm.c's checkpoint: 256 whole numbers, then every weight, one after the other.

In: the file. Out: a `GPT2Config`, and the weights named and laid out as Hugging Face stores them.
Source: llm.c's train_gpt2.py (`write_model`) and train_gpt2.c (`ParameterTensors`).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gpt2.checkpoint.weights import CONV1D, WTE
from gpt2.config import GPT2Config

HEADER = 256  # numbers of four bytes
DTYPES = {1: torch.float32, 3: torch.float32, 5: torch.bfloat16}  # by version; 3 and 5 pad the vocabulary
PARTS = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")


@dataclass(frozen=True)
class Header:
    """What a file says of itself; `rows` counts those of its `wte`, the padding included."""

    config: GPT2Config
    dtype: torch.dtype
    rows: int


def read_header(path: Path) -> Header:
    """The first numbers of a file.

    Raises ValueError naming the file for another version, sizes that make no GPT-2, and another length than theirs.
    """
    numbers = [int(number) for number in np.fromfile(path, dtype="<i4", count=HEADER)]
    if len(numbers) < HEADER:
        raise ValueError(f"{path} is a truncated checkpoint of llm.c: fetch it again.")
    version, context, vocab_size, n_layer, n_head, n_embd, padded = numbers[1:8]
    if version not in DTYPES:
        raise ValueError(
            f"{path} is of version {version} of llm.c's format: only {', '.join(map(str, DTYPES))} are read here, so "
            "write it again with a later llm.c."
        )
    try:
        # llm.c's GELU has the tanh form.
        config = GPT2Config(
            vocab_size=vocab_size, n_positions=context, n_layer=n_layer, n_head=n_head, n_embd=n_embd,
            embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    header = Header(config, DTYPES[version], vocab_size if version == 1 else padded)
    size = 4 * HEADER + header.dtype.itemsize * sum(math.prod(shape) for _, shape in _layout(header))
    if header.rows < vocab_size or path.stat().st_size != size:
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes and {header.rows:,} rows in its vocabulary, but its header asks "
            f"for {size:,} bytes and at least {vocab_size:,} rows: fetch it again."
        )
    return header


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a file, mapped from disk, in Hugging Face's layout and without the padding."""
    header = read_header(path)
    stored = np.memmap(path, dtype=np.uint8, mode="c", offset=4 * HEADER)
    everything = torch.from_numpy(stored).view(header.dtype)
    tensors, start = {}, 0
    for name, shape in _layout(header):
        size = math.prod(shape)
        tensor = everything[start : start + size].view(shape)
        start += size
        if "{layer}" in name:
            for layer, part in enumerate(tensor):
                tensors[name.format(layer=layer)] = part.t() if CONV1D.search(name) else part
        else:
            tensors[name] = tensor
    tensors[WTE] = tensors[WTE][: header.config.vocab_size]
    return tensors


def _layout(header: Header) -> list[tuple[str, tuple[int, ...]]]:
    """Each tensor of a file in order, with its shape; one of every layer is one tensor there, layers first."""
    config, width = header.config, header.config.n_embd
    rows = {"attn.c_attn": (3 * width, width), "attn.c_proj": (width, width),
            "mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}  # fmt: skip
    found: list[tuple[str, tuple[int, ...]]] = [
        (WTE, (header.rows, width)),
        ("transformer.wpe.weight", (config.n_positions, width)),
    ]
    for part in PARTS:
        shape = rows.get(part, (width,))
        found.append((f"transformer.h.{{layer}}.{part}.weight", (config.n_layer, *shape)))
        found.append((f"transformer.h.{{layer}}.{part}.bias", (config.n_layer, shape[0])))
    return [*found, ("transformer.ln_f.weight", (width,)), ("transformer.ln_f.bias", (width,))]
