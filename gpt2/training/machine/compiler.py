"""torch.compile where it works: whether it can, and what to do when it fails.

In: a device, or the exception that a compiled model raised. Out: yes or no, a reason in one line. Read next: loop.py.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

OPTIONS: dict[str, Any] = {
    "cpp.enable_floating_point_contract_flag": "fast",  # a product and the sum after it round once, as one instruction
    "cpp.use_decompose_tanh": True,  # GELU's tanh by the faster exponential function, within some 1e-7
}
"""What the compiler is told on a CPU; the gains are in docs/log.md."""


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile can work: on a CPU it needs a C++ compiler (CXX, or one of the usual names)."""
    names = (os.environ.get("CXX") or "g++", "c++", "clang++")
    return device.type != "cpu" or any(shutil.which(name) for name in names)


def compiled(model: nn.Module) -> Callable[..., Any]:
    """The model through torch.compile."""
    return torch.compile(model, options=OPTIONS)


def is_compilers(error: BaseException) -> bool:
    """Whether the compiler itself failed, not what it compiled."""
    return any(kind.__name__ == "TorchDynamoException" for kind in type(error).__mro__)


def mend_cache(error: BaseException) -> bool:
    """Delete the half-written library that the compiler's cache gave it, and say whether there was one.

    A process that is killed while it compiles leaves such a file behind, and every later run would fail on it.
    """
    cause = getattr(error, "inner_exception", None)
    path = getattr(cause, "path", None)
    if not isinstance(cause, ImportError) or path is None or not Path(path).is_file():
        return False
    Path(path).unlink()
    return True


def reason(error: BaseException) -> str:
    """The first line of what the compiler says, for a person to read."""
    cause = getattr(error, "inner_exception", None) or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0][:200]
