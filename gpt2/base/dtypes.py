"""The numbers in which weights are held: the type that a user names.

In: a name, or a type of torch. Out: the type, or a refusal that says which there are.
"""

import torch

from gpt2.base.errors import UsageError

NAMES = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64,
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64,
}  # fmt: skip


def pick_dtype(dtype: torch.dtype | str, device: torch.device | None = None) -> torch.dtype:
    """The floating-point type that is meant: float32, bfloat16, float16 or float64, by name or as torch has it.

    Raises UsageError for anything else, and for what the device does not compute with.
    """
    found = NAMES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in NAMES.values():
        raise UsageError(argument="dtype", value=dtype, mend="choose float32, bfloat16, float16 or float64.")
    if device is not None and device.type == "mps" and found == torch.float64:
        mend = "Apple's GPUs have no such numbers; choose float32, or {device}."
        raise UsageError(argument="dtype", value=dtype, mend=mend, device="cpu")
    return found
