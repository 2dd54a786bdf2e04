"""What each tensor of an adapter's file is for, by its name and peft's rules: a name that fits nothing is ignored.

In: the tensors of the file, and the `Targets`. Out: `Stored`. Read next: adapter_merge.py.
Source: `set_peft_model_state_dict` of peft 0.21.2; the names of its layers and wrappers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from gpt2.base.foreign import shortened
from gpt2.checkpoint.adapter import PREFIX
from gpt2.checkpoint.adapter_targets import HEAD, WPE, WTE, Targets

NAME = "default"  # what peft calls an adapter that is alone in its model
TABLES = (WTE, WPE, "wte", "wpe")
PAIR = {"lora_A": "lora_A.{}.weight", "lora_B": "lora_B.{}.weight"}
EMBEDDING = {"lora_A": "lora_embedding_A.{}", "lora_B": "lora_embedding_B.{}"}
MAGNITUDE, BIAS = {"magnitude": "lora_magnitude_vector.{}.weight"}, {"bias": "lora_B.{}.bias"}
# What only training reads, and what peft writes a second time beside the names that it reads.
UNUSED = (".lora_velora_embed", ".lora_monteclora_sampler.", ".modules_to_save.", ".token_adapter.")


@dataclass
class Stored:
    """The tensors of an adapter, by what they are for. Names of parameters are those of transformers.

    base    parameters of the base itself, such as biases
    saved   parameters of modules that the adapter stores whole
    parts   module -> "lora_A", "lora_B", "bias" (of B), "magnitude" -> tensor
    tokens  table -> the rows of trainable_token_indices
    unread  names that fit nothing
    """

    base: dict[str, Tensor] = field(default_factory=dict)
    saved: dict[str, Tensor] = field(default_factory=dict)
    parts: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    tokens: dict[str, Tensor] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def sort_tensors(
    tensors: Mapping[str, Tensor], targets: Targets, parameters: Iterable[str], dora: bool, lora_bias: bool
) -> Stored:
    """Find what each tensor is for.

    parameters  the names of the base's, such as transformer.h.0.ln_1.bias
    dora, lora_bias  whether the adapter has magnitudes, and biases of B

    Raises ValueError when a module that is stored whole, or a table's rows, lack a tensor.
    """
    places = dict(_places(targets, list(parameters), dora, lora_bias))
    stored = Stored()
    for full, tensor in tensors.items():
        name = full.removeprefix(PREFIX)
        name += ".weight" if name.endswith("lora_magnitude_vector") else ""
        kind, where, part = places.get(name, ("unread", full, ""))
        if kind == "base":
            stored.base[where] = tensor
        elif kind == "saved":
            stored.saved[where] = tensor
        elif kind == "tokens":
            stored.tokens[where] = tensor
        elif kind == "part":
            stored.parts.setdefault(where, {})[part] = tensor
        elif not any(one in name for one in UNUSED):
            stored.unread.append(full)
    needed = {where: name for name, (kind, where, _) in places.items() if kind in ("saved", "tokens")}
    for where, name in needed.items():
        if where not in stored.saved and where not in stored.tokens:
            raise ValueError(f"{shortened(PREFIX + where)} is missing, which the adapter's fields promise ({name}).")
    return stored


def _places(
    targets: Targets, parameters: list[str], dora: bool, lora_bias: bool
) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Every name that a file may hold, with what it is for: the names with and without the adapter's own name."""
    modules = {target.name for target in targets.modules}
    wrapped = modules | {target.name for target in targets.parameters}
    tokened = {*targets.tokens, *((HEAD,) if targets.tied and targets.tokens else ())}
    for name in parameters:
        module, _, last = name.rpartition(".")
        root = next((one for one in targets.saved if name.startswith(f"{one}.")), None)
        if root is not None:
            rest = name.removeprefix(f"{root}.")
            yield name, ("saved", name, "")
            yield f"{root}.modules_to_save.{NAME}.{rest}", ("saved", name, "")
            yield f"{root}.original_module.{rest}", ("base", name, "")
        elif module in wrapped:
            yield f"{module}.base_layer.{last}", ("base", name, "")
        elif module in tokened:
            yield f"{module}.token_adapter.base_layer.{last}", ("base", name, "")
        else:
            yield name, ("base", name, "")
    for module in targets.tokens:
        for name in ("trainable_tokens_delta", f"trainable_tokens_delta.{NAME}"):
            yield f"{module}.token_adapter.{name}", ("tokens", module, "")
    for module in wrapped:
        is_table = module in modules and module in TABLES
        endings = EMBEDDING if is_table else PAIR
        endings = endings | (MAGNITUDE if dora else {}) | (BIAS if lora_bias and not is_table else {})
        for part, ending in endings.items():
            for inserted in (NAME, ""):
                yield f"{module}.{ending.format(inserted)}".replace("..", ".").rstrip("."), ("part", module, part)
