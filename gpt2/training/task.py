"""What a run learns, and from what: the model, the batches, the validation sets, and how the result is written.

In: a recipe. Out: a `Task`, read by loop.py. `pretraining` makes the usual one; fine-tuning makes its own.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gpt2.checkpoint import Checkpoint, load, save
from gpt2.checkpoint.quantisation import need_floats
from gpt2.config import GPT2Config
from gpt2.data.batches import Mix, TokenSet
from gpt2.data.shards import TokenShards, again
from gpt2.loss import IGNORED
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.machine.fits import check_fits
from gpt2.training.recipe import Recipe


class Batches(Protocol):
    """The training stream: a pure function of the step, so that a resumed run needs to know nothing else."""

    def batch(self, step: int, rows: slice = ...) -> tuple[Tensor, Tensor]:
        """Ids and targets, int64 [rows, T] each, for some rows of a step's batch; a target of -100 is skipped."""
        ...


class Rows(Protocol):
    """A validation set as rows of tokens."""

    def __len__(self) -> int: ...

    def rows(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Ids and targets, int64 [last - first, T] each."""
        ...


@dataclass(frozen=True)
class Task:
    """model      what is trained: its parameters with `requires_grad`
    tokenizer  of the data and of the model
    batches    the training stream
    val        validation sets by name
    facts      what must be the same when the run is resumed: the identity of each set, by its directory
    write      writes the model, whole and on one process, as the run's result: a checkpoint directory
    settings   of a fine-tune, kept in each checkpoint
    sample     a text by the model, whole and on one process (None: what it makes of `train.sample_prompt`)
    """

    model: GPT2
    tokenizer: Tokenizer
    batches: Batches
    val: Mapping[str, Rows]
    facts: Mapping[str, str]
    write: Callable[[GPT2, Path], object]
    sample: Callable[[GPT2], str] | None = None
    settings: dict[str, Any] | None = None


class Windows:
    """The first `tokens` targets of a token set (0: all), in windows of T that do not overlap."""

    def __init__(self, tokens: TokenSet, context: int, limit: int) -> None:
        self.tokens, self.context = tokens, context
        self.end = min(len(tokens) - 1, limit) if limit else len(tokens) - 1

    def __len__(self) -> int:
        return -(-self.end // self.context)

    def rows(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Ids and targets [last - first, T]; what the last window lacks is padded with targets of -100."""
        T = self.context
        ids, targets = torch.zeros(last - first, T, dtype=torch.int64), torch.full((last - first, T), IGNORED)
        for row in range(last - first):
            start = (first + row) * T
            cut = torch.from_numpy(self.tokens[start : min(start + T, self.end) + 1].astype("int64"))
            n = len(cut) - 1
            ids[row, :n], targets[row, :n] = cut[:-1], cut[1:]
        return ids, targets


def pretraining(recipe: Recipe) -> Task:
    """The task of a recipe: its model on its prepared data sets.

    Raises UsageError for a model that this machine's memory cannot hold, ValueError for data sets that were changed, do
    not share a tokenizer or do not fill a window, and for a model to start from that has other sizes or another
    tokenizer.
    """
    data, train = recipe.data, recipe.train
    context = train.context or recipe.model.n_positions
    sets = {path: TokenShards(path) for path in (*data.train, *data.val)}
    tokenizer = sets[data.train[0]].tokenizer()
    check_fits(recipe.model.config(tokenizer.vocab_size))
    for path, shards in sets.items():
        if data.verify:
            shards.verify()
        if shards.manifest["tokenizer_hash"] != tokenizer.hash:
            raise ValueError(
                f"{path} was prepared with another tokenizer than {data.train[0]}: {again(path, data.train[0])}."
            )
        if path in data.val and len(shards) <= context:
            raise ValueError(f"{path} has {len(shards)} tokens, less than one window of {context}: add text.")
    repeats = data.repeat or (1.0,) * len(data.train)
    return Task(
        model=_model(recipe, tokenizer),
        tokenizer=tokenizer,
        batches=Mix([sets[path] for path in data.train], repeats, context, train.batch_size, train.seed),
        val={path: Windows(sets[path], context, train.eval_tokens) for path in data.val},
        facts={path: identity(shards.manifest) for path, shards in sets.items()},
        write=lambda model, directory: save(model, tokenizer, directory, overwrite=True),
    )


def identity(manifest: Mapping[str, Any]) -> str:
    """A hash of a prepared set's tokens and tokenizer, whatever its place and its sources' names."""
    shards = [[shard["tokens"], shard["sha256"]] for shard in manifest["shards"]]
    return hashlib.sha256(json.dumps([manifest["tokenizer_hash"], shards]).encode()).hexdigest()


def _model(recipe: Recipe, tokenizer: Tokenizer) -> GPT2:
    config = recipe.model.config(tokenizer.vocab_size)
    if recipe.train.init is not None:
        begun = load(recipe.train.init)
        need_floats(begun.model, recipe.train.init, "training")
        return _started_from(begun, config, tokenizer)
    return GPT2(config, seed=recipe.train.seed)


def _started_from(checkpoint: Checkpoint, ours: GPT2Config, tokenizer: Tokenizer) -> GPT2:
    """The checkpoint's model, whose activation, norms, scaling and head it keeps, with the recipe's dropouts.

    ValueError when its tokenizer or a size is another.
    """
    if checkpoint.tokenizer.hash != tokenizer.hash:
        raise ValueError(
            f"train.init {checkpoint.name} has another tokenizer than the data: prepare the data with that tokenizer."
        )
    theirs = checkpoint.model.config
    for name in ("n_layer", "n_head", "n_embd", "n_positions"):
        if getattr(ours, name) != getattr(theirs, name):
            raise ValueError(
                f"model.{name} is {getattr(ours, name)}, but it is {getattr(theirs, name)} in train.init: make "
                "them equal."
            )
    dropouts = {name: getattr(ours, name) for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop")}
    model = GPT2(replace(theirs, **dropouts))
    model.load_state_dict(checkpoint.model.state_dict())
    model.settings = checkpoint.model.settings
    return model
