"""torch.compile where it works: whether it can, where its cache lies, and what to do when it fails.

In: a device, a model, or the exception that a compiled model raised. Out: yes or no, the compiled model, a reason in
one line. Read next: first_step.py (whether what was compiled is right), loop.py.
"""

import hashlib
import os
import platform
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
    """Whether torch.compile can work: on a CPU it needs a C++ compiler (CXX, or one of the usual names).

    On Apple's GPUs PyTorch calls it a prototype: there it is left out.
    """
    names = (os.environ.get("CXX") or "g++", "c++", "clang++")
    return device.type == "cuda" or (device.type == "cpu" and any(shutil.which(name) for name in names))


def compiled(model: nn.Module) -> Callable[..., Any]:
    """The model through torch.compile."""
    keep_cache_apart()
    return torch.compile(model, options=OPTIONS)


def compile_in_place(module: nn.Module) -> None:
    """Have calls of the module go through torch.compile; the object and its names stay."""
    keep_cache_apart()
    module.compile(options=OPTIONS)


def keep_cache_apart() -> None:
    """Give the compiler a folder of this processor's own inside its cache folder (TORCHINDUCTOR_CACHE_DIR, or torch's).

    torch finds a compiled graph again by a key that does not name the processor's instructions. A graph that was
    written for AVX-512 is then compiled for AVX2, where each of its loops fills half of what it should: docs/log.md.
    The variable stays set, since torch reads it whenever it compiles, which may be in a later step.
    """
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    folder, name = Path(cache_dir()), processor_folder()
    if folder.name != name:  # a child process inherits the variable
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / name)


def processor_folder() -> str:
    """A folder's name, one for each version of torch, instruction set in use, and set of instructions that exist.

    The last is a hash: kernels are built with `-march=native`, so they may use any instruction of this processor.
    """
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    has = torch.cpu.get_capabilities()
    features = [name for name in sorted(has) if has[name] is True] + [str(has.get("cpu_name"))]
    digest = hashlib.sha256(" ".join(features).encode()).hexdigest()[:8]
    words = [platform.machine(), torch.backends.cpu.get_cpu_capability(), *str(pick_vec_isa()).split(), digest]
    return f"torch-{torch.__version__}-" + "-".join(words).lower()


class Miscompiled(RuntimeError):
    """What was compiled gives other numbers than the model does without the compiler."""


def is_compilers(error: BaseException) -> bool:
    """Whether the compiler itself failed, not what it compiled."""
    kinds = type(error).__mro__
    return isinstance(error, Miscompiled) or any(kind.__name__ == "TorchDynamoException" for kind in kinds)


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
