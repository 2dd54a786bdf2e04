"""What a checkpoint says of itself: config.json and generation_config.json, as Hugging Face writes them, and back.

In: a checkpoint directory. Out: a `GPT2Config`, or a refusal that names the field: a setting that would make another
function is never passed over in silence; and `Settings`, the rest, which `load` leaves on the model and `save` writes
again. gpt2/checkpoint/config_fields.py and generation_fields.py list every field.
Read next: weights.py, files.py.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpt2.base.foreign import check_fields, check_lengths, parse_json, shortened
from gpt2.base.lfs import refuse_pointer
from gpt2.base.notes import note
from gpt2.checkpoint.config_fields import CONFIG_FIELDS
from gpt2.checkpoint.foreign import foreign_config
from gpt2.config import GPT2Config

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
VARIANT_TYPE = "glassbox_gpt2"  # model_type of a variant of ours, so that transformers refuses it

# Other names of a field, which win over the field's own, as in transformers.
SYNONYMS = {
    "n_positions": "max_position_embeddings",
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
}
# What is never written again: it would stand in the way, or belongs to files that are not copied.
DROPPED = (
    *SYNONYMS.values(), "auto_map", "quantization_config", "compression_config", "glassbox_variant",
    "transformers_weights",
)  # fmt: skip


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises ValueError, naming the file, when it is not JSON or not an object; OSError when it cannot be read.
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        refuse_pointer(path)
        raise ValueError(f"{path} is not JSON ({error}): write or download it again.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}, not an object: write or download it again.")
    return value


def stored_dtypes(path: Path) -> dict[str, int]:
    """How many numbers a safetensors file holds of each type, such as {"F16": 13765632}; reads its header alone.

    Source: the safetensors project's description of the format: eight bytes with the header's length, the
    header as JSON, then the data. Raises ValueError naming the file when it is not one, or is cut short.
    """
    refuse_pointer(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(length) if length < size else b""
    counts: Counter[str] = Counter()
    try:
        tensors = parse_json(head)
        tensors.pop("__metadata__", None)
        for tensor in tensors.values():
            counts[tensor["dtype"]] += math.prod(tensor["shape"])
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        end = -1
    if end != size:
        raise ValueError(f"{path} is truncated or not a safetensors file: fetch it again.")
    return dict(counts)


def read_config(directory: Path) -> tuple[GPT2Config, dict[str, Any] | None]:
    """The configuration of a checkpoint, and its variant `{"name", "arguments"}` (None: plain GPT-2).

    Raises ValueError naming the file and the field for what is missing, not JSON, or not GPT-2's function.
    """
    path = directory / CONFIG_FILE
    if directory.is_file():
        return foreign_config(directory), None
    if not path.is_file():
        raise ValueError(f"{directory} has no {CONFIG_FILE}: choose a directory that holds a checkpoint.")
    fields = read_json(path)
    variant = fields.get("glassbox_variant")
    if variant is not None and not isinstance(variant, dict):
        raise ValueError(f"{path}: glassbox_variant is {shortened(variant)}: it must be an object with a name.")
    kinds = ("gpt2",) if variant is None else ("gpt2", VARIANT_TYPE)
    if fields.get("model_type", "gpt2") not in kinds:
        raise ValueError(
            f"{path}: model_type is {shortened(fields['model_type'])}, and 'gpt2' alone is read: choose a GPT-2."
        )
    check_fields(path, fields, CONFIG_FIELDS)
    if fields.get("auto_map"):
        note(f"{path}: auto_map names code of the checkpoint's own, which is not run: read as a plain GPT-2.")
    values = {}
    for name in GPT2Config.__dataclass_fields__:
        known = [key for key in (SYNONYMS.get(name, name), name) if key in fields]
        if known:
            values[name] = fields[known[0]]
    check_lengths(path, values)
    try:
        config = GPT2Config(**values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if fields.get("head_dim") not in (None, config.head_dim):
        raise ValueError(
            f"{path}: head_dim is {shortened(fields['head_dim'])}, but n_embd / n_head is {config.head_dim}."
        )
    return config, variant


def config_fields(
    config: GPT2Config, carried: Mapping[str, Any], dtype: str, variant: dict[str, Any] | None, tied: bool
) -> dict[str, Any]:
    """What config.json says of a model: its sizes and choices, what is `carried`, and how its weights are stored.

    carried  fields to write beside those of `config`: of the file that the model was read from, or for a new model
             {"bos_token_id", "eos_token_id"}, both None without a tokenizer, and not transformers' default 50256
    dtype    such as "float16"
    """
    fields: dict[str, Any] = {
        **{name: value for name, value in carried.items() if name not in DROPPED},
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **{name: getattr(config, name) for name in GPT2Config.__dataclass_fields__},
        "tie_word_embeddings": tied,
        "dtype": dtype,  # transformers 5
        "torch_dtype": dtype,  # transformers 4, vLLM
    }
    if variant is not None:
        fields |= {"architectures": ["GlassboxGPT2"], "model_type": VARIANT_TYPE, "glassbox_variant": variant}
    return fields


@dataclass(frozen=True)
class Settings:
    """The fields of a checkpoint's files, as read.

    config      of config.json
    generation  of generation_config.json; None where there is no such file
    where       the directory, for sentences
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] | None = None
    where: Path = Path()

    @property
    def acting(self) -> tuple[Path, Mapping[str, Any]]:
        """The file whose fields decide on generation, and its fields: as in transformers, generation_config.json where
        it exists, even if it is empty, and config.json where it does not."""
        if self.generation is None:
            return self.where / CONFIG_FILE, self.config
        return self.where / GENERATION_FILE, self.generation

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a generation, any of them: those that the acting file names, or none."""
        path, fields = self.acting
        return _ids(fields.get("eos_token_id"), path)

    def ending_at(self, token: int) -> "Settings":
        """The same, with one more token that ends a generation: a fine-tune taught the model to write it."""
        if token in self.ends:
            return self
        ends = [*self.ends, token]
        named = {"eos_token_id": ends[0] if len(ends) == 1 else ends}
        return replace(self, config={**self.config, **named}, generation={**(self.generation or {}), **named})


def _ids(value: Any, path: Path) -> tuple[int, ...]:
    """A field that is one id, a list of ids, or null."""
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if not all(type(i) is int for i in ids):
        raise ValueError(
            f"{path}: eos_token_id is {shortened(value)}: it must be a token's id, a list of ids, or null."
        )
    return tuple(ids)


def read_settings(directory: Path) -> Settings:
    """The settings of a checkpoint directory. Raises ValueError naming the file and the field at fault."""
    path = directory / GENERATION_FILE
    generation = read_json(path) if path.is_file() else None
    settings = Settings(read_json(directory / CONFIG_FILE), generation, directory)
    _ = settings.ends  # whatever is no id is refused now
    return settings


def settings_of(model: Any) -> Settings | None:
    """What `load` left on a model; None for one that was made here."""
    settings = getattr(model, "settings", None)
    return settings if isinstance(settings, Settings) else None
