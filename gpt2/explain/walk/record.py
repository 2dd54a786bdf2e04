"""The record of a walk: what stands in it, step by step, in the order of the model.

In: nothing. Out: frozen dataclasses that walk.py fills; arrays in them are read-only. Read next: walk.py.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gpt2.config import GPT2Config

Array = npt.NDArray[np.float64]  # float64 holds every value of a narrower model exactly
OFF_THE_RECORD = {"json": False}  # fields that JSON leaves out: as wide as the vocabulary, or there by another name


@dataclass(frozen=True)
class Vector:
    """Some numbers in a row, read-only."""

    values: Array

    @property
    def norm(self) -> float:
        """Euclidean length."""
        return float(np.linalg.norm(self.values))


@dataclass(frozen=True)
class Candidate:
    """A possible next token: rank from 1, id, probability, logit."""

    rank: int
    id: int
    probability: float
    logit: float


@dataclass(frozen=True)
class NormStep:
    """(x - mean) / sigma * weight + bias over the C numbers of one position; `normed` is (x - mean) / sigma."""

    mean: float
    sigma: float
    normed: Vector
    weight: Vector
    bias: Vector
    out: Vector


@dataclass(frozen=True)
class HeadStep:
    """One head at the chosen position: its query, the keys and values [D] of every source token, and its write [C].

    `scores` and `pattern` hold one number a source; z is the values' sum weighted by the pattern.
    """

    head: int
    q: Vector
    k: tuple[Vector, ...]
    v: tuple[Vector, ...]
    scores: Array
    pattern: Array
    z: Vector
    write: Vector


@dataclass(frozen=True)
class AttentionStep:
    """The heads that were asked for, and how all H of them add up: `heads_sum` + `bias` = attn.out.

    `followed` are those to look into: the ones asked for, or of all heads the one with the largest write.
    """

    divisor: float  # of the scores: sqrt(D), unless the checkpoint scales them otherwise
    heads: tuple[HeadStep, ...]
    followed: tuple[int, ...]
    head_norms: tuple[float, ...]  # of the writes of all H heads
    heads_sum: Vector
    bias: Vector


@dataclass(frozen=True)
class Neuron:
    """One hidden number of the MLP, before and after the activation function.

    `write_norm` is the norm of what it writes, |post| ||W_out[index]||.
    """

    index: int
    pre: float
    post: float
    write_norm: float


@dataclass(frozen=True)
class MLPStep:
    """The hidden layer [F] before and after the activation function: `neurons_sum` (post W_out) + `bias` = mlp.out.

    `neurons` are those with the largest writes.
    """

    pre: Vector
    post: Vector
    positive: int  # how many of `pre` are above 0
    neurons: tuple[Neuron, ...]
    neurons_sum: Vector
    bias: Vector


@dataclass(frozen=True)
class BlockDetail:
    """What happens inside one block."""

    ln_1: NormStep
    attn: AttentionStep
    ln_2: NormStep
    mlp: MLPStep


@dataclass(frozen=True)
class BlockStep:
    """The residual stream [C] through one block: resid_pre + attn_out = resid_mid, + mlp_out = resid_post.

    `guess` is the best next token if the model ended here: resid_post through the final norm and the head
    (nostalgebraist 2020, "interpreting GPT: the logit lens").
    """

    layer: int
    resid_pre: Vector
    attn_out: Vector
    resid_mid: Vector
    mlp_out: Vector
    resid_post: Vector
    guess: Candidate
    detail: BlockDetail | None


@dataclass(frozen=True)
class Target:
    """How one token would be scored here. loss = -log p (natural logarithm); gradient = d loss / d logits [V]."""

    id: int
    rank: int
    probability: float
    loss: float
    gradient: Array = field(metadata=OFF_THE_RECORD)
    pushed_down: tuple[tuple[int, float], ...]  # (id, gradient): the largest positive entries


@dataclass(frozen=True)
class Walk:
    """One position's way through the model; embed_* hold a vector for each position up to it."""

    config: GPT2Config
    dtype: str
    ids: tuple[int, ...] = field(metadata=OFF_THE_RECORD)
    position: int
    embed_tok: tuple[Vector, ...]
    embed_pos: tuple[Vector, ...]
    embed_out: tuple[Vector, ...]
    blocks: tuple[BlockStep, ...]
    final: NormStep
    logits: Array = field(metadata=OFF_THE_RECORD)
    logsumexp: float
    best_row: Vector  # the head's row for the likeliest token: final.out . best_row = its logit
    next: tuple[Candidate, ...]
    following: Candidate | None  # the token that the text itself goes on with, where it does
    target: Target | None
