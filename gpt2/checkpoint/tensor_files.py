"""The weight files of a checkpoint as tensors: safetensors, and pickles of which tensors alone are read.

In: files. Out: their tensors as stored, under this model's names, whatever a file calls them. A pickle may hold the
state dict inside another dict, as training scripts save it. Read next: weights.py.
"""

import re
import zipfile
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from gpt2.base.foreign import in_words, is_panic, off_the_terminal, shortened
from gpt2.base.lfs import refuse_pointer
from gpt2.config import GPT2Config

LARGEST_MATRIX = 2**40  # numbers; the embeddings of the largest GPT-2 have 2**26
HEAD, WTE = "lm_head.weight", "transformer.wte.weight"
CONV1D = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")  # [in, out] in Hugging Face's files, [out, in] here
MASKS = re.compile(r"\bh\.\d+\.attn\.(bias|masked_bias)$")  # causal masks that old files carry as buffers

# What torch.compile, DistributedDataParallel, FSDP, checkpointed activations and DeepSpeed add, anywhere in a name.
WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
OUTER = re.compile(r"^(model\.)+(?=(transformer|lm_head|wte|wpe|h|ln_f)\.)")  # the attribute of a trainer's own class
# transformers leaves out one `transformer.` where the rest is a name of its own, and adds it where it is missing.
DOUBLE = re.compile(r"^transformer\.(?=(transformer|lm_head)\.)")
BARE = re.compile(r"(wte|wpe|h|ln_f)\.")  # how names begin in a file of the model without its head

NESTS = ("model", "state_dict", "model_state_dict", "module")  # under which training scripts save a state dict
DEEPEST = 4
ALONE = "save the weights alone, with torch.save(model.state_dict(), ...)"


def own_name(name: str) -> str:
    """This model's name of a tensor: no wrapper's prefix, and `transformer.` where a file leaves it out."""
    name = ".".join(part for part in name.split(".") if part not in WRAPPERS)
    name = DOUBLE.sub("", OUTER.sub("", name))
    return f"transformer.{name}" if BARE.match(name) else name


def read_tensors(paths: Iterable[Path]) -> dict[str, Tensor]:
    """The tensors of these files as stored, under this model's names, mapped from disk where possible.

    No code is run: .bin files are unpickled as tensors only. Raises ValueError naming the file or the tensor
    for a missing, truncated or corrupt file, for what is no tensor, and for a name that occurs twice.
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} is missing, but the index names it: download or copy it again.")
        contents = _safetensors(path) if path.suffix == ".safetensors" else state_dict(path, unpickled(path))
        for stored, tensor in contents.items():
            name = own_name(stored)
            if MASKS.search(name):
                continue
            check_tensor(path, stored, tensor)
            if name in tensors:
                raise ValueError(f"{path}: {shortened(stored)} occurs twice in this checkpoint.")
            tensors[name] = tensor
    return tensors


def check_tensor(path: Path, name: Any, tensor: Any) -> None:
    """Raise ValueError, naming file and tensor, for what is no plain tensor of numbers that lie in memory or a file."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{path}: {shortened(name)} is a {type(tensor).__name__}, not a tensor: {ALONE}.")
    kinds = {
        "nested": tensor.is_nested,
        "quantised": tensor.is_quantized,
        "a tensor that holds no numbers": tensor.is_meta,
        "complex": tensor.is_complex(),
        str(tensor.layout).removeprefix("torch."): tensor.layout is not torch.strided,
        f"a {type(tensor).__name__}": type(tensor) not in (Tensor, torch.nn.Parameter),
    }
    found = next((kind for kind, holds in kinds.items() if holds), None)
    if found is not None:
        raise ValueError(f"{path}: {shortened(name)} is {found}: save the weights as plain tensors.")


def check_sizes(where: Path, tensors: Sized, config: GPT2Config) -> None:
    """Raise ValueError, before the model is built, for far more blocks than tensors, or a matrix past any file."""
    mend = "its weights and its configuration do not belong together, so fetch both again"
    if config.n_layer > max(len(tensors), 100):  # a block has twelve
        raise ValueError(f"{where} holds {len(tensors)} tensors, too few for n_layer {config.n_layer}: {mend}.")
    for name in ("vocab_size", "n_positions", "n_embd", "n_inner"):
        rows = getattr(config, name) or 0
        if rows * config.n_embd > LARGEST_MATRIX:
            raise ValueError(f"{where} is too small for {name} {rows} with n_embd {config.n_embd}: {mend}.")


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}
    except OSError:
        raise
    except BaseException as error:  # a hostile header may raise anything
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        refuse_pointer(path)
        raise ValueError(f"{path} is truncated or not a safetensors file ({reason(error)}): fetch it again.") from None


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
