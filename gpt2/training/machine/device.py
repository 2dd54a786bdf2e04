"""What this machine can do: in which number format to compute on a device, and what makes that faster or repeatable.

In: a device, as `gpt2/base/device.py` picks it. Out: a number format, or settings of the process.
"""

import ctypes
import os
from typing import Literal

import torch


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively (on a CPU: AVX-512 BF16 or AMX); elsewhere it is emulated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "mps":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def pick_dtype(
    wanted: Literal["auto", "float32", "bfloat16", "float16"],
    device: torch.device,
) -> torch.dtype:
    """The format of matrix products: `wanted`, or bfloat16 where it is fast."""
    if wanted == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]


def suit_processor(device: torch.device, dtype: torch.dtype, context: int) -> bool:
    """Make training faster on a CPU: freed memory is kept. Returns whether attention should be computed in steps.

    In half precision it should for short rows: the fused kernel's backward takes 1.5 times as long at 256 and 512
    positions, 4 times at 64; further on the scores take too much memory.
    """
    if device.type != "cpu":
        return False
    keep_freed_memory()
    return dtype != torch.float32 and context <= 512


def be_deterministic(wanted: bool) -> None:
    """Have torch choose algorithms that give the same sums again (`deterministic` in a recipe).

    Filling new memory with NaN, which torch adds to this mode to find reads of what was never written, costs time
    and changes no result.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses the mode
    torch.use_deterministic_algorithms(wanted)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def keep_freed_memory() -> None:
    """Have the C library keep memory that tensors free, for the next step's: on Linux with glibc, else nothing.

    By default glibc gives large blocks back to the system at once, and gets them again filled with zeros, a page fault
    each 4 kB: a tenth of a training step on a CPU.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mmap_max, trim_threshold = -4, -1  # malloc.h
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, -1)
