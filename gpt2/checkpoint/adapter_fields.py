"""The fields of adapter_config.json that peft 0.21 acts on for a LoRA of GPT-2, and what becomes of each here.

In: the object of a file. Out: nothing, or a refusal that names the field and what to do. Who reads the honoured ones:
adapter_targets.py (which modules), adapter_merge.py (what happens to them).
Source: `LoraConfig` and `PeftConfig` of peft 0.21.2, and what its layers make of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt2.base.foreign import Field, check_fields, shortened

ON_DISK = "save the adapter in peft with path_initial_model_for_weight_conversion, and load that."
PER_TOKEN = "it is no fixed change of the weights: use peft for it."
NO_CONV1D = "peft cannot apply it to GPT-2's projections: train without it."

FIELDS = (
    Field("peft_type", "refused", "the method; a LoRA alone is a change that is read here", ("LORA",),
          "merge it in peft with merge_and_unload, save that, and load the result."),
    Field("task_type", "honoured", "what it was trained for: other tasks than CAUSAL_LM load with a note"),
    Field("auto_mapping", "without effect", "the class of the base model"),
    Field("peft_version", "without effect", "the release that wrote the file"),
    Field("base_model_name_or_path", "honoured", "the base; a relative path begins where the command is run"),
    Field("revision", "honoured", "the base's revision on the hub: refused, unless it is main or the base a directory"),
    Field("inference_mode", "without effect", "whether the adapter is frozen; loading sets it"),
    Field("r", "honoured", "the rank"),
    Field("target_modules", "honoured", "the modules that are adapted: ends of names, an expression, or all-linear"),
    Field("exclude_modules", "honoured", "modules that are not adapted though target_modules matches them"),
    Field("lora_alpha", "honoured", "the scale is lora_alpha / r"),
    Field("lora_dropout", "honoured", "dropout in training; target_parameters must be without it"),
    Field("fan_in_fan_out", "honoured", "the layout; peft corrects it by itself, except with target_parameters"),
    Field("bias", "honoured", "which biases were trained: those in the file take the place of the base's"),
    Field("use_rslora", "honoured", "the scale is lora_alpha / sqrt(r)"),
    Field("modules_to_save", "honoured", "modules that are stored whole and take the place of the base's"),
    Field("init_lora_weights", "honoured", "how training began: pissa and olora change the base, and are recomputed"),
    Field("layers_to_transform", "honoured", "the blocks in which target_modules counts"),
    Field("layers_pattern", "honoured", "what stands before a block's number in a module's name"),
    Field("rank_pattern", "honoured", "the rank by the module's name"),
    Field("alpha_pattern", "honoured", "the alpha by the module's name"),
    Field("megatron_config", "refused", "layers of Megatron", (None, {}), NO_CONV1D),
    Field("megatron_core", "without effect", "the package of Megatron's layers"),
    Field("trainable_token_indices", "honoured", "rows of the embedding that are stored and take the base's place"),
    Field("loftq_config", "without effect", "settings of init_lora_weights loftq, which is refused"),
    Field("eva_config", "without effect", "settings of an initialisation that is over"),
    Field("corda_config", "without effect", "settings of init_lora_weights corda, which is refused"),
    Field("lora_ga_config", "without effect", "settings of an initialisation that is over"),
    Field("use_dora", "honoured", "magnitudes beside the directions (DoRA)"),
    Field("velora_config", "without effect", "the backward pass of training"),
    Field("alora_invocation_tokens", "refused", "tokens from which on the adapter works", (None, []), PER_TOKEN),
    Field("use_qalora", "without effect", "layers quantised by GPTQ, which a plain GPT-2 does not have"),
    Field("qalora_group_size", "without effect", "a setting of use_qalora"),
    Field("monteclora_config", "without effect", "noise in training"),
    Field("layer_replication", "refused", "blocks repeated; peft finds none in a GPT-2", (None, []), NO_CONV1D),
    Field("runtime_config", "without effect", "settings of a running process, which peft ignores in a file"),
    Field("lora_bias", "honoured", "a bias in the adapter, added to the projection's"),
    Field("target_parameters", "honoured", "parameters that are adapted by their name"),
    Field("use_bdlora", "refused", "block-diagonal matrices", (None,), NO_CONV1D),
    Field("arrow_config", "refused", "a choice among adapters for every token", (None,), PER_TOKEN),
    Field("kasa_config", "refused", "an adapter of the base's singular values", (None,), NO_CONV1D),
    Field("ensure_weight_tying", "honoured", "the head stays tied to the embedding"),
)  # fmt: skip

TASKS = {
    "SEQ_CLS": "classification",
    "TOKEN_CLS": "token classification",
    "QUESTION_ANS": "question answering",
    "FEATURE_EXTRACTION": "feature extraction",
}
# Ways to begin that leave the base as it is: the stored matrices are added to it.
PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")


def check_adapter_fields(path: Path, fields: Mapping[str, Any]) -> None:
    """Refuse what peft or this code cannot apply to a GPT-2: ValueError naming the file, the field and its value."""
    if "peft_type" not in fields:
        raise ValueError(f"{path} has no peft_type, so peft does not read it: write LORA there if it is a LoRA.")
    check_fields(path, fields, FIELDS, unread="peft does not read it either")
    task = fields.get("task_type")
    if task not in (None, "CAUSAL_LM", *TASKS):
        raise ValueError(f"{path}: task_type is {shortened(task)}, which is none for a GPT-2: write CAUSAL_LM there.")
    if fields.get("bias", "none") not in ("none", "all", "lora_only"):
        raise ValueError(f"{path}: bias is {shortened(fields['bias'])}: it must be none, all or lora_only.")
    _check_start(path, fields.get("init_lora_weights", True))
    for name in ("rank_pattern", "alpha_pattern"):
        if not isinstance(fields.get(name) or {}, dict):
            raise ValueError(f"{path}: {name} is {shortened(fields[name])}: it must be an object of names and numbers.")
    for name in ("target_modules", "exclude_modules", "modules_to_save", "target_parameters"):
        value = fields.get(name)
        text_too = name in ("target_modules", "exclude_modules")
        if value is not None and not (text_too and isinstance(value, str)) and not _is_names(value):
            raise ValueError(f"{path}: {name} is {shortened(value)}: it must be a list of names.")
    layers = fields.get("layers_to_transform")
    for name in ("layers_to_transform", "layers_pattern"):
        if fields.get(name) is not None and isinstance(fields.get("target_modules"), str):
            raise ValueError(f"{path}: {name} counts only where target_modules is a list: leave one of them out.")
    if fields.get("layers_pattern") and layers is None:
        raise ValueError(f"{path}: layers_pattern counts only with layers_to_transform: leave it out.")
    if not (layers is None or _is_whole(layers) or (isinstance(layers, list) and all(map(_is_whole, layers)))):
        raise ValueError(f"{path}: layers_to_transform is {shortened(layers)}: it must be numbers of blocks.")
    _check_variants(path, fields)


def _check_start(path: Path, start: Any) -> None:
    """Refuse ways to begin after which the stored matrices do not belong to the base as it is."""
    what = f"{path}: init_lora_weights is {shortened(start)}"
    if isinstance(start, bool) or start is None:
        return
    if not isinstance(start, str):
        raise ValueError(f"{what}, which peft cannot read: write true there if the base was trained as it is.")
    if start.startswith("pissa_niter_"):
        raise ValueError(f"{what}, which draws at random whenever peft loads it: {ON_DISK}")
    if start.startswith("corda") or start == "loftq":
        raise ValueError(f"{what}, whose base cannot be computed from these files: {ON_DISK}")
    name = start.lower() if start.lower() in ("olora", "mica", "gaussian") else start
    if name not in (*PLAIN_STARTS, "pissa", "olora"):
        raise ValueError(f"{what}, which peft does not know: write true there if the base was trained as it is.")


def _check_variants(path: Path, fields: Mapping[str, Any]) -> None:
    """Refuse combinations that peft refuses."""
    names = ("use_dora", "velora_config", "monteclora_config")
    active = [name for name in names if fields.get(name) not in (None, False)]
    if fields.get("init_lora_weights") == "mica":
        active.append("init_lora_weights")
    if len(active) > 1:
        raise ValueError(f"{path}: {active[0]} and {active[1]} exclude each other in peft: leave one of them out.")
    if fields.get("lora_bias"):
        if fields.get("use_dora"):
            raise ValueError(f"{path}: lora_bias and use_dora exclude each other in peft: leave one of them out.")
        if not isinstance(fields.get("init_lora_weights", True), bool):
            start = shortened(fields["init_lora_weights"])
            raise ValueError(f"{path}: lora_bias does not go with init_lora_weights {start}: train without it.")


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_whole(value: Any) -> bool:
    return type(value) is int
