"""An adapter on disk, in the format of `peft`: what a fine-tune adds to a base model, without the base.

In: the matrices A and B of each adapted projection (gpt2/training/finetune/lora.py trains them). Out: a directory with
adapter_config.json and adapter_model.safetensors, which `peft` loads beside a transformers GPT-2; and the way back,
adapters written by `peft` included. gpt2/checkpoint/adapter_merge.py merges one into its base.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from gpt2.base.foreign import is_panic, shortened
from gpt2.base.lfs import refuse_pointer
from gpt2.checkpoint.adapter_fields import check_adapter_fields
from gpt2.checkpoint.hf_config import adapter_base, read_json
from gpt2.checkpoint.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from gpt2.checkpoint.pickles import reason
from gpt2.checkpoint.saving import write_tensors
from gpt2.checkpoint.target import check_target, whole_directory
from gpt2.checkpoint.weights import check_tensor
from gpt2.model import GPT2

WEIGHTS, PICKLED = ADAPTER_WEIGHTS  # peft wrote the second before version 0.7; it is read as tensors only
PREFIX = "base_model.model."  # of every name in the file
TARGETS = ("c_attn", "c_proj", "c_fc")  # what a new adapter changes; attention and MLP both have a `c_proj`


@dataclass(frozen=True)
class Adapter:
    """What an adapter's directory holds.

    base         the model it belongs to, as `gpt2.load` takes it
    fields       of adapter_config.json
    tensors      by the name in the file, such as base_model.model.transformer.h.0.attn.c_attn.lora_A.weight
    fingerprint  of the base's weights (None: not recorded), see `fingerprint`
    where        the directory, for sentences
    """

    base: str
    fields: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(repr=False)
    fingerprint: str | None = None
    where: str = "the adapter"


def lora_adapter(
    base: str,
    rank: int,
    alpha: float,
    pairs: Mapping[str, tuple[Tensor, Tensor]],
    fingerprint: str | None = None,
    dropout: float = 0.0,
    targets: Sequence[str] = (),
) -> Adapter:
    """The adapter by which W of each named projection becomes W + alpha / rank B A (Hu et al. 2021, section 4.1).

    pairs    projection such as `transformer.h.0.attn.c_attn` -> A [rank, in] and B [out, rank]
    dropout  the rate before it in training, with which peft would go on
    targets  what peft is to find the projections by (none: the last part of each name)
    """
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "bias": "none",
        "fan_in_fan_out": True,  # transformers' GPT-2 stores these projections as Conv1D, [in, out]
        "target_modules": _target_modules(targets or {name.rpartition(".")[2] for name in pairs}),
        "use_rslora": False,
    }
    return Adapter(base, fields, named_pairs(pairs), fingerprint)


def named_pairs(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """A and B of each projection, by the names that peft gives them in a file."""
    return {
        f"{PREFIX}{name}.lora_{letter}.weight": matrix.detach().cpu().contiguous()
        for name, pair in pairs.items()
        for letter, matrix in zip("AB", pair, strict=True)
    }


def _target_modules(names: Iterable[str]) -> list[str] | str:
    """As peft has it: all-linear is a word of its own, all else a list of names."""
    found = sorted(set(names))
    return "all-linear" if "all-linear" in found else found


def fingerprint(model: GPT2) -> str:
    """A hash of a sample of the weights (without an adapter's), quick at any size."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if ".lora_" not in name:
            digest.update(parameter.detach().flatten()[::997].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def hash_of_weights(model: GPT2) -> str:
    """SHA-256 of every weight (without an adapter's): names and values as float32."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if ".lora_" not in name:
            digest.update(name.encode())
            digest.update(parameter.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def write_adapter(adapter: Adapter, directory: Path | str, overwrite: bool = False) -> Path:
    """Write an adapter's directory, all of it or nothing; what is refused is refused as by `gpt2.save`."""
    target = check_target(directory, overwrite)
    with whole_directory(target) as temporary:
        config = json.dumps(dict(adapter.fields), indent=2) + "\n"
        (temporary / ADAPTER_CONFIG).write_text(config, encoding="utf-8")
        weights = temporary / WEIGHTS
        recorded = {"base_fingerprint": adapter.fingerprint} if adapter.fingerprint else {}
        write_tensors(dict(adapter.tensors), weights, recorded)
        weights.chmod((temporary / ADAPTER_CONFIG).stat().st_mode)  # safetensors makes it private to its owner
    return target


def read_adapter(directory: str | os.PathLike[str]) -> Adapter:
    """The adapter in a directory.

    Raises ValueError naming the file and the field or tensor for what is missing, damaged, or cannot be honoured.
    """
    directory = Path(directory)
    path = directory / ADAPTER_CONFIG
    base = adapter_base(directory)
    if base is None:
        raise ValueError(f"{directory} has no {ADAPTER_CONFIG}: choose a directory that holds an adapter.")
    fields = read_json(path)
    check_adapter_fields(path, fields)
    tensors, recorded = _read_tensors(directory)
    for name, tensor in tensors.items():
        if not name.startswith(PREFIX):
            raise ValueError(
                f"{directory}: peft passes over {shortened(name)}, because it does not begin with {PREFIX}: rename the "
                "tensors, or save the adapter with save_pretrained."
            )
        check_tensor(directory, name, tensor)
        if not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(f"{directory}: {shortened(name)} is {kind}: the matrices must be floating point.")
        if not tensor.isfinite().all():
            raise ValueError(f"{directory}: {shortened(name)} holds NaN or infinite values: the adapter is damaged.")
    return Adapter(base, fields, tensors, recorded, str(directory))


def _read_tensors(directory: Path) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of the file that peft would choose, and the recorded fingerprint of the base."""
    weights, pickled = directory / WEIGHTS, directory / PICKLED
    refuse_pointer(weights if weights.is_file() else pickled)
    if weights.is_file():
        try:
            with safe_open(weights, framework="pt") as file:
                names = list(file.keys())
                return {name: file.get_tensor(name) for name in names}, (file.metadata() or {}).get("base_fingerprint")
        except OSError:
            raise
        except BaseException as error:  # a hostile header may raise anything
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            why = reason(error)
            raise ValueError(f"{weights} is truncated or not a safetensors file ({why}): copy it again.") from None
    if not pickled.is_file():
        raise ValueError(f"{directory} has no {WEIGHTS}: copy the adapter again.")
    try:
        tensors = torch.load(pickled, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file may raise anything
        why = reason(error)
        raise ValueError(f"{pickled} is damaged or holds more than tensors ({why}): copy it again.") from None
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors):
        raise ValueError(f"{pickled} holds no tensors by name: save the adapter with save_pretrained.")
    return tensors, None
