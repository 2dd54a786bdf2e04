"""Which files make a checkpoint directory, by the names under which transformers and peft write and look for them.

In: a directory. Out: the files with its weights; for an adapter, the name of its base. Nothing here imports torch.
Read next: download.py, hub.py.
"""

import re
from pathlib import Path
from typing import Any

from gpt2.base.foreign import shortened
from gpt2.base.presets import PRESETS
from gpt2.checkpoint.hf_config import CONFIG_FILE, read_json
from gpt2.text.tokenizer_files import LAYOUTS, SENTENCEPIECE, TEMPLATES

BUNDLED = "storyteller"
HUB_IDS = {name: f"openai-community/{name}" for name in PRESETS} | {"distilgpt2": "distilbert/distilgpt2"}
ADAPTER_CONFIG = "adapter_config.json"  # of a LoRA adapter, as `peft` writes it
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")  # in peft's order of preference
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt",
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
OTHER_TOKENIZERS = (*LAYOUTS[1], *SENTENCEPIECE)  # files of a tokenizer that are fetched where there is no other
CHAT_TEMPLATE = re.compile(rf"{TEMPLATES}/[^/\x00-\x1f\x7f-\x9f]+\.jinja")
# In order of preference: safetensors first, because a .bin file is a pickle (and is read as tensors only).
WEIGHT_FILES = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
# Weights of other frameworks, of another precision (transformers' `variant`), and quantised ones.
OTHER_WEIGHTS = re.compile(
    r"tf_model\.h5|flax_model\.msgpack|model\.ckpt.*|rust_model\.ot|.*\.(gguf|onnx|safetensors|bin|index.*\.json)"
)


def adapter_base(directory: Path) -> str | None:
    """The name of the model that a LoRA adapter's directory belongs to; None for any other directory.

    Raises ValueError when the adapter does not name it, names a directory that holds no model, or a revision on the
    hub; and for a directory with both an adapter and a model, which transformers and peft read differently.
    """
    path = directory / ADAPTER_CONFIG
    if not path.is_file():
        return None
    if (directory / CONFIG_FILE).is_file() and any((directory / name).is_file() for name in WEIGHT_FILES):
        raise ValueError(f"{directory} holds a model and an adapter: move {ADAPTER_CONFIG} away, or the model.")
    fields = read_json(path)
    base = fields.get("base_model_name_or_path")
    mend = f"write the base model's directory or hub id there, as base_model_name_or_path in {path}."
    if not isinstance(base, str) or not base:
        raise ValueError(f"the adapter {directory} does not name its base model: {mend}")
    if not _may_be_path(base):
        raise ValueError(f"the base model of the adapter {directory} is {shortened(base)}, which is no name: {mend}")
    own, revision = Path(base).expanduser(), fields.get("revision")
    if revision not in (None, "main") and not own.is_dir():
        raise ValueError(
            f"{path}: revision is {shortened(revision)}, which is not supported, as peft asks the hub for it and "
            f"transformers does not: download that revision of {base}, and write its directory as "
            "base_model_name_or_path."
        )
    if own.is_absolute() and not (own / ADAPTER_CONFIG).is_file() and not (own / CONFIG_FILE).is_file():
        raise ValueError(f"the base model of the adapter {directory} is not in {base}: {mend}")
    return base


def _may_be_path(text: str) -> bool:
    """Whether a text of a file can be a path that a system takes, and that a sentence can show."""
    return text.isprintable() and len(text) <= 1000 and max(map(len, text.split("/"))) <= 255


def weight_files(directory: Path) -> list[Path]:
    """The files that hold a checkpoint's weights, in the order of its index; those it names may be missing.

    The first of `WEIGHT_FILES` that is there, as transformers has it, unless config.json names another file as
    `transformers_weights`. Raises ValueError when there are none, and when the index is not one.
    """
    if directory.is_file():
        return [directory]
    for name in _candidates(directory):
        path = directory / name
        if not path.is_file():
            continue
        if not name.endswith(".index.json"):
            return [path]
        index = read_json(path).get("weight_map")
        shards: list[Any] = list(index.values()) if isinstance(index, dict) else [None]
        # A shard lies beside its index: a path that leads elsewhere is not followed.
        if not all(isinstance(shard, str) and Path(shard).name == shard and _may_be_path(shard) for shard in shards):
            raise ValueError(f"{path} has no weight_map of file names: write or download it again.")
        return [directory / shard for shard in dict.fromkeys(shards)]
    others = sorted(path.name for path in directory.iterdir() if path.is_file() and OTHER_WEIGHTS.fullmatch(path.name))
    instead = f" that are read here, only {shortened(others[0])}" if others else ""
    raise ValueError(f"{directory} has no weights{instead}: put {WEIGHT_FILES[0]} or {WEIGHT_FILES[2]} there.")


def _candidates(directory: Path) -> tuple[str, ...]:
    """Names of the file that holds the weights or their index, in order of preference."""
    config = directory / CONFIG_FILE
    named = read_json(config).get("transformers_weights") if config.is_file() else None
    if named is None:
        return WEIGHT_FILES
    fits = isinstance(named, str) and named.endswith((".safetensors", ".safetensors.index.json"))
    if not fits or Path(named).name != named or not (directory / named).is_file():
        raise ValueError(
            f"{config}: transformers_weights is {shortened(named)}, which is no safetensors file there: copy it there, "
            "or take the field out."
        )
    return (named,)
