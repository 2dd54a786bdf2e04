"""Adapters that `peft` itself makes over the case's base, every trained tensor random, and fields set by hand."""

import json
from typing import Any

import peft
import torch
import transformers
from safetensors.torch import load_file

from tests.oracle import tokens
from tests.oracle.draws import Case

MODULES = ["c_attn", "c_proj", "c_fc", "attn.c_proj", "mlp.c_proj", "wte", "lm_head"]
TARGETS = [
    None,
    ["c_attn"],
    ["c_attn", "c_fc"],
    ["c_proj"],
    ["mlp.c_proj", "attn.c_attn"],
    ["transformer.h.0.attn.c_attn"],
    "all-linear",
    r".*\.h\.\d+\.mlp\.c_(fc|proj)",
    r".*c_attn",
    ["wte"],
    ["c_attn", "lm_head"],
]
PLAIN = {
    "r": lambda c: c.pick([1, 2, 4, 6]),
    "lora_alpha": lambda c: c.pick([1, 8, 16, 5.5]),
    "use_rslora": lambda c: True,
    "rank_pattern": lambda c: c.pick([{"c_attn": 3}, {"h.0.mlp.c_fc": 5, "c_proj": 1}, {r"^transformer\.h\.1\..*": 2}]),
    "alpha_pattern": lambda c: c.pick([{"c_attn": 3}, {"h.0.mlp.c_fc": 50}, {r".*h\.\d\.attn.*": 2}]),
    "target_modules": lambda c: c.pick(TARGETS),
    "bias": lambda c: c.pick(["all", "lora_only"]),
    "lora_bias": lambda c: True,
    "modules_to_save": lambda c: c.pick([["ln_f"], ["wte"], ["lm_head"], ["ln_1", "wpe"], ["mlp"]]),
    "use_dora": lambda c: True,
    "trainable_token_indices": lambda c: c.pick([[1, 7, 31], {"wte": [3, 4]}]),
    "layers_to_transform": lambda c: c.pick([0, [0], [0, 1]]),
    "layers_pattern": lambda c: c.pick(["h", ["h"]]),
    "exclude_modules": lambda c: c.pick([["mlp.c_proj"], r".*h\.0\..*", ["attn.c_proj"]]),
    "init_lora_weights": lambda c: c.pick([True, False, "gaussian", "orthogonal"]),
    "fan_in_fan_out": lambda c: c.pick([True, False]),
    "lora_dropout": lambda c: 0.1,
    "task_type": lambda c: c.pick(["CAUSAL_LM", None]),
    "ensure_weight_tying": lambda c: c.pick([True, False]),
}
CORE = ("r", "lora_alpha", "target_modules")
BUILT = {  # odd fields with which peft makes the adapter
    "pissa": lambda c: {"init_lora_weights": "pissa"},
    "pissa_niter": lambda c: {"init_lora_weights": "pissa_niter_4"},
    "olora": lambda c: {"init_lora_weights": "olora"},
    "mica": lambda c: {"init_lora_weights": "mica"},
    "layer_replication": lambda c: {"layer_replication": [[0, 1], [0, 1]]},
    "target_parameters": lambda c: {"target_parameters": ["attn.c_attn.weight"]},
    "alora_invocation_tokens": lambda c: {"alora_invocation_tokens": [5, 6], "task_type": "CAUSAL_LM"},
    "use_bdlora": lambda c: {"use_bdlora": {"nblocks": 2, "target_modules_bd_a": ["c_attn"]}},
}
EDITED: dict[str, Any] = {  # odd fields put into adapter_config.json afterwards
    "init_lora_weights": lambda c: {"init_lora_weights": c.pick(["eva", "loftq", "corda", "lora_ga", "nothing", 3])},
    "arrow_config": lambda c: {"arrow_config": {"top_k": 2}},
    "megatron_config": lambda c: {"megatron_config": {"a": 1}},
    "use_qalora": lambda c: {"use_qalora": True},
    "variants": lambda c: c.pick(
        [{"velora_config": {"num_groups": 1}}, {"monteclora_config": {}}, {"kasa_config": {"beta": 0.1}}]
    ),
    "peft_type": lambda c: {"peft_type": c.pick(["IA3", "LOHA", "PROMPT_TUNING", "lora", None])},
    "task_type": lambda c: {"task_type": c.pick(["SEQ_CLS", "TOKEN_CLS", "FEATURE_EXTRACTION"])},
    "wrong": lambda c: c.pick(
        [
            {"r": "4"},
            {"r": 0},
            {"r": None},
            {"lora_alpha": "8"},
            {"lora_alpha": None},
            {"use_rslora": "true"},
            {"rank_pattern": ["c_attn"]},
            {"rank_pattern": None},
            {"alpha_pattern": {"c_attn": None}},
            {"target_modules": []},
            {"target_modules": ["no_such_module"]},
            {"bias": "some"},
            {"layers_to_transform": [9]},
            {"modules_to_save": ["no_such_module"]},
            {"exclude_modules": ["c_attn", "c_proj", "c_fc"]},
            {"use_dora": None},
            {"fan_in_fan_out": None},
            {"a_field_of_their_own": 1},
        ]
    ),
    "tensors": lambda c: {},
}
ODD = [*BUILT, *EDITED]


