"""The tokenizer for a browser: what web/engine/bpe.js makes the same ids of.

In: a tokenizer. Out: a dictionary for `wire.pack`, or a UsageError that says in what the tokenizer differs from
GPT-2's. With GPT-2's 50,257 tokens it is 0.6 MB, and 0.2 MB compressed.
"""

from array import array
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from gpt2.text.byte_pairs import byte_pairs
from gpt2.text.tokenizer import Tokenizer


def tokenizer_data(tokenizer: Tokenizer) -> dict[str, Any]:
    """The fields of `gpt2.text.byte_pairs.BytePairs`, its numbers as int32.

        alphabet     [256]
        left, right  [M]
        step         [M] by how much the id that a merge makes is larger than that of the merge before (compresses well)
        others       id -> bytes in hexadecimal
        letters, numbers, spaces    [R, 2] the first and the last code point of each run

    Raises UsageError as `byte_pairs` does.
    """
    found = byte_pairs(tokenizer)
    return {
        "size": found.size,
        "alphabet": _int32(found.alphabet),
        "left": _int32(found.left),
        "right": _int32(found.right),
        "step": _int32(b - a for a, b in zip((0, *found.made), found.made)),
        "others": {str(i): spelled.hex() for i, spelled in found.others.items()},
        "hidden": found.hidden,
        **{name: _int32(end for run in runs for end in run).view(-1, 2) for name, runs in found.classes.items()},
    }


def _int32(numbers: Iterable[int]) -> Tensor:
    held = array("i", numbers)
    return torch.frombuffer(held, dtype=torch.int32) if held else torch.zeros(0, dtype=torch.int32)
