"""Edits: what a value is replaced by. Plain functions f(x, at) -> x for `trace(..., edit={address: f})` and `generate`.

    zero, keep_constant()               nothing, or of a head what it writes whatever it looks at (z = b_V)
    mean(ref), mean_by_position(ref)    its mean over a reference text
    freeze(ref)                         for a norm's scale: its mean over a reference text
    take(run), resample(run)            the value of another run, at the same position
    scale(k)                            k times itself
    to_first()                          for a head: attention to key 0 alone

In: a copy of the value and where it stands (`gpt2.probe.At`). Out: a value of the same shape. An edit is a function of
those two alone, so cached decoding gives what a full pass gives. Your own function may stand there too.
Every edit has a `label`. Read next: trace.py.
"""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor

from gpt2.addresses import PER_HEAD
from gpt2.base.errors import UsageError
from gpt2.explain.run.reference import PATTERNS, Reference
from gpt2.explain.run.trace import Run
from gpt2.explain.run.weights import value_bias
from gpt2.probe import At, Edit

P = ParamSpec("P")


def _makes_edits(make: Callable[P, Edit]) -> Callable[P, Edit]:
    """`make`, which raises UsageError when it is handed a value to edit: it stands where the edit should stand."""

    @wraps(make)
    def checked(*args: P.args, **more: P.kwargs) -> Edit:
        if len(args) == 1 and isinstance(args[0], Tensor) and args[0].dim():
            call = f"{make.__name__}({', '.join(inspect.signature(make).parameters)})"
            raise UsageError(f"{make.__name__} makes an edit and is none itself: write edit={{address: {call}}}.")
        return make(*args, **more)

    return checked


def zero(x: Tensor, at: At) -> Tensor:
    """Nothing in its place. UsageError for a norm's scale, which divides."""
    if at.point.endswith(".scale"):
        raise UsageError(f"{at.text} divides, so it cannot be 0: freeze(reference) holds it at its mean.")
    return torch.zeros_like(x)


@_makes_edits
def keep_constant() -> Edit:
    """z = b_V, which is the head's z where the varying part of the values is 0 and its weights sum to 1.

    Where b_V has been folded into b_O, this is what zero is. UsageError anywhere but at a head or `l.attn.z`.
    """

    def edit(x: Tensor, at: At) -> Tensor:
        if at.point != "attn.z" or at.layer is None or at.unit is not None:
            raise UsageError(f"only heads have a constant part, {at.text} has none: edit {at.layer or 0}.head.0, say.")
        return _spread(value_bias(at.model, at.layer), x, at)

    return _named(edit, "keep_constant")


@_makes_edits
def mean(reference: Reference) -> Edit:
    """The mean over the documents and the positions i >= 1 of a reference text.

    UsageError for scores and patterns, which have no mean over positions, and for another model's reference.
    """

    def edit(x: Tensor, at: At) -> Tensor:
        _check(reference, at)
        return _spread(reference.mean(at.layer, at.point), x, at)

    return _named(edit, f"mean({reference.name} {reference.sha256[:8]})")


@_makes_edits
def mean_by_position(reference: Reference) -> Edit:
    """The mean over the documents of a reference text at the very same position.

    UsageError as for `mean`, and at positions that no document of the reference reaches.
    """

    def edit(x: Tensor, at: At) -> Tensor:
        _check(reference, at)
        means = reference.mean_by_position(at.layer, at.point)
        heads = at.point in PER_HEAD
        T = means.size(1 if heads else 0)
        return _rows_of(means[None], x, at, _within(at, T, reference.name))

    return _named(edit, f"mean_by_position({reference.name} {reference.sha256[:8]})")


@_makes_edits
def freeze(reference: Reference) -> Edit:
    """A norm's scale held at its mean over a reference text. UsageError for any other point."""
    held = mean(reference)

    def edit(x: Tensor, at: At) -> Tensor:
        if not at.point.endswith(".scale"):
            raise UsageError(f"{at.text} is not a norm's scale: freeze one such as {at.layer or 0}.ln_1.scale.")
        return held(x, at)

    return _named(edit, f"freeze({reference.name} {reference.sha256[:8]})")


@_makes_edits
def take(run: Run) -> Edit:
    """The value that another run has at the same address, position and row (its only row, where it has one).

    UsageError where that run has no such position, row or value.
    """

    def edit(x: Tensor, at: At) -> Tensor:
        source = _source(run, at)
        T = run.ids.size(1)
        return _rows_of(source, x, at, _within(at, T, "the run to take from"))

    return _named(edit, "take")


