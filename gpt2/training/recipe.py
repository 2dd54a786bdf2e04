"""A training recipe: a TOML file as frozen dataclasses, every value checked before anything starts.

In: the settings that recipe_file.py reads, overrides from the command line. Out: a `Recipe`, read by loop.py.

A default never changes once it is released, and the default of a new setting leaves a run as it was without it: results
and run directories of older versions are found by what differs from the defaults (identity.py).
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from gpt2.base.errors import UsageError
from gpt2.base.foreign import shortened
from gpt2.config import GPT2Config

LONGEST = 1024  # characters of a path


@dataclass(frozen=True)
class ModelRecipe:
    """The sizes of the model; the vocabulary is the data's."""

    n_layer: int = 12
    """Blocks."""
    n_head: int = 12
    """Attention heads per block."""
    n_embd: int = 768
    """Width of the residual stream."""
    n_inner: int | None = None
    """Width of the MLP; None: 4 times n_embd."""
    n_positions: int = 1024
    """Context: the most positions the model takes."""
    dropout: float = 0.0
    """Rate of all four dropouts."""

    def config(self, vocab_size: int) -> GPT2Config:
        """The model's configuration with this vocabulary."""
        p = self.dropout
        return GPT2Config(
            vocab_size=vocab_size, n_positions=self.n_positions, n_embd=self.n_embd, n_layer=self.n_layer,
            n_head=self.n_head, n_inner=self.n_inner, embd_pdrop=p, attn_pdrop=p, resid_pdrop=p,
        )  # fmt: skip


@dataclass(frozen=True)
class DataRecipe:
    """Directories that `gpt2 prepare` wrote, all with the same tokenizer."""

    train: tuple[str, ...] = ()
    """Training sets."""
    repeat: tuple[float, ...] = ()
    """How often one pass over the mix visits each training set; without numbers: once."""
    val: tuple[str, ...] = ()
    """Validation sets, reported one by one."""
    verify: bool = True
    """Compare the SHA-256 of every shard with its manifest before anything starts."""
    document_mask: bool = False
    """A token sees its own document only, behind the <|endoftext|> before it, with positions from 0."""


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
    schedule: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    """Shape after the warm-up; wsd stays at the peak and then falls."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    floor: float = 0.1
    """Rate at the end, as a share of the peak."""
    decay: float = 0.2
    """Share of the steps in which wsd falls to the floor."""


@dataclass(frozen=True)
class TrainRecipe:
    """The loop."""

    steps: int = 1000
    """Optimiser steps."""
    batch_size: int = 32
    """Rows of the global batch."""
    micro_batch_size: int | None = None
    """Rows that a process computes at once; None: all of its own. Lower it when memory runs out."""
    context: int | None = None
    """Tokens per row; None: the model's n_positions."""
    init: str | None = None
    """A model to start from: the bundled model, a directory or a Hugging Face id; None: fresh weights."""
    seed: int = 0
    """Seed of initialisation, data order and dropout."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Numbers of matrix products; auto: bfloat16 where the processor multiplies it natively, otherwise float32."""
    compile: bool = True
    """Use torch.compile."""
    activation_checkpointing: bool = False
    """Compute the inside of each block again for its gradient instead of keeping it: less memory, more time."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: ddp keeps the whole model in every process, fsdp a share of it."""
    deterministic: bool = True
    """The same losses again from the same seed."""
    log_every: int = 10
    """Steps between two lines of the log."""
    eval_every: int = 250
    """Steps between two evaluations, each after a saved checkpoint."""
    eval_tokens: int = 65536
    """Tokens of each validation set that an evaluation reads; 0: all."""
    save_every: int | None = None
    """Steps between two checkpoints; None: eval_every."""
    keep_last: int = 2
    """Checkpoints kept, beside the best one."""
    sample_every: int = 0
    """Steps between two samples of the model's text; 0: none."""
    sample_prompt: str = "Once upon a time"
    """What a sample continues."""
    snapshots: bool = False
    """Keep the weights of steps 0, 1, 2, 4, 8 ... and of the last, in snapshots/step-000000 and so on."""
    tensorboard: bool = False
    """Write TensorBoard's files too, in tensorboard/."""
    skip_outliers: float = 0.0
    """Skip a step whose loss or gradient norm lies this many standard deviations above the last 128; 0: never."""


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
        for place, names in (("data.train", data.train), ("data.val", data.val), ("train.init", (train.init or "",))):
            for name in names:
                if len(name) > LONGEST:
                    raise UsageError(f"{place} holds {shortened(name)}: no path has more than {LONGEST} characters.")
        if data.repeat and len(data.repeat) != len(data.train):
            raise UsageError(
                f"data.repeat has {len(data.repeat)} numbers for {len(data.train)} sets: give one number for each set."
            )
        if any(not 0 <= r < 1e6 for r in data.repeat):
            raise UsageError(f"data.repeat is {list(data.repeat)}: each number must be at least 0 and below 1e6.")
        for name in ("steps", "batch_size", "log_every", "eval_every", "save_every", "keep_last"):
            value = getattr(train, name)
            if value is not None and value < 1:
                raise UsageError(argument=f"train.{name}", value=value, mend="it must be at least 1.")
        for name in ("eval_tokens", "sample_every", "skip_outliers"):
            if not 0 <= getattr(train, name) < math.inf:
                mend = "it must be at least 0."
                raise UsageError(argument=f"train.{name}", value=getattr(train, name), mend=mend)
        if train.micro_batch_size is not None and not 1 <= train.micro_batch_size <= train.batch_size:
            mend = f"choose 1 to {train.batch_size}."
            raise UsageError(argument="train.micro_batch_size", value=train.micro_batch_size, mend=mend)
        if train.context is not None and not 1 <= train.context <= self.model.n_positions:
            mend = f"choose 1 to {self.model.n_positions}, the positions of the model."
            raise UsageError(argument="train.context", value=train.context, mend=mend)
        for name in ("lr", "muon_lr", "eps"):
            if not 0 < getattr(optim, name) < math.inf:
                raise UsageError(argument=f"optim.{name}", value=getattr(optim, name), mend="it must be above 0.")
        for name in ("weight_decay", "muon_weight_decay", "clip", "warmup_steps"):
            if not 0 <= getattr(optim, name) < math.inf:
                mend = "it must be at least 0."
                raise UsageError(argument=f"optim.{name}", value=getattr(optim, name), mend=mend)
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(optim, name) < 1:
                mend = "it must be at least 0 and below 1."
                raise UsageError(argument=f"optim.{name}", value=getattr(optim, name), mend=mend)
        for name, of in (("floor", "peak rate"), ("decay", "steps")):
            if not 0 <= getattr(optim, name) <= 1:
                mend = f"it is a share of the {of}, 0 to 1."
                raise UsageError(argument=f"optim.{name}", value=getattr(optim, name), mend=mend)
        if train.dtype == "float16" and train.parallel == "fsdp":
            raise UsageError("train.dtype float16 does not go with train.parallel fsdp: use bfloat16.")
        if not 0 <= self.model.dropout < 1:
            mend = "it must be at least 0 and below 1."
            raise UsageError(argument="model.dropout", value=self.model.dropout, mend=mend)
        try:
            self.model.config(vocab_size=1)
        except ValueError as error:
            raise UsageError(f"[model] {error}") from None
        return self
