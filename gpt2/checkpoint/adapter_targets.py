"""Which modules of a GPT-2 an adapter changes, by the names that transformers gives them and the rules of peft.

In: the fields of adapter_config.json and the number of blocks. Out: `Targets`. Read next: adapter_merge.py.
Source: `inject_adapter`, `check_target_module_exists` and `set_additional_trainable_modules` of peft 0.21.2.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gpt2.base.foreign import shortened
from gpt2.checkpoint.adapter_patterns import match

PROJECTIONS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
WTE, WPE, HEAD = "transformer.wte", "transformer.wpe", "lm_head"
NONE_AT_ALL = "dummy-target-modules"  # what peft writes for an adapter without adapted modules
MANY = 20  # target_modules of as many names are shortened by peft before they are matched
IN_BLOCK = (
    "ln_1", "attn", "attn.c_attn", "attn.c_proj", "attn.attn_dropout", "attn.resid_dropout",
    "ln_2", "mlp", "mlp.c_fc", "mlp.c_proj", "mlp.act", "mlp.dropout",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A module or parameter that is changed by A and B: its name, its rank and its scale."""

    name: str
    rank: int
    scale: float


@dataclass(frozen=True)
class Targets:
    """What an adapter changes, in the order of the model; all are names of modules.

    modules     by a product of A and B
    parameters  the weights of these, in the layout of the file of transformers, which is [in, out] for projections
    saved       whole modules that the adapter stores
    tokens      tables of which it stores some rows: name -> the ids
    tied        whether the head shares what happens to the embedding
    """

    modules: tuple[Target, ...]
    parameters: tuple[Target, ...]
    saved: tuple[str, ...]
    tokens: Mapping[str, tuple[int, ...]]
    tied: bool


def module_names(n_layer: int, headless: bool) -> list[str]:
    """The modules of a GPT-2 of transformers in its own order; `headless` is the class without a head, GPT2Model."""
    names = ["transformer", WTE, WPE, "transformer.drop", "transformer.h"]
    for layer in range(n_layer):
        block = f"transformer.h.{layer}"
        names += [block, *(f"{block}.{name}" for name in IN_BLOCK)]
    names += ["transformer.ln_f", HEAD]
    return [name.removeprefix("transformer.") for name in names[1:-1]] if headless else names


def is_projection(name: str) -> bool:
    """Whether transformers stores this module as Conv1D."""
    return name.endswith(tuple(f".{end}" for end in PROJECTIONS))


def find_targets(fields: Mapping[str, Any], n_layer: int, tied: bool, headless: bool = False) -> Targets:
    """What an adapter changes in a model of `n_layer` blocks, whose head is `tied` to the embedding or not.

    Raises ValueError, beginning with the field's name, for what peft cannot apply to it.
    """
    names = module_names(n_layer, headless)
    wte = WTE.removeprefix("transformer.") if headless else WTE
    fields = dict(fields)
    ensured = bool(fields.get("ensure_weight_tying")) and tied and not headless
    saved_names, tie_targets, tie_saved = list(fields.get("modules_to_save") or []), False, False
    if ensured and any(name.rpartition(".")[2] in (HEAD, "embed_tokens") for name in saved_names):
        saved_names, tie_saved = _without_head([*saved_names, WTE]), True
    elif ensured and _names_head(fields.get("target_modules")):
        fields, tie_targets = _with_embedding(fields), True
    fields["modules_to_save"] = saved_names
    matched = [name for name in names if _matches(fields, name, names)]
    if tie_targets and HEAD not in matched:
        matched.append(HEAD)
    for name in matched:
        if not is_projection(name) and name not in (WTE, WPE, HEAD, "wte", "wpe"):
            raise ValueError(f"target_modules matches {name}, which peft cannot adapt: name projections or tables.")
    modules = tuple(_target(fields, name, name) for name in matched)
    parameters = _parameters(fields, names, matched)
    if not modules and not parameters and fields.get("target_modules") != NONE_AT_ALL:
        raise ValueError(
            f"target_modules is {shortened(fields.get('target_modules'))}, which matches no module of this GPT-2: "
            "it belongs to another base."
        )
    saved = _saved(saved_names, names, matched)
    tokens, tie_tokens = _tokens(fields, names, wte, tied and not headless)
    if tie_saved and HEAD not in saved:
        saved = (*saved, HEAD)
    adapted = {*matched, *(target.name for target in parameters)}
    followers = [HEAD] if tie_tokens else []
    twice = [HEAD] if tie_saved and HEAD in matched else []
    twice += [
        name for name in (*tokens, *followers) if name in adapted or any(_is_in(name, module) for module in saved)
    ]
    twice += [target.name for target in parameters if any(_is_in(target.name, module) for module in saved)]
    if twice:
        raise ValueError(f"{twice[0]} is changed in two ways at once, which is not supported: train it in one.")
    return Targets(modules, parameters, saved, tokens, tie_targets or tie_saved or tie_tokens)


