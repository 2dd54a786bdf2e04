"""What a checkpoint says of itself: config.json, as Hugging Face writes it, to GPT2Config and back.

In: a checkpoint directory. Out: a `GPT2Config`, or a refusal that names the field: a setting that would make
another function than GPT-2 is never passed over in silence. Read next: weights.py, checkpoint.py.

Ignored, because the function does not depend on them: architectures, transformers_version, torch_dtype,
dtype, use_cache, n_ctx beside n_positions, bos/eos/pad_token_id (gpt2/text/tokenizer_files.py reads them), id2label,
label2id, summary_*, task_specific_params, gradient_checkpointing, output_*, generation settings, and names that
transformers ignores too.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt2.base.lfs import refuse_pointer
from gpt2.config import GPT2Config

CONFIG_FILE = "config.json"
VARIANT_TYPE = "glassbox_gpt2"  # model_type of a variant of ours, so that transformers refuses it

# Field -> the values under which the function is GPT-2's, Hugging Face's default among them.
PLAIN: dict[str, tuple[Any, ...]] = {
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "reorder_and_upcast_attn": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "tie_word_embeddings": (True,),
    "quantization_config": (None,),
    "pruned_heads": (None, {}),
    "auto_map": (None, {}),
}
# Other names of a field: OpenAI's old one, and transformers' common ones.
SYNONYMS = {
    "n_positions": ("max_position_embeddings", "n_ctx"),
    "n_embd": ("hidden_size",),
    "n_layer": ("num_hidden_layers",),
    "n_head": ("num_attention_heads",),
}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises ValueError, naming the file, when it is not JSON or not an object; OSError when it cannot be read.
    """
    refuse_pointer(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}): write or download it again.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}, not an object: write or download it again.")
    return value


def stored_dtypes(path: Path) -> dict[str, int]:
    """How many numbers a safetensors file holds of each type, such as {"F16": 13765632}; reads its header alone.

    Source: the safetensors project's description of the format: eight bytes with the header's length, the
    header as JSON, then the data. Raises ValueError naming the file when it is not one, or is cut short.
    """
    refuse_pointer(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(length) if length < size else b""
    counts: Counter[str] = Counter()
    try:
        tensors = json.loads(head)
        tensors.pop("__metadata__", None)
        for tensor in tensors.values():
            counts[tensor["dtype"]] += math.prod(tensor["shape"])
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        end = -1
    if end != size:
        raise ValueError(f"{path} is truncated or not a safetensors file: fetch it again.")
    return dict(counts)


def read_config(directory: Path) -> tuple[GPT2Config, dict[str, Any] | None]:
    """The configuration of a checkpoint, and its variant `{"name", "arguments"}` (None: plain GPT-2).

    Raises ValueError naming the file and the field for what is missing, not JSON, or not GPT-2's function.
    """
    path = directory / CONFIG_FILE
    if not path.is_file():
        raise ValueError(f"{directory} has no {CONFIG_FILE}: choose a directory that holds a checkpoint.")
    fields = read_json(path)
    variant = fields.get("glassbox_variant")
    if variant is not None and not isinstance(variant, dict):
        raise ValueError(f"{path}: glassbox_variant is {variant!r}: it must be an object with a name.")
    kinds = ("gpt2",) if variant is None else ("gpt2", VARIANT_TYPE)
    if fields.get("model_type", "gpt2") not in kinds:
        raise ValueError(f"{path}: model_type is {fields['model_type']!r}, but only 'gpt2' is supported here.")
    for name, plain in PLAIN.items():
        if name == "tie_word_embeddings" and variant is not None:
            continue  # a variant's builder says whether its head is tied
        if fields.get(name, plain[0]) not in plain:
            raise ValueError(
                f"{path}: {name} is {fields[name]!r}, which makes another function than GPT-2's and is not "
                f"supported: only {plain[0]!r} is."
            )
    values = {}
    for name in GPT2Config.__dataclass_fields__:
        known = [key for key in (name, *SYNONYMS.get(name, ())) if key in fields]
        if known:
            values[name] = fields[known[0]]
    try:
        return GPT2Config(**values), variant
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def config_fields(
    config: GPT2Config, ends: Mapping[str, int | None], dtype: str, variant: dict[str, Any] | None, tied: bool
) -> dict[str, Any]:
    """What config.json says of a model: its sizes, its `ends`, and in which `dtype` its weights are stored.

    ends   {"bos_token_id", "eos_token_id"}: without a tokenizer both None, and not transformers' default 50256
    dtype  such as "float16"
    """
    fields: dict[str, Any] = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{name: getattr(config, name) for name in GPT2Config.__dataclass_fields__},
        **ends,
        "tie_word_embeddings": tied,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "use_cache": True,
        "dtype": dtype,  # transformers 5
        "torch_dtype": dtype,  # transformers 4, vLLM
    }
    if variant is not None:
        fields |= {"architectures": ["GlassboxGPT2"], "model_type": VARIANT_TYPE, "glassbox_variant": variant}
    return fields


def generation_fields(ends: Mapping[str, int | None]) -> dict[str, Any]:
    """What generation_config.json says: where generation starts and stops, `ends` as in `config_fields`."""
    return {"_from_model_config": True, **ends}
