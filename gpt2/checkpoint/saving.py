"""A model as Hugging Face stores it: the fields of config.json, and the tensors of a safetensors file.

In: a model, its configuration, its state dict. Out: the fields, and the tensors in the layout of Conv1D, [in, out], for
the four projections of a block. Read next: files.py, which writes them; weights.py, the way back.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from gpt2.checkpoint.hf_config import SYNONYMS, VARIANT_TYPE
from gpt2.checkpoint.pickles import reason
from gpt2.checkpoint.quantisation import FIELD, Quantisation
from gpt2.checkpoint.weights import CONV1D, HEAD, finite, own_name, short
from gpt2.config import GPT2Config

OURS = {"architectures": ["GlassboxGPT2"], "model_type": VARIANT_TYPE}  # which transformers refuses
# What is never written again: it would stand in the way, or belongs to files that are not copied.
DROPPED = (
    *SYNONYMS.values(), "auto_map", "quantization_config", "compression_config", "glassbox_variant",
    "transformers_weights",
)  # fmt: skip


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside torch.compile's and DistributedDataParallel's wrappers."""
    while True:
        inner = model._modules.get("_orig_mod") or model._modules.get("module")
        if inner is None:
            return model
        model = inner


def config_fields(
    config: GPT2Config,
    carried: Mapping[str, Any],
    dtype: str,
    variant: dict[str, Any] | None,
    tied: bool,
    quantisation: Quantisation | None = None,
) -> dict[str, Any]:
    """What config.json says of a model: its sizes and choices, what is `carried`, and how its weights are stored.

    carried  fields to write beside those of `config`: of the file that the model was read from, or for a new model
             {"bos_token_id", "eos_token_id"}, both None without a tokenizer, and not transformers' default 50256
    dtype    such as "float16"
    """
    fields: dict[str, Any] = {
        **{name: value for name, value in carried.items() if name not in DROPPED},
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{name: getattr(config, name) for name in GPT2Config.__dataclass_fields__},
        "tie_word_embeddings": tied,
        "dtype": dtype,  # transformers 5
        "torch_dtype": dtype,  # transformers 4, vLLM
    }
    if variant is not None:
        fields |= OURS | {"glassbox_variant": variant}
    if quantisation is not None:  # what else there is, is float32
        fields |= OURS | {"dtype": "float32", "torch_dtype": "float32", FIELD: quantisation.fields()}
    return fields


def to_stored(state: Mapping[str, Tensor], tied: bool, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """A state dict as Hugging Face stores it: Conv1D layout, no tied head, `dtype` (None: as they are).

    Raises ValueError naming a tensor that is NaN or infinite, or becomes so in `dtype`.
    """
    stored = {}
    for name, tensor in ((own_name(name), tensor.detach()) for name, tensor in state.items()):
        if tied and name == HEAD:
            continue
        tensor = tensor.t() if CONV1D.search(name) else tensor
        stored[name] = tensor.to(device="cpu", dtype=dtype or tensor.dtype).contiguous()
        if not finite(stored[name]):
            if dtype and finite(tensor):
                raise ValueError(f"{name} does not fit into {short(dtype)}: save in float32 or bfloat16.")
            raise ValueError(f"{name} holds NaN or infinite values: nothing was written.")
    return stored


def write_tensors(stored: dict[str, Tensor], path: Path, metadata: Mapping[str, str] = {}) -> None:
    """Write one safetensors file, marked as transformers wants it. OSError naming it when that fails."""
    try:
        save_file(stored, path, metadata={"format": "pt", **metadata})
    except SafetensorError as error:  # its I/O errors come without an errno
        raise OSError(f"{path}: could not be written ({reason(error)})") from None