def scale_of(alpha: float, rank: int, rank_stabilised: bool) -> float:
    """alpha / rank (Hu et al. 2021, section 4.1), or alpha / sqrt(rank) (Kalajdzievski 2023)."""
    return alpha / (math.sqrt(rank) if rank_stabilised else rank)


def _matches(fields: Mapping[str, Any], name: str, names: Iterable[str]) -> bool:
    """Whether target_modules means this module."""
    excluded, wanted = fields.get("exclude_modules"), fields.get("target_modules")
    if isinstance(excluded, str) and excluded and match("exclude_modules", excluded, name, whole=True) is not None:
        return False
    if isinstance(excluded, list) and _ends(name, excluded):
        return False
    if any(_saves(module, name) for module in fields["modules_to_save"]):
        return False
    if wanted is None:
        wanted = ["c_attn"]
    if wanted == NONE_AT_ALL:
        return False
    if isinstance(wanted, str):
        if wanted.lower() == "all-linear":
            return is_projection(name)
        return match("target_modules", wanted, name, whole=True) is not None
    layers = fields.get("layers_to_transform")
    chosen = layers is not None and layers != []
    if chosen and len(wanted) >= MANY and any(module in names for module in wanted):
        raise ValueError("target_modules names whole modules beside layers_to_transform: leave the latter out.")
    if name in wanted:
        return True
    return _ends(name, wanted) and (not chosen or _in_layers(name, layers, fields.get("layers_pattern")))


def _in_layers(name: str, layers: Any, patterns: str | list[str] | None) -> bool:
    """Whether the module stands in one of the chosen blocks."""
    expressions = [patterns] if isinstance(patterns, str) and patterns else list(patterns or [])
    found = None
    for expression in [rf"(?:^|.*?\.){one}" for one in expressions] or [r".*?\.[^.]*"]:
        found = match("layers_pattern", rf"{expression}\.(?P<layer>\d+)\.", name)
        if found is not None:
            break
    return found is not None and int(found["layer"]) in ([layers] if isinstance(layers, int) else layers)


def _target(fields: Mapping[str, Any], name: str, key: str) -> Target:
    """The rank and scale of a module or, of a parameter, of `key`."""
    rank, alpha = fields.get("r", 8), fields.get("lora_alpha", 8)
    rank_field, alpha_field = "r", "lora_alpha"
    for field in ("rank_pattern", "alpha_pattern"):
        for pattern, value in (fields.get(field) or {}).items():
            if match(field, rf"(.*\.)?({pattern})$", key) is not None:
                if field == "rank_pattern":
                    rank, rank_field = value, field
                else:
                    alpha, alpha_field = value, field
                break
    if type(rank) is not int or rank < 1:
        raise ValueError(f"{rank_field} is {shortened(rank)}: it must be a whole number above 0.")
    if type(alpha) not in (int, float) or not math.isfinite(alpha):
        raise ValueError(f"{alpha_field} is {shortened(alpha)}: it must be a number.")
    return Target(name, rank, scale_of(alpha, rank, bool(fields.get("use_rslora"))))


def _parameters(fields: Mapping[str, Any], names: Iterable[str], matched: list[str]) -> tuple[Target, ...]:
    """What target_parameters means."""
    wanted = fields.get("target_parameters")
    if not wanted:
        return ()
    found = []
    for name in names:
        leaf = is_projection(name) or name in (WTE, WPE, HEAD, "wte", "wpe") or name.rpartition(".")[2].startswith("ln")
        for part in ("weight", "bias") if leaf else ():
            key = f"{name}.{part}"
            if key not in wanted and not any(key.endswith(f".{one}") for one in wanted):
                continue
            if name in (HEAD, WTE, WPE, "wte", "wpe") and part == "bias":
                continue
            if part == "bias" or "ln_" in name:
                raise ValueError(f"target_parameters matches {key}, which is no matrix: peft cannot adapt it.")
            if name in matched:
                raise ValueError(f"target_parameters matches {key}, which target_modules matches too: name it once.")
            found.append(_target(fields, name, key))
    fan = bool(fields.get("fan_in_fan_out"))
    for name in matched:  # peft sets the field by the module that it adapted last
        fan = (fan or is_projection(name)) and name != HEAD
    if found and fan:
        raise ValueError("target_parameters does not go with fan_in_fan_out in peft: set target_modules to [].")
    for name in ("lora_dropout", "lora_bias", "use_dora", "velora_config", "monteclora_config"):
        if found and fields.get(name):
            raise ValueError(f"target_parameters does not go with {name} in peft: train without one of them.")
    if found and fields.get("init_lora_weights") == "mica":
        raise ValueError("target_parameters does not go with init_lora_weights mica in peft: train without it.")
    return tuple(found)


