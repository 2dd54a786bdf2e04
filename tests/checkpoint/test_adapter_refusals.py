"""Adapters that a GPT-2 cannot be given: each is refused in a sentence that names the field or the tensor."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapted import edited, made, merged, write_base
from safetensors.torch import load_file, save_file

from gpt2.checkpoint.files import load

pytestmark = pytest.mark.filterwarnings("ignore")

WEIGHT = "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another method": ({"peft_type": "IA3"}, "peft_type is 'IA3', which is not supported: only 'LORA' is.*merge_and"),
    "another task": ({"task_type": "SEQ_2_SEQ_LM"}, "task_type is 'SEQ_2_SEQ_LM'"),
    "a revision": ({"base_model_name_or_path": "a/b", "revision": "v2"}, "revision is 'v2'.*download that revision"),
    "random singular values": ({"init_lora_weights": "pissa_niter_4"}, "draws at random.*path_initial_model"),
    "CorDA": ({"init_lora_weights": "corda"}, "'corda', whose base cannot be.*path_initial_model_for"),
    "LoftQ": ({"init_lora_weights": "loftq", "loftq_config": {}}, "'loftq', whose base cannot be.*path_initial"),
    "an unknown start": ({"init_lora_weights": "best"}, "'best', which peft does not know"),
    "a start in numbers": ({"init_lora_weights": 1}, "1, which peft cannot read"),
    "QR of what is not square": ({"init_lora_weights": "olora"}, "'olora' for transformer.h.0.attn.c_attn, which peft"),
    "activated": ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens is .1., .*no fixed change.*use peft"),
    "arrow": ({"arrow_config": {"top_k": 2}}, "arrow_config is .*no fixed change"),
    "blocks repeated": ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication is .*peft cannot apply it"),
    "block-diagonal": ({"use_bdlora": {"nblocks": 2}}, "use_bdlora is"),
    "KaSA": ({"kasa_config": {}}, "kasa_config is"),
    "Megatron": ({"megatron_config": {"a": 1}}, "megatron_config is"),
    "a bias of another kind": ({"bias": "some"}, "bias is 'some': it must be none, all or lora_only"),
    "a rank of 0": ({"r": 0}, "r is 0: it must be a whole number above 0"),
    "a broken rank": ({"r": 4.5}, "r is 4.5: it must be a whole number"),
    "another rank": ({"r": 5}, r"is \[4, 12\] and not \[5, 12\]: its rank is not the 5 of adapter_config.json"),
    "a pattern of ranks that does not fit": ({"rank_pattern": {"c_attn": 3}}, "its rank is not the 3"),
    "a pattern of nothing": ({"rank_pattern": {"c_attn": 0}}, "rank_pattern is 0"),
    "a broken expression": ({"alpha_pattern": {"(": 3}}, "alpha_pattern holds .*no regular expression"),
    "patterns as a list": ({"alpha_pattern": [3]}, "alpha_pattern is .3.: it must be an object"),
    "alpha as text": ({"lora_alpha": "6"}, "lora_alpha is '6': it must be a number"),
    "targets of another family": ({"target_modules": ["q_proj"]}, "'q_proj'.*matches no module of this GPT-2"),
    "no targets": ({"target_modules": []}, "target_modules is .., which matches no module"),
    "a norm": ({"target_modules": ["ln_1"]}, "matches transformer.h.0.ln_1, which peft cannot adapt"),
    "a container": ({"target_modules": ".*attn"}, "matches transformer.h.0.attn, which peft cannot adapt"),
    "targets of no kind": ({"target_modules": 3}, "target_modules is 3: it must be a list of names"),
    "blocks beside an expression": ({"target_modules": ".*c_attn", "layers_to_transform": [0]}, "layers_to_transform"),
    "a pattern alone": ({"layers_pattern": "h"}, "layers_pattern counts only with layers_to_transform"),
    "blocks by name": ({"layers_to_transform": ["0"]}, "layers_to_transform is .'0'.: it must be numbers"),
    "stored and missing": ({"modules_to_save": ["lm_head"]}, "lm_head.weight' is missing, which the adapter's fields"),
    "stored within stored": ({"modules_to_save": ["mlp", "c_fc"]}, "modules_to_save matches transformer.h.0.mlp.c_fc"),
    "a list of blocks": ({"modules_to_save": ["r.h"]}, "transformer.h, a list of blocks"),
    "rows and missing": ({"trainable_token_indices": [1]}, "is missing, which the adapter's fields promise"),
    "rows of nothing": ({"trainable_token_indices": {"embed_tokens": [1]}}, "trainable_token_indices names 'embed_"),
    "rows twice": ({"trainable_token_indices": [1, 1]}, "must be a list of different ids"),
    "rows of what is adapted": (
        {"trainable_token_indices": [1], "target_modules": ["wte"]}, "transformer.wte is changed in two ways",
    ),
    "unequal rows that must be equal": (
        {"trainable_token_indices": {"wte": [1], "lm_head": [2]}, "ensure_weight_tying": True}, "differs for embedding",
    ),
    "parameters beside projections": ({"target_parameters": ["c_fc.weight"]}, "does not go with fan_in_fan_out"),
    "a parameter twice": ({"target_parameters": ["c_attn.weight"]}, "which target_modules matches too"),
    "a vector": ({"target_modules": [], "target_parameters": ["c_fc.bias"]}, "which is no matrix"),
    "parameters with dropout": (
        {"target_modules": [], "target_parameters": ["c_fc.weight"], "lora_dropout": 0.1, "fan_in_fan_out": False},
        "target_parameters does not go with lora_dropout",
    ),
    "two variants": ({"use_dora": True, "init_lora_weights": "mica"}, "use_dora and init_lora_weights exclude each"),
    "magnitudes and a bias": ({"use_dora": True, "lora_bias": True}, "lora_bias and use_dora exclude each other"),
    "a bias of what starts otherwise": ({"lora_bias": True, "init_lora_weights": "pissa"}, "lora_bias does not go"),
    "a base without a name": ({"base_model_name_or_path": None}, "does not name its base model"),
    "a base that is not there": ({"base_model_name_or_path": str(Path("no").resolve())}, "is not in .*no"),
}  # fmt: skip


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    return made(base, tmp_path / "adapter")


@pytest.mark.parametrize("fields, said", REFUSED.values(), ids=REFUSED.keys())
def test_fields_are_refused_by_name(base: Path, adapter: Path, fields: dict[str, Any], said: str) -> None:
    edited(adapter, **fields)
    with pytest.raises(ValueError, match=said) as caught:
        merged(base, adapter)
    assert "\n" not in str(caught.value)


def test_a_file_without_a_method_is_refused(base: Path, adapter: Path) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({key: v for key, v in json.loads(path.read_text()).items() if key != "peft_type"}))
    with pytest.raises(ValueError, match="has no peft_type"):
        merged(base, adapter)


@pytest.mark.parametrize("name, new, said", [
    (WEIGHT.removeprefix("base_model.model."), torch.zeros(4, 12), "peft passes over .*does not begin with base_model"),
    ("base_model.model.transformer.h.7.attn.c_attn.lora_A.weight", torch.zeros(4, 12), "h.7.attn.c_attn, which .*base"),
    ("base_model.model.transformer.ln_f.weight", torch.zeros(5), r"ln_f.weight is \[5\], but \[12\]"),
    ("base_model.model.transformer.h.0.ln_1.bias", torch.full([12], torch.nan), "ln_1.bias' holds NaN"),
    (WEIGHT, torch.zeros(4, 12, dtype=torch.int64), "lora_A.weight' is int64"),
])  # fmt: skip
def test_tensors_are_refused_by_name(base: Path, adapter: Path, name: str, new: torch.Tensor, said: str) -> None:
    path = adapter / "adapter_model.safetensors"
    save_file(load_file(path) | {name: new}, path)
    with pytest.raises(ValueError, match=said):
        merged(base, adapter)


@pytest.mark.parametrize("start, letter", [(True, "A"), (False, "B"), ("orthogonal", "B"), ("mica", "B")])
def test_what_peft_would_draw_is_refused(base: Path, tmp_path: Path, start: Any, letter: str) -> None:
    directory = made(base, tmp_path / "adapter", init_lora_weights=start)
    path = directory / "adapter_model.safetensors"
    missing = f"transformer.h.1.attn.c_attn.lora_{letter}.weight"
    save_file({name: tensor for name, tensor in load_file(path).items() if not name.endswith(missing)}, path)
    with pytest.raises(ValueError, match=r"h\.1\.attn\.c_attn lacks a matrix, which peft would draw at random"):
        merged(base, directory)


def test_a_bias_of_the_head_is_refused(base: Path, tmp_path: Path) -> None:
    directory = made(base, tmp_path / "adapter", target_modules=["lm_head", "c_attn"], lora_bias=True)
    with pytest.raises(ValueError, match="lora_bias adds a bias to lm_head, and a GPT-2's head has none"):
        merged(base, directory)


def test_new_rows_that_were_not_saved_are_refused(base: Path, tmp_path: Path) -> None:
    directory = made(base, tmp_path / "adapter", modules_to_save=["wte"])
    path = directory / "adapter_model.safetensors"
    save_file(load_file(path) | {"base_model.model.transformer.wte.weight": torch.zeros(53, 12)}, path)
    with pytest.raises(ValueError, match=r"53 tokens and its base 50, but no row of lm_head.*save_embedding_layers"):
        merged(base, directory)


def test_an_adapter_over_an_adapter_is_refused(adapter: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    fields = json.loads((adapter / "adapter_config.json").read_text())
    (second / "adapter_config.json").write_text(json.dumps(fields | {"base_model_name_or_path": str(adapter)}))
    with pytest.raises(ValueError, match="is an adapter itself: merge it, gpt2 export"):
        load(str(second))


def test_a_model_beside_an_adapter_is_refused(base: Path, adapter: Path) -> None:
    """transformers adds the adapter to the model beside it, peft to the one that the adapter names."""
    for path in base.iterdir():
        (adapter / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="holds a model and an adapter"):
        load(str(adapter))


@pytest.mark.parametrize(
    "settings",
    [
        {"trainable_token_indices": {"wte": [3, 4]}, "target_modules": ["c_attn"]}, {"target_modules": ["wte"]},
        {"modules_to_save": ["wte"], "target_modules": ["c_attn"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_base_with_a_head_of_its_own_that_says_it_is_tied(settings: dict[str, Any], tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + 0.1
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    directory = made(base, tmp_path / "adapter", **settings)
    with pytest.raises(ValueError, match=r"changes transformer\.wte of a base.*tie_word_embeddings: false"):
        load(str(directory))