def draw_adapter(c: Case, odd: list[str]) -> None:
    """Write an adapter over `c.base` into a directory of its own. Raises where transformers cannot read the base."""
    directory = c.directory / "adapter"
    fields = c.draw("adapter", PLAIN, 0.16)
    fields["r"] = fields.get("r", 4)
    if c.chance(0.5) and "target_modules" not in fields:
        fields["target_modules"] = c.pick(TARGETS)
        c.note("adapter", "target_modules", fields["target_modules"])
    for name in odd:
        c.odd.append(f"adapter.{name}")
        c.note("adapter", f"{name} (odd)" if name in PLAIN else name, True)
    forced = {key: value for name in odd if name in BUILT for key, value in BUILT[name](c).items()}
    c.hints += [*forced, *(str(value) for value in forced.values())]
    c.hints.append("target_modules")
    model = make(c, fields, forced)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(c.random.getrandbits(32))
        for name, parameter in model.named_parameters():
            if parameter.requires_grad or "lora_" in name:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
                parameter.add_(noise.to(parameter.dtype) * 0.2)
    model.save_pretrained(str(directory))
    c.adapter = directory
    finish(c, directory, odd, forced)


def make(c: Case, fields: dict[str, Any], forced: dict[str, Any]) -> Any:
    """peft's model with these fields; what peft refuses together is left out, a field at a time."""
    fields = dict(fields)
    while True:
        base = transformers.AutoModelForCausalLM.from_pretrained(c.base, dtype=torch.float32)
        try:
            with_objects = fields | forced
            if "use_bdlora" in with_objects:
                with_objects["use_bdlora"] = peft.tuners.lora.config.BdLoraConfig(**with_objects["use_bdlora"])
            return peft.get_peft_model(base, peft.LoraConfig(**with_objects))
        except Exception:
            optional = [name for name in fields if name not in CORE]
            if not optional and fields.get("target_modules") == ["c_attn"]:
                forced = {}  # `finish` writes them into the file
            gone = c.pick(optional) if optional else "target_modules"
            if gone == "target_modules":
                fields["target_modules"] = ["c_attn"]
            else:
                del fields[gone]
            c.drawn.pop(f"adapter.{gone}", None)


def finish(c: Case, directory: Any, odd: list[str], forced: dict[str, Any]) -> None:
    """Edit adapter_config.json, turn the file into a .bin, put a tokenizer beside it."""
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    config |= {name: value for name, value in forced.items() if not config.get(name)}  # peft did not build these
    for name in odd:
        if name in EDITED:
            changes = EDITED[name](c)
            config |= changes
            c.hints += [*changes, *(str(value) for value in changes.values())]
    if c.chance(0.15):
        c.note("adapter", "inference_mode", True)
        config["inference_mode"] = c.pick([True, False])
    path.write_text(json.dumps(config))
    weights = directory / "adapter_model.safetensors"
    if c.chance(0.15) and not odd:
        c.note("adapter", "adapter_model.bin", True)
        c.hints.append("adapter_model.safetensors")
        torch.save(load_file(weights), directory / "adapter_model.bin")
        weights.unlink()
    elif "tensors" in odd:
        spoil_tensors(c, weights)
    if c.chance(0.2):
        c.note("adapter", "tokenizer beside", True)
        content = tokens.byte_level_files(c, directory, ["tokenizer.json", "vocab.json and merges.txt"])
        tokens.side_files(c, len(content["model"]["vocab"]), directory)


def spoil_tensors(c: Case, path: Any) -> None:
    from safetensors.torch import save_file

    tensors = load_file(path)
    name = c.pick(sorted(tensors))
    c.hints += [name, name.split("base_model.model.")[-1], name.split("base_model.model.")[-1].split(".lora_")[0]]
    kind = c.pick(["missing", "shape", "unknown"])
    if kind == "missing":
        del tensors[name]
    elif kind == "shape":
        tensors[name] = tensors[name][:-1].contiguous()
    else:
        tensors["base_model.model.transformer.h.0.other.weight"] = torch.ones(2)
        c.hints.append("h.0.other")
    save_file(tensors, path, metadata={"format": "pt"})
