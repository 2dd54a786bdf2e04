"""How fast this machine reads its memory: the ceiling of decoding, where each token reads each weight once.

In: nothing, or a model. Out: bytes per second; bytes per token.
"""

import time

import torch
from torch import nn

from gpt2.kernels import library
from gpt2.kernels.linear import QuantisedLinear
from gpt2.model import GPT2

SIZE = 256 << 20  # bytes that are read in a pass: far more than any cache holds


def bandwidth(passes: int = 6) -> float:
    """Bytes per second that PyTorch's threads read together: the best of some passes over 256 MiB.

    They are read by a sum and, where the kernel is, by its product with one row; the faster of the two counts.
    """
    weight = torch.full((SIZE // 4096, 1024), 0.5)
    row, best = torch.full((1, 1024), 0.5), float("inf")
    with torch.inference_mode():
        for _ in range(passes):
            start = time.perf_counter()
            weight.sum()
            best = min(best, time.perf_counter() - start)
            if library.library() is not None:
                start = time.perf_counter()
                library.multiply(row, weight)
                best = min(best, time.perf_counter() - start)
    return weight.nbytes / best


def bytes_per_token(model: GPT2) -> int:
    """Bytes of weights that one step of decoding reads: each linear map's once, the head's too, scales included.

    Not counted, because they are small beside them: norms, biases, one row of each table; and the keys and values,
    which grow with the text.
    """
    read = 0
    for module in model.modules():
        if isinstance(module, nn.Linear):
            read += module.weight.nbytes
        elif isinstance(module, QuantisedLinear):
            read += module.values.nbytes + module.scale.nbytes
    return read
