"""A training recipe: a TOML file as frozen dataclasses, every value checked before anything starts.

In: `recipes/*.toml`, overrides from the command line. Out: a `Recipe`, read by training/loop.py.
"""

import dataclasses
import difflib
import math
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gpt2.config import GPT2Config
from gpt2.errors import UsageError


@dataclass(frozen=True)
class ModelRecipe:
    """The sizes of the model; the vocabulary is the data's."""

    n_layer: int = 12
    """Blocks."""
    n_head: int = 12
    """Attention heads a block."""
    n_embd: int = 768
    """Width of the residual stream."""
    n_positions: int = 1024
    """Context: the most positions the model takes."""
    dropout: float = 0.0
    """Rate of all four dropouts."""

    def config(self, vocab_size: int) -> GPT2Config:
        """The model's configuration with this vocabulary."""
        p = self.dropout
        return GPT2Config(
            vocab_size=vocab_size, n_positions=self.n_positions, n_embd=self.n_embd, n_layer=self.n_layer,
            n_head=self.n_head, embd_pdrop=p, attn_pdrop=p, resid_pdrop=p,
        )  # fmt: skip


@dataclass(frozen=True)
class DataRecipe:
    """Directories that `gpt2 prepare` wrote, all with the same tokenizer."""

    train: tuple[str, ...] = ()
    """Training sets."""
    repeat: tuple[float, ...] = ()
    """How often one pass over the mix visits each training set (default: once)."""
    val: tuple[str, ...] = ()
    """Validation sets, reported one by one."""


@dataclass(frozen=True)
class OptimRecipe:
    """The optimiser and its learning rate."""

    name: Literal["adamw", "muon"] = "adamw"
    """muon: Muon for the matrices inside blocks, AdamW for embeddings, norms and biases."""
    lr: float = 6e-4
    """Peak rate of AdamW."""
    muon_lr: float = 0.02
    """Peak rate of Muon."""
    weight_decay: float = 0.1
    """AdamW's decay, on tensors of two or more dimensions."""
    muon_weight_decay: float = 0.01
    """Muon's decay."""
    beta1: float = 0.9
    """AdamW's first beta."""
    beta2: float = 0.95
    """AdamW's second beta."""
    eps: float = 1e-8
    """AdamW's epsilon."""
    clip: float = 1.0
    """Largest global gradient norm; 0 turns clipping off."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """Shape of the decay after the warm-up."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    floor: float = 0.1
    """Rate at the end, as a share of the peak."""


@dataclass(frozen=True)
class TrainRecipe:
    """The loop."""

    steps: int = 1000
    """Optimiser steps."""
    batch_size: int = 32
    """Rows of the global batch."""
    micro_batch_size: int | None = None
    """Rows computed at once (default: the whole batch); lower it when memory runs out."""
    context: int | None = None
    """Tokens a row (default: the model's n_positions)."""
    init: str | None = None
    """A model to start from, as --model takes it (default: fresh weights)."""
    seed: int = 0
    """Seed of initialisation, data order and dropout."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the processor multiplies it natively, otherwise float32."""
    compile: bool = True
    """Use torch.compile."""
    deterministic: bool = True
    """The same losses again from the same seed."""
    log_every: int = 10
    """Steps between two lines of the log."""
    eval_every: int = 250
    """Steps between two evaluations; each is followed by a saved checkpoint."""
    eval_tokens: int = 65536
    """Tokens of each validation set that an evaluation reads."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a training run goes."""

    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    train: TrainRecipe = field(default_factory=TrainRecipe)

    def check(self) -> "Recipe":
        """Raise UsageError, naming field, value and mend, for what cannot be trained; return self."""
        data, train, optim = self.data, self.train, self.optim
        if not data.train:
            raise UsageError("data.train is empty: name at least one directory that `gpt2 prepare` wrote.")
        if data.repeat and len(data.repeat) != len(data.train):
            raise UsageError(f"data.repeat has {len(data.repeat)} numbers for {len(data.train)} sets: give one each.")
        if any(not 0 <= r < 1e6 for r in data.repeat):
            raise UsageError(f"data.repeat is {list(data.repeat)}: a set is visited at least 0 and below 1e6 times.")
        for name in ("steps", "batch_size", "log_every", "eval_every", "eval_tokens"):
            if getattr(train, name) < 1:
                raise UsageError(f"train.{name} is {getattr(train, name)}: it must be at least 1.")
        if train.micro_batch_size is not None and not 1 <= train.micro_batch_size <= train.batch_size:
            raise UsageError(f"train.micro_batch_size is {train.micro_batch_size}: choose 1 to {train.batch_size}.")
        if train.context is not None and not 1 <= train.context <= self.model.n_positions:
            raise UsageError(
                f"train.context is {train.context}: choose 1 to model.n_positions {self.model.n_positions}."
            )
        for name in ("lr", "muon_lr", "eps"):
            if not 0 < getattr(optim, name) < math.inf:
                raise UsageError(f"optim.{name} is {getattr(optim, name)}: it must be above 0.")
        for name in ("weight_decay", "muon_weight_decay", "clip", "warmup_steps"):
            if not 0 <= getattr(optim, name) < math.inf:
                raise UsageError(f"optim.{name} is {getattr(optim, name)}: it must be at least 0.")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(optim, name) < 1:
                raise UsageError(f"optim.{name} is {getattr(optim, name)}: it lies in [0, 1).")
        if not 0 <= optim.floor <= 1:
            raise UsageError(f"optim.floor is {optim.floor}: it is a share of the peak rate, 0 to 1.")
        if not 0 <= self.model.dropout < 1:
            raise UsageError(f"model.dropout is {self.model.dropout}: a rate lies in [0, 1).")
        try:
            self.model.config(vocab_size=1)
        except ValueError as error:
            raise UsageError(f"[model] {error}") from None
        return self


def load_recipe(path: str | Path) -> Recipe:
    """Read a TOML recipe. Raises UsageError for a missing file, bad TOML, an unknown key or a wrong type."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no recipe {path}: name a .toml file, such as recipes/storyteller.toml.") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory: name a recipe, a .toml file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}.") from None
    return _build(Recipe, table, str(path), "")


def _build(kind: Any, table: dict[str, Any], source: str, prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            mend = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(hints)}."
            raise UsageError(f"{source}: there is no setting {prefix}{key}: {mend}")
        values[key] = _value(hints[key], value, source, f"{prefix}{key}")
    return kind(**values)


def _value(hint: Any, value: Any, source: str, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UsageError(f"{source}: {name} is {value!r}: write it as a table, [{name}].")
        return _build(hint, value, source, f"{name}.")
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        if value not in choices:
            raise UsageError(f"{source}: {name} is {value!r}: choose {' or '.join(map(repr, choices))}.")
        return value
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{source}: {name} is {value!r}: write a list, [{value!r}].")
        return tuple(_value(choices[0], item, source, name) for item in value)
    kinds = choices or (hint,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise UsageError(f"{source}: {name} is {value!r}: it must be a {kinds[0].__name__}.")
    return value
