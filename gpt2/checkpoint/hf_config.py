"""What a checkpoint says of itself, in the JSON files that Hugging Face's libraries write.

In: a checkpoint directory. Out: a `GPT2Config`, or a refusal that names the field: a setting that would make another
function is never passed over in silence; `Settings`, the rest of config.json and generation_config.json, which `load`
leaves on the model and `save` writes again; the files that hold the weights; and the name of an adapter's base.
gpt2/checkpoint/config_fields.py and generation_fields.py list every field. Nothing here imports torch.
Read next: weights.py, files.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpt2.base.foreign import check_fields, check_lengths, parse_json, shortened
from gpt2.base.lfs import refuse_pointer
from gpt2.base.notes import note
from gpt2.checkpoint.config_fields import CONFIG_FIELDS
from gpt2.checkpoint.foreign import foreign_config
from gpt2.checkpoint.layout import ADAPTER_CONFIG, MOST_TENSORS, OTHER_WEIGHTS, WEIGHT_FILES
from gpt2.checkpoint.quantisation import Quantisation, quantisation_in
from gpt2.config import GPT2Config

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
VARIANT_TYPE = "glassbox_gpt2"  # model_type of a variant of ours and of quantised weights: transformers refuses it

# Other names of a field, which win over the field's own, as in transformers.
SYNONYMS = {
    "n_positions": "max_position_embeddings",
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
}


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
    if variant is not None and not (isinstance(variant, dict) and isinstance(variant.get("name"), str)):
        raise ValueError(f"{path}: glassbox_variant is {shortened(variant)}: it must be an object with a name.")
    quantised = read_quantisation(directory) is not None
    kinds = ("gpt2", VARIANT_TYPE) if quantised or variant is not None else ("gpt2",)
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


def read_quantisation(directory: Path) -> Quantisation | None:
    """In which numbers a checkpoint's weights are, where they are quantised; None for floats.

    Raises ValueError naming the file and the field for a form of compression that is not this project's.
    """
    path = directory / CONFIG_FILE
    fields = read_json(path) if path.is_file() else {}
    return quantisation_in(path, fields) if fields.get("quantization_config") is not None else None


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
        if len(shards) > MOST_TENSORS:
            raise ValueError(f"{path} names {len(shards)} tensors, and no GPT-2 has more than {MOST_TENSORS}.")
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