@_makes_edits
def resample(run: Run) -> Edit:
    """The value of another text: of the same position where the text reaches, else of its positions 1, 2, ... again.

    So position 0 comes from position 0 and from nowhere else. UsageError for scores and patterns, whose columns would
    then be other positions' keys, and as for `take`.
    """

    def edit(x: Tensor, at: At) -> Tensor:
        if at.point in PATTERNS:
            raise UsageError(f"{at.text} cannot be resampled, its columns are positions: resample the head instead.")
        source, T = _source(run, at), run.ids.size(1)
        wrapped = 1 + (at.positions - 1) % max(T - 1, 1)
        return _rows_of(source, x, at, wrapped.where(at.positions >= T, at.positions).clamp(max=T - 1))

    return _named(edit, "resample")


@_makes_edits
def scale(k: float) -> Edit:
    """k times the value."""
    edit = _named(lambda x, at: k * x, f"scale({k:g})")
    edit.factor = k  # type: ignore[attr-defined]
    return edit


@_makes_edits
def to_first() -> Edit:
    """Attention to key 0 alone, for a head, `l.attn` or `l.attn.pattern`; UsageError for any other address."""

    def edit(x: Tensor, at: At) -> Tensor:
        if not re.match(r"\d+\.(head\.\d+|attn|attn\.pattern)(@|$)", at.text):
            raise UsageError(f"{at.text} has no pattern: to_first works on a head, such as {at.layer or 0}.head.0.")
        return (at.keys == 0).to(x.dtype).expand_as(x)

    return _named(edit, "to_first", point="attn.pattern")


def _named(edit: Callable[[Tensor, At], Tensor], label: str, point: str | None = None) -> Edit:
    edit.label = label  # type: ignore[attr-defined]
    if point is not None:
        edit.point = point  # type: ignore[attr-defined]
    return edit


zero.label = "zero"  # type: ignore[attr-defined]


def _check(reference: Reference, at: At) -> None:
    if at.point in PATTERNS or at.point == "logits" or at.point == "head.out":
        raise UsageError(
            f"{at.text} has no mean over positions: use the mean of the head, {at.layer or 0}.head.0, say."
        )
    if at.model.lm_head.weight is not reference.model.lm_head.weight:
        raise UsageError("the reference belongs to another model: make one with reference(model).")


def _spread(constant: Tensor, x: Tensor, at: At) -> Tensor:
    """A point's constant, [C], [H, D] or [], in x's shape: the same for every row and position."""
    if at.point in PER_HEAD:
        constant = constant[:, None] if at.head is None else constant[at.head]  # (H, 1, D) or (D)
    if at.unit is not None:
        constant = constant[..., at.unit]
    elif constant.dim() == 0:
        return constant.expand_as(x)
    return constant.to(x.dtype).expand_as(x)


def _within(at: At, T: int, name: str) -> Tensor:
    """at.positions, after a check that all of them but padding lie below T."""
    beyond = at.positions[at.real & (at.positions >= T)]
    if beyond.numel():
        raise UsageError(f"{at.text}: position {int(beyond.min())} lies beyond {name}, which has 0 to {T - 1}.")
    return at.positions.clamp(max=T - 1)


def _source(run: Run, at: At) -> Tensor:
    """The whole value of another run at this point, [B, ...], rows in the order of the batch being edited."""
    address = at.point if at.layer is None else f"{at.layer}.{at.point}"
    try:
        stored = run.values.whole(at.layer, at.point)
    except UsageError:
        raise UsageError(f"{at.text}: the run to take from did not keep it, so take(run.read({address!r})).") from None
    if int(at.rows.max()) >= stored.size(0) > 1:
        raise UsageError(f"{at.text}: there is no row {int(at.rows.max())}: the run has {stored.size(0)} rows.")
    return stored


def _rows_of(source: Tensor, x: Tensor, at: At, positions: Tensor) -> Tensor:
    """source's values, [B, T, ...] or [B, H, T, ...], at these positions [B, T] of the batch's rows, in x's shape."""
    heads = at.point in PER_HEAD
    if heads and at.head is not None:
        source, heads = source[:, at.head], False
    rows = (at.rows if source.size(0) > 1 else torch.zeros_like(at.rows))[:, None]  # (B, 1)
    part = source[rows, :, positions].transpose(1, 2) if heads else source[rows, positions]
    if at.point in PATTERNS:
        wide = part.new_zeros(*part.shape[:-1], max(at.keys.numel(), part.size(-1)))
        wide[..., : part.size(-1)] = part
        part = wide[..., : at.keys.numel()]  # keys behind every query of the source have no weight there
    return part if at.unit is None else part[..., at.unit]
