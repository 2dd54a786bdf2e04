"""A LoRA adapter on disk, in the format of `peft`: what a fine-tune adds to a base model, without the base.

In: the matrices A and B of each adapted projection (gpt2/training/finetune/lora.py trains them). Out: a directory with
adapter_config.json and adapter_model.safetensors, which `peft` loads beside a transformers GPT-2; and the way back,
adapters written by `peft` included. gpt2/checkpoint/files.py merges one into its base when it loads it.
"""

import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gpt2.checkpoint.hf_config import read_json
from gpt2.checkpoint.hub import ADAPTER_CONFIG, adapter_base
from gpt2.checkpoint.target import check_target, whole_directory
from gpt2.checkpoint.weights import write_tensors
from gpt2.model import GPT2

WEIGHTS = "adapter_model.safetensors"
TARGETS = ("c_attn", "c_proj", "c_fc")  # what a new adapter changes; attention and MLP both have a `c_proj`
_NAME = re.compile(r"base_model\.model\.(transformer\.h\.\d+\.(?:attn|mlp)\.\w+)\.lora_([AB])\.weight")

# Settings of peft -> the values under which an adapter is W + scale B A and nothing else.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False, None),
    "modules_to_save": (None, []),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
}


@dataclass(frozen=True)
class Adapter:
    """W of each named projection becomes W + `scale` B A (Hu et al. 2021, "LoRA", section 4.1).

    base         the model it belongs to, as `gpt2.load` takes it
    pairs        projection such as `transformer.h.0.attn.c_attn` -> A [rank, in] and B [out, rank]
    fingerprint  of the base's weights (None: not recorded), see `fingerprint`
    """

    base: str
    rank: int
    alpha: float
    pairs: dict[str, tuple[Tensor, Tensor]]
    fingerprint: str | None = None
    rank_stabilised: bool = False

    @property
    def scale(self) -> float:
        """alpha / rank; rank-stabilised adapters divide by sqrt(rank) (Kalajdzievski 2023)."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


def fingerprint(model: GPT2) -> str:
    """A hash of a sample of the weights (without an adapter's), quick at any size."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if ".lora_" not in name:
            digest.update(parameter.detach().flatten()[::997].float().cpu().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def merge(model: GPT2, adapter: Adapter) -> GPT2:
    """Add the adapter to the model's weights, in place; return the model.

    Raises ValueError when it was trained on other weights, or names a projection of another shape.
    """
    if adapter.fingerprint not in (None, fingerprint(model)):
        raise ValueError(
            f"the adapter was trained on other weights than {adapter.base} has now: name the right base in "
            f"{ADAPTER_CONFIG} (base_model_name_or_path), or fine-tune again."
        )
    for name, (a, b) in adapter.pairs.items():
        try:
            weight = model.get_parameter(f"{name}.weight")
        except AttributeError:
            raise ValueError(
                f"the adapter changes {name}, which {adapter.base} does not have: it belongs to another base."
            ) from None
        if weight.shape != (b.size(0), a.size(1)):
            raise ValueError(
                f"the adapter's {name} is {[b.size(0), a.size(1)]}, but {list(weight.shape)} in {adapter.base}: "
                f"wrong base."
            )
        weight.add_((adapter.scale * (b.double() @ a.double())).to(weight))
    return model


def write_adapter(adapter: Adapter, directory: Path | str, overwrite: bool = False) -> Path:
    """Write an adapter's directory, all of it or nothing; what is refused is refused as by `gpt2.save`."""
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": adapter.base,
        "inference_mode": True,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": True,  # transformers' GPT-2 stores these projections as Conv1D, [in, out]
        "target_modules": sorted({name.rpartition(".")[2] for name in adapter.pairs}),
        "use_rslora": adapter.rank_stabilised,
    }
    tensors = {
        f"base_model.model.{name}.lora_{letter}.weight": matrix.detach().cpu().contiguous()
        for name, pair in adapter.pairs.items()
        for letter, matrix in zip("AB", pair, strict=True)
    }
    target = check_target(directory, overwrite)
    with whole_directory(target) as temporary:
        (temporary / ADAPTER_CONFIG).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        weights = temporary / WEIGHTS
        write_tensors(tensors, weights, {"base_fingerprint": adapter.fingerprint} if adapter.fingerprint else {})
        weights.chmod((temporary / ADAPTER_CONFIG).stat().st_mode)  # safetensors makes it private to its owner
    return target


def read_adapter(directory: str | os.PathLike[str]) -> Adapter:
    """The adapter in a directory.

    Raises ValueError naming the file and the field or tensor for what is missing, damaged, or more than a LoRA of a
    GPT-2's projections.
    """
    directory = Path(directory)
    path, weights = directory / ADAPTER_CONFIG, directory / WEIGHTS
    base = adapter_base(directory)
    if base is None:
        raise ValueError(f"{directory} has no {ADAPTER_CONFIG}: choose a directory that holds an adapter.")
    fields = read_json(path)
    for name, plain in _PLAIN.items():
        if fields.get(name, plain[0]) not in plain:
            raise ValueError(f"{path}: {name} is {fields[name]!r}, which is not supported: only {plain[0]!r} is.")
    rank, alpha = fields.get("r"), fields.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise ValueError(f"{path}: r is {rank!r} and lora_alpha {alpha!r}: both must be numbers above 0.")
    if not weights.is_file():
        raise ValueError(f"{directory} has no {WEIGHTS}: copy the adapter again.")
    found: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(weights, framework="pt") as file:
            recorded = (file.metadata() or {}).get("base_fingerprint")
            for key in file.keys():  # noqa: SIM118, no dict
                match = _NAME.fullmatch(key)
                if match is None:
                    raise ValueError(
                        f"{weights}: {key} is not a LoRA matrix of a GPT-2's projection: only those are supported."
                    )
                found.setdefault(match[1], {})[match[2]] = file.get_tensor(key).float()
    except SafetensorError as error:
        raise ValueError(f"{weights} is truncated or not a safetensors file ({error}): copy it again.") from None
    pairs = {}
    for module, both in found.items():
        a, b = both.get("A"), both.get("B")
        if a is None or b is None or a.size(0) != rank or b.size(1) != rank:
            raise ValueError(f"{weights}: {module} lacks a matrix, or its rank is not the {rank} of {ADAPTER_CONFIG}.")
        if not (a.isfinite().all() and b.isfinite().all()):
            raise ValueError(f"{weights}: {module} holds NaN or infinite values: the adapter is damaged.")
        pairs[module] = (a, b)
    return Adapter(base, rank, float(alpha), pairs, recorded, bool(fields.get("use_rslora")))
