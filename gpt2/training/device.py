"""What this machine can do: where to train, and in which number format."""

import os
from typing import Literal

import torch


def pick_device(local_rank: int = 0) -> torch.device:
    """The GPU with this process's number where there is one, else the CPU."""
    return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively (on a CPU: AVX-512 BF16 or AMX); elsewhere it is emulated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
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


def be_deterministic(wanted: bool) -> None:
    """Have torch choose algorithms that give the same sums again (`deterministic` in a recipe).

    Filling new memory with NaN, which torch adds to this mode to find reads of what was never written, costs time
    and changes no result.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses the mode
    torch.use_deterministic_algorithms(wanted)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
