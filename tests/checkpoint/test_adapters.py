"""Adapters that `peft` made and changed at random: the merged model computes what peft computes, in float64."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from adapted import agree, made
from peft import LoraConfig

from gpt2.checkpoint.adapter_fields import FIELDS

EVERYWHERE = ["c_attn", "c_proj", "c_fc"]

HONOURED: dict[str, dict[str, Any]] = {
    "the default": {},
    "one kind": {"target_modules": ["attn.c_proj"]},
    "names in full": {"target_modules": ["transformer.h.1.mlp.c_fc", "h.0.attn.c_attn"]},
    "an expression": {"target_modules": r".*h\.[0]\.(attn|mlp)\.c_\w+"},
    "an expression with a flag": {"target_modules": r"(?i).*\.C_ATTN"},
    "all-linear": {"target_modules": "All-Linear"},
    "excluded by name": {"target_modules": EVERYWHERE, "exclude_modules": ["mlp.c_proj"]},
    "excluded by an expression": {"target_modules": EVERYWHERE, "exclude_modules": r".*h\.1\..*"},
    "blocks": {"target_modules": EVERYWHERE, "layers_to_transform": [0]},
    "one block": {"target_modules": EVERYWHERE, "layers_to_transform": 1},
    "no blocks means all": {"target_modules": EVERYWHERE, "layers_to_transform": []},
    "blocks by pattern": {"target_modules": ["c_fc", "wte"], "layers_to_transform": [1], "layers_pattern": "h"},
    "blocks by a pattern that fails": {
        "target_modules": ["transformer.wte", "c_fc"], "layers_to_transform": [1], "layers_pattern": ["layers"],
    },
    "rslora": {"use_rslora": True, "lora_alpha": 3},
    "patterns": {
        "target_modules": EVERYWHERE, "rank_pattern": {"c_attn": 2, r"h\.1\.mlp\..*": 5},
        "alpha_pattern": {"^transformer.h.0.attn.c_attn": 40, "c_proj": 0.5},
    },
    "layout": {"fan_in_fan_out": True},
    "dropout": {"lora_dropout": 0.5},
    "all biases": {"bias": "all"},
    "biases of the adapted": {"bias": "lora_only", "target_modules": ["c_fc"]},
    "a bias of B": {"lora_bias": True, "use_rslora": True},
    "the head stored": {"modules_to_save": ["lm_head"]},
    "the embedding stored": {"modules_to_save": ["wte"]},
    "both stored": {"modules_to_save": ["wte", "lm_head"]},
    "both stored and tied": {"modules_to_save": ["lm_head"], "ensure_weight_tying": True},
    "norms and MLPs stored": {"modules_to_save": ["ln_f", "h.1.ln_1", "mlp", "wpe"]},
    "a block stored": {"target_modules": ["c_attn"], "modules_to_save": ["h.1"]},
    "names of another family stored": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "a classifier": {"task_type": "SEQ_CLS", "modules_to_save": ["score"]},
    "no task": {"task_type": None},
    "DoRA": {"use_dora": True, "target_modules": EVERYWHERE},
    "DoRA with ranks": {"use_dora": True, "use_rslora": True, "rank_pattern": {"c_attn": 2}},
    "DoRA of tables": {"use_dora": True, "target_modules": ["wte", "wpe"]},
    "DoRA of the head": {"use_dora": True, "target_modules": ["lm_head", "c_attn"]},
    "the head": {"target_modules": ["lm_head"]},
    "the embedding": {"target_modules": ["wte"]},
    "embedding and head": {"target_modules": ["wte", "lm_head", "c_attn"]},
    "embedding and head tied": {"target_modules": ["lm_head", "c_attn"], "ensure_weight_tying": True},
    "embedding and head tied by an expression": {"target_modules": "lm_head", "ensure_weight_tying": True},
    "positions": {"target_modules": ["wpe", "c_attn"]},
    "rows": {"trainable_token_indices": [3, 49, 7]},
    "rows of the head": {"trainable_token_indices": {"lm_head": [1, 2]}},
    "rows of both": {"trainable_token_indices": {"wte": [1, 2], "lm_head": [1, 2]}},
    "rows of each": {"trainable_token_indices": {"transformer.wte": [1, 2], "lm_head": [2, 3]}},
    "rows tied": {"trainable_token_indices": {"wte": [4]}, "ensure_weight_tying": True},
    "parameters": {"target_modules": [], "target_parameters": ["c_attn.weight", "mlp.c_proj.weight"]},
    "parameters of tables": {"target_modules": [], "target_parameters": ["wte.weight", "lm_head.weight"]},
    "a parameter with a rank": {
        "target_modules": [], "target_parameters": ["h.0.mlp.c_fc.weight"], "rank_pattern": {"c_fc.weight": 3},
    },
    "parameters by singular values": {
        "target_modules": [], "target_parameters": ["attn.c_attn.weight"], "init_lora_weights": "pissa",
    },
    "parameters by QR": {
        "target_modules": [], "target_parameters": ["mlp.c_fc.weight"], "init_lora_weights": "olora",
    },
    "singular values": {"init_lora_weights": "pissa", "target_modules": EVERYWHERE},
    "singular values, all of them": {"init_lora_weights": "pissa", "r": 40, "target_modules": ["c_fc"]},
    "singular values of the tied head": {"init_lora_weights": "pissa", "target_modules": ["lm_head", "wte"]},
    "singular values with DoRA": {"init_lora_weights": "pissa", "use_dora": True},
    "QR": {"init_lora_weights": "olora", "target_modules": ["attn.c_proj", "lm_head"]},
    "gradients": {"init_lora_weights": "lora_ga"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "EVA": {"init_lora_weights": "eva"},
    "MiCA": {"init_lora_weights": "mica", "target_modules": ["c_attn", "wte"]},
    "VeLoRA": {"velora_config": {"num_groups": 2}},
    "MonteCLoRA": {"monteclora_config": {"num_samples": 2}},
    "QALoRA without GPTQ": {"use_qalora": True},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("settings", HONOURED.values(), ids=HONOURED.keys())
def test_what_peft_computes(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    directory = made(base, tmp_path / "adapter", **settings)
    assert agree(base, directory) > 0.01


def test_the_table_has_every_field_of_peft() -> None:
    assert {field.name for field in FIELDS} == {field.name for field in fields(LoraConfig)}
    assert all(field.mend and field.plain for field in FIELDS if field.fate == "refused")
