"""nanoGPT's checkpoint: one file of torch.save with the weights, the arguments of the model, and its training.

In: the file. Out: a `GPT2Config`, and the weights named and laid out as Hugging Face stores them. It is read as tensors
and plain values only. Source: nanoGPT's model.py (`GPTConfig`) and train.py (what it saves).
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpt2.base.foreign import check_lengths, shortened
from gpt2.checkpoint.pickles import unpickled
from gpt2.checkpoint.weights import CONV1D, MASKS, check_sizes, check_tensor, own_name
from gpt2.config import GPT2Config

SIZES = {"n_layer": "n_layer", "n_head": "n_head", "n_embd": "n_embd", "block_size": "n_positions",
         "vocab_size": "vocab_size"}  # fmt: skip
OTHERS = {"bias": True, "dropout": 0.0}  # what the first files, which have neither, were trained with
ACTIVATION = "gelu"  # the erf form, which the code has today; at first it was "gelu_new"
NO_BIAS = ("ln_1", "ln_2", "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def read_model_args(path: Path) -> GPT2Config:
    """The configuration in a file.

    Raises ValueError naming the file and the argument for one that is missing, unknown or makes no GPT-2.
    """
    return _config(path, _arguments(path, unpickled(path)))


def read_state(path: Path) -> dict[str, Tensor]:
    """The weights in a file, in Hugging Face's layout; zeros where a model without biases has none."""
    content = unpickled(path)
    arguments = _arguments(path, content)
    stored = content["model"]
    tensors: dict[str, Tensor] = {}
    for key, tensor in stored.items():
        name = own_name(key) if isinstance(key, str) else ""
        check_tensor(path, key, tensor)
        if name in tensors:
            raise ValueError(f"{path}: {shortened(key)} stands there twice: fetch it again.")
        if not MASKS.search(name):
            tensors[name] = tensor.t() if CONV1D.search(name) and tensor.dim() == 2 else tensor
    config = _config(path, arguments)
    check_sizes(path, tensors, config)
    if not arguments["bias"]:
        _add_biases(path, tensors, config)
    return tensors


def read_dataset(path: Path) -> str | None:
    """The name of the data set that a file says it was trained on; None where it says none."""
    content = unpickled(path)
    config = content.get("config") if isinstance(content, dict) else None
    name = config.get("dataset") if isinstance(config, dict) else None
    return name if isinstance(name, str) and Path(name).name == name else None


def _arguments(path: Path, content: Any) -> dict[str, Any]:
    """model_args, with what older files lack."""
    found = content.get("model_args") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not isinstance(content.get("model"), dict):
        raise ValueError(
            f"{path} is no checkpoint of nanoGPT, it has no model_args beside its model: put weights of another kind "
            "into a directory as pytorch_model.bin, with their config.json, and name the directory."
        )
    for name in found:
        if name not in SIZES and name not in OTHERS:
            raise ValueError(
                f"{path}: model_args has {shortened(name)}: {shortened(found[name])}, which nanoGPT does not have: "
                "another program wrote this file, so convert it with that program."
            )
    for name in SIZES:
        if name not in found:
            raise ValueError(f"{path}: model_args has no {name}: fetch the file again.")
    arguments = OTHERS | found
    if not isinstance(arguments["bias"], bool):
        raise ValueError(f"{path}: bias in model_args is {shortened(arguments['bias'])}: it must be True or False.")
    return arguments


def _config(path: Path, arguments: dict[str, Any]) -> GPT2Config:
    sizes = {ours: arguments[theirs] for theirs, ours in SIZES.items()}
    rates = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), arguments["dropout"])
    check_lengths(f"{path}: model_args", {**sizes, **rates})
    try:
        return GPT2Config(**sizes, **rates, activation_function=ACTIVATION)
    except ValueError as error:
        raise ValueError(f"{path}: model_args: {error}") from None


def _add_biases(path: Path, tensors: dict[str, Tensor], config: GPT2Config) -> None:
    """A projection or norm without a bias is one whose bias is zero."""
    width = config.n_embd
    kind = next((tensor.dtype for tensor in tensors.values()), torch.float32)
    sizes = {"attn.c_attn": 3 * width, "mlp.c_fc": config.inner_dim}
    names = {f"transformer.h.{layer}.{part}": sizes.get(part, width) for layer in range(config.n_layer)
             for part in NO_BIAS} | {"transformer.ln_f": width}  # fmt: skip
    for name, size in names.items():
        if f"{name}.bias" in tensors:
            raise ValueError(f"{path} holds {name}.bias, though bias in model_args is False: fetch the file again.")
        tensors[f"{name}.bias"] = torch.zeros(size, dtype=kind)
