"""Which files make a checkpoint directory, by the names under which transformers and peft write and look for them.

Out: the names, with what a name of a model means on the hub. Read next: hf_config.py, which says which of them hold the
weights of a directory; download.py, hub.py.
"""

import re

from gpt2.base.presets import PRESETS
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
MOST_TENSORS = 20_000  # of a checkpoint; a block has twelve
# Weights of other frameworks, of another precision (transformers' `variant`), and quantised ones.
OTHER_WEIGHTS = re.compile(
    r"tf_model\.h5|flax_model\.msgpack|model\.ckpt.*|rust_model\.ot|.*\.(gguf|onnx|safetensors|bin|index.*\.json)"
)
