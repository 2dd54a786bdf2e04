"""Weight files that are pickles: tensors alone are read, and no code is run.

In: a .bin or .pt file. Out: what it holds, tensors in containers; the state dict in it, also inside another dict, as
training scripts save it. Read next: weights.py, which reads every other file.
"""

import zipfile
from pathlib import Path
from typing import Any

import torch

from gpt2.base.foreign import in_words, off_the_terminal
from gpt2.base.lfs import refuse_pointer

NESTS = ("model", "state_dict", "model_state_dict", "module")  # under which training scripts save a state dict
DEEPEST = 4
ALONE = "save the weights alone, with torch.save(model.state_dict(), ...)"


def unpickled(path: Path) -> Any:
    """What torch.save wrote: tensors, containers and plain values. ValueError for a damaged file or anything else."""
    try:
        mapped = zipfile.is_zipfile(path)  # files written before torch 1.6 are not, and cannot be mapped
        with off_the_terminal():
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged or hostile file may raise anything
        refuse_pointer(path)
        raise ValueError(
            f"{path} is damaged or holds more than tensors ({reason(error)}): fetch it again, or {ALONE}."
        ) from None


def state_dict(path: Path, content: Any) -> dict[str, Any]:
    """The state dict in a file's content, also inside a dict under one of `NESTS`. ValueError when there is none."""
    for _ in range(DEEPEST):
        if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
            break
        inner = [name for name in NESTS if isinstance(content.get(name), dict)]
        if not inner:
            return content
        if len(inner) > 1:
            raise ValueError(f"{path} holds a state dict under {inner[0]} and another under {inner[1]}: {ALONE}.")
        content = content[inner[0]]
    raise ValueError(f"{path} holds no state dict: save one with torch.save(model.state_dict(), ...).")


def reason(error: BaseException) -> str:
    """The first sentence of a library's error."""
    text = str(error).strip() or type(error).__name__
    if text.startswith("Weights only load failed"):
        return "torch refuses what else is in it"
    if isinstance(error, KeyError):  # whose text is the key alone
        return "torch cannot read it"
    return in_words(error).split(". ")[0]
