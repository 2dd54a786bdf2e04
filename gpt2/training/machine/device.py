"""What this machine can do: where to compute, and in which number format.

In: a device's name. Out: the device, or a refusal that says what there is.
"""

import ctypes
import os
import re
from typing import Literal

import torch

from gpt2.base.errors import UsageError


def pick_device(name: str = "auto", local_rank: int = 0, processes: int = 1) -> torch.device:
    """The device called `name`: cpu, cuda, cuda:N, mps, or auto (a CUDA GPU where there is one, else the CPU).

    Of several processes on one machine each takes the GPU with its own number, `local_rank`. Apple's GPU is taken only
    by its name: nothing here was ever run on one.

    Raises UsageError for a name that means nothing, and for a device that is not there.
    """
    match = re.fullmatch(r"cpu|auto|mps|cuda(?::(\d+))?", name)
    if match is None:
        raise _refusal(name, "choose cpu, cuda, cuda:N, mps or auto.")
    if processes > 1 and (name == "mps" or match[1]):
        raise _refusal(name, f"{processes} processes cannot share one GPU, so choose cuda, cpu or auto.")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise _refusal(name, "PyTorch finds no Apple GPU here; choose cpu, cuda or auto.")
        return torch.device("mps")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise _refusal(name, "PyTorch finds no GPU here; leave the option out, or install PyTorch for your GPU.")
    number, gpus = int(match[1] or local_rank), torch.cuda.device_count()
    if number >= gpus and not match[1]:
        raise _refusal(
            name,
            f"this is process {number} of this machine, counted from 0, and the last GPU is cuda:{gpus - 1}; "
            "start as many processes as there are GPUs, or choose cpu.",
        )
    if number >= gpus:
        raise _refusal(name, f"there is no such GPU here; the last one is cuda:{gpus - 1}.")
    return torch.device("cuda", number)


def _refusal(name: str, mend: str) -> UsageError:
    return UsageError(argument="device", value=name, mend=mend)


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