def _saved(wanted: list[str], names: list[str], matched: list[str]) -> tuple[str, ...]:
    """The modules that modules_to_save means: by the end of their names, wherever it begins."""
    found = [name for name in names if name.endswith(tuple(wanted))] if wanted else []
    for name in found:
        if name in ("transformer.h", "h"):
            raise ValueError(
                f"modules_to_save matches {name}, a list of blocks, which peft cannot store: name a block."
            )
        overlap = [other for other in (*found, *matched) if other != name and _is_in(other, name)]
        if overlap or name in matched:
            twice = overlap[0] if overlap else name
            raise ValueError(f"modules_to_save matches {twice} twice, which peft cannot load: write longer names.")
    inside = ("base_layer", "lora_dropout", "default", "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B",
              "lora_magnitude_vector")  # fmt: skip
    for name in matched:
        for part in inside:
            if f"{name}.{part}".endswith(tuple(wanted)) and wanted:
                raise ValueError(f"modules_to_save matches what is inside {name}: write longer names.")
    return tuple(found)


def _tokens(
    fields: Mapping[str, Any], names: list[str], wte: str, tied: bool
) -> tuple[dict[str, tuple[int, ...]], bool]:
    """What trainable_token_indices means, and whether the head follows the embedding."""
    given = fields.get("trainable_token_indices")
    if given is None:
        return {}, False
    by_name = given if isinstance(given, dict) else {wte: given}
    tables: dict[str, tuple[int, ...]] = {}
    for wanted, ids in by_name.items():
        found = [name for name in names if name.endswith(wanted)]
        if len(found) != 1 or found[0] not in (wte, WPE, "wpe", HEAD) or found[0] in tables:
            raise ValueError(f"trainable_token_indices names {shortened(wanted)}: write {wte} or {HEAD} there.")
        if found[0] == HEAD and wanted != HEAD and len(by_name) > 1:
            raise ValueError(f"trainable_token_indices names {shortened(wanted)}: write {HEAD} in full.")
        if not isinstance(ids, list) or not ids or not all(type(i) is int for i in ids) or len(set(ids)) < len(ids):
            raise ValueError(f"trainable_token_indices is {shortened(ids)}: it must be a list of different ids.")
        tables[found[0]] = tuple(ids)
    both = tied and wte in tables and HEAD in tables
    if both and tables[wte] != tables[HEAD]:
        if fields.get("ensure_weight_tying"):
            raise ValueError("trainable_token_indices differs for embedding and head beside ensure_weight_tying.")
        return tables, False
    if both:
        del tables[HEAD]
    return tables, tied and wte in tables


def _names_head(wanted: Any) -> bool:
    """Whether target_modules names the head, by the rule by which peft decides on tying."""
    if isinstance(wanted, str):
        return any(match("target_modules", wanted, name, whole=True) is not None for name in ("embed_tokens", HEAD))
    return any(name.rpartition(".")[2] in ("embed_tokens", HEAD) for name in wanted or [])


def _with_embedding(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with the embedding as a target in place of the head, which is tied to it."""
    wanted = fields["target_modules"]
    if isinstance(wanted, str):
        return fields | {"target_modules": rf"(?:{wanted}|{re.escape(WTE)})"}
    return fields | {"target_modules": _without_head([*wanted, WTE])}


def _saves(module: str, name: str) -> bool:
    return match("modules_to_save", rf"(^|.*\.){module}($|\..*)", name) is not None


def _without_head(wanted: list[str]) -> list[str]:
    found = next((name for name in wanted if _saves(name, HEAD)), None)
    return [name for name in dict.fromkeys(wanted) if name != found]


def _ends(name: str, wanted: Iterable[str]) -> bool:
    return any(name == one or name.endswith(f".{one}") for one in wanted)


def _is_in(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")
