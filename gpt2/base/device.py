"""Where to compute, and in which numbers: the device and the type that a user names.

In: a name. Out: the device or the type, or a refusal that says what there is.
"""

import re

import torch

from gpt2.base.errors import UsageError

DTYPES = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64,
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64,
}  # fmt: skip


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
        raise _refusal(name, "PyTorch finds no GPU here; choose cpu, or install PyTorch for your GPU.")
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


def as_device(device: "torch.device | str") -> torch.device:
    """The device that a caller from Python means: by a name, as `pick_device` takes it, or as torch has it.

    Raises UsageError for a name that means nothing, for anything else, and for a device that is not there.
    """
    if isinstance(device, torch.device):
        return pick_device(str(device)) if device.type == "cuda" or str(device) == "mps" else device
    if not isinstance(device, str):
        raise UsageError(argument="device", value=device, mend="choose cpu, cuda, cuda:N, mps or auto.")
    return pick_device(device)


def pick_dtype(dtype: torch.dtype | str, device: torch.device | None = None) -> torch.dtype:
    """The floating-point type that is meant: float32, bfloat16, float16 or float64, by name or as torch has it.

    Raises UsageError for anything else, and for what the device does not compute with.
    """
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found is None or found not in DTYPES.values():
        more = (
            "; `gpt2 quantise MODEL DIR` writes int8 and int4 weights" if str(dtype).endswith(("int8", "int4")) else ""
        )
        raise UsageError(argument="dtype", value=dtype, mend=f"choose float32, bfloat16, float16 or float64{more}.")
    if device is not None and device.type == "mps" and found == torch.float64:
        mend = "Apple's GPUs have no such numbers; choose float32, or {device}."
        raise UsageError(argument="dtype", value=dtype, mend=mend, device="cpu")
    return found


def _refusal(name: str, mend: str) -> UsageError:
    return UsageError(argument="device", value=name, mend=mend)
