"""The compiled kernel, where there is one: products with weights of any type, read once at the rate of the memory.

In: rows of numbers and a weight on the CPU. Out: their product. The C++ is in native/, and `hatch_build.py` compiles it
when the package is installed and a compiler is there. Without it, and with GPT2_KERNELS=off, PyTorch computes instead.
Read next: linear.py, the modules that use it.
"""

import ctypes
import os
import re
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from gpt2.kernels import threads

FILE = Path(__file__).parent / "native" / "linear.so"
INSTRUCTIONS = {"portable": "portable", "avx2": "AVX2", "avx512": "AVX-512"}  # fewer than the processor may have
KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2, torch.uint8: 3}  # uint8: two numbers of 4 bits


@cache
def library() -> ctypes.CDLL | None:
    """The kernel, loaded once; None where there is none, or where GPT2_KERNELS is "off".

    With "portable", "avx2" or "avx512" it leaves aside what this processor has beyond that, and with "pool" the threads
    of PyTorch, to find out whether a fault lies in them.
    """
    setting = os.environ.get("GPT2_KERNELS")
    if setting == "off":
        return None
    try:
        found = ctypes.CDLL(str(FILE))
        pointer, size = ctypes.c_void_p, ctypes.c_int64
        found.gpt2_instructions.restype = ctypes.c_char_p
        found.gpt2_linear.argtypes = [
            ctypes.c_int, pointer, pointer, pointer, pointer, pointer, size, size, size, ctypes.c_int, ctypes.c_int,
        ]  # fmt: skip
        found.gpt2_blocks.argtypes = [pointer, size, pointer, pointer, size, ctypes.c_int]
        found.gpt2_use_threads_of.argtypes = [pointer]
        found.gpt2_use_threads_of(None if setting == "pool" else _threads())
        found.gpt2_use.argtypes = [ctypes.c_char_p]
        found.gpt2_use(INSTRUCTIONS[setting].encode() if setting in INSTRUCTIONS else None)
    except (OSError, AttributeError):  # not built, built for another system, or an older one
        return None
    return found


def _threads() -> ctypes.c_void_p | None:
    """The function that runs threads in the OpenMP library that PyTorch has loaded, where it can be found.

    The kernel must use these threads: they spin for a while after each piece of work, and others would be in their way.
    """
    try:
        loaded = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
        path = re.search(r"(/\S*/lib(?:g|i)?omp\S*\.so\S*)$", loaded, re.MULTILINE)
        return path and ctypes.cast(ctypes.CDLL(path[1]).GOMP_parallel, ctypes.c_void_p)
    except (OSError, AttributeError):
        return None


def instructions() -> str | None:
    """What the kernel computes with: "AVX-512 with bf16", "AVX-512", "AVX2" or "portable"; None without a kernel."""
    found = library()
    return None if found is None else found.gpt2_instructions().decode()


def is_wide() -> bool:
    """Whether the kernel computes with wide instructions, so that it is worth asking for many rows too."""
    return instructions() not in (None, "portable")


def takes(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether the kernel computes x [..., in] by these: all on the CPU, of sizes that fit, nothing to differentiate."""
    return (
        library() is not None
        and x.dtype in (torch.float32, torch.bfloat16)
        and weight.dtype in KINDS
        and x.device.type == weight.device.type == "cpu"
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and type(x) in (Tensor, torch.nn.Parameter)
        and weight.is_contiguous()
        and x.size(-1) == weight.size(1) * (2 if weight.dtype == torch.uint8 else 1)
        and (bias is None or bias.shape == weight.shape[:1])
        and x.numel() > 0
    )


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
    """x [..., in] times a weight [out, in] transposed, plus a bias [out]: [..., out] in the type of x.

    It sums in float32. A row's result is the same to the last bit whatever rows stand beside it, and whatever the
    number of threads. `weight` and `scale` are a float32 or bfloat16 weight and None, or what a `Quantised` holds.
    Ask `takes` first. Raises MemoryError.
    """
    found = library()
    assert found is not None
    x = x.contiguous()
    if bias is not None and (bias.dtype != x.dtype or not bias.is_contiguous()):
        bias = bias.to(x.dtype).contiguous()
    size, out = x.size(-1), weight.size(0)
    y = torch.empty((*x.shape[:-1], out), dtype=x.dtype)
    failed = found.gpt2_linear(
        KINDS[weight.dtype],
        weight.data_ptr(),
        None if scale is None else scale.data_ptr(),
        x.data_ptr(),
        None if bias is None else bias.data_ptr(),
        y.data_ptr(),
        x.numel() // size,
        size,
        out,
        x.dtype == torch.bfloat16,
        threads.now(),
    )
    if failed:
        raise MemoryError("the product has no room for its rows: give fewer rows at a time.")
    return y
