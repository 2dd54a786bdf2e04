"""Tensors by address: what one pass left at the points that were read.

In: tensors by (layer, point). Out: the part that an address names, as a copy. Read next: trace.py.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from gpt2.addresses import DERIVED, LAYER_POINTS, MODEL_POINTS, PER_HEAD, POINTS, Address, Key
from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.explain.run.places import parse
from gpt2.model import GPT2

ALWAYS = ("embed.out", "*.resid_pre", "*.resid_mid", "*.resid_post", "logits")
ALL = (*MODEL_POINTS, *(f"*.{p}" for p in LAYER_POINTS if p not in DERIVED))


class Values:
    """The values of a pass of `model` over T positions, by address: `values["3.attn.pattern"]` [B, H, T, T].

    What `[]` returns is a copy, so that nothing that is done to it changes these values.
    """

    def __init__(self, model: GPT2, tensors: Mapping[Key, Tensor], absent: Iterable[Key] = ()) -> None:
        self._model, self._tensors = model, dict(tensors)
        self._absent = frozenset(absent)  # asked for, but this model (a variant) has no such point

    @property
    def points(self) -> list[Key]:
        """(layer, point) of everything kept."""
        return list(self._tensors)

    def covers(self, keys: set[Key]) -> bool:
        """Whether another pass would find nothing more of these."""
        return keys <= self._tensors.keys() | self._absent

    def stored(self, layer: int | None, point: str) -> Tensor:
        """The whole tensor at a point, not a copy: for those who only read it. KeyError when it was not kept."""
        return self._tensors[layer, point]

    def __contains__(self, address: str) -> bool:
        """Whether `[address]` has a value."""
        try:
            self[address]
        except UsageError:
            return False
        return True

    def __getitem__(self, address: str) -> Tensor:
        """A copy of the value at one address.

        `l.head.h.out` and `l.block` are computed here where they were not read. Raises ValueError for an unknown
        address, UsageError for one that names several, was not read, or lies outside the text.
        """
        a, *more = parse(address, self._model.config.n_layer, self._model.config.n_head)
        if more:
            raise UsageError(f"{address!r} names several values: write one of them, such as {a.text!r}.")
        return select(self.whole(a.layer, a.point), a).clone()

    def whole(self, layer: int | None, point: str) -> Tensor:
        """The whole tensor at a point, [B, ...], kept or computed; not a copy. UsageError when it was not kept."""
        if (layer, point) in self._tensors:
            return self._tensors[layer, point]
        if point == "head.out" and (layer, "attn.z") in self._tensors:
            z = self._tensors[layer, "attn.z"]
            with torch.set_grad_enabled(z.requires_grad):
                return self._model.transformer.h[layer or 0].attn.head_writes(z)
        if point == "block" and {(layer, "resid_pre"), (layer, "resid_post")} <= self._tensors.keys():
            return self._tensors[layer, "resid_post"] - self._tensors[layer, "resid_pre"]
        needed = f"{layer}.".removeprefix("None.") + point.replace("head.out", "attn.z")
        if (layer, point.replace("head.out", "attn.z")) in self._absent:
            there = ", ".join(p for l, p in self._tensors if l == layer)
            raise UsageError(f"this model has no {needed!r}, it is without that component: it has {there}.")
        raise UsageError(f"{needed!r} was not kept: run.read({needed!r}) computes it, or give trace(..., read=...).")


def select(x: Tensor, a: Address) -> Tensor:
    """The part of a point's whole tensor that an address names: a head or a unit drops its axis, `@` keeps time's.

    Raises UsageError for positions or units that x does not have.
    """
    if a.head is not None:
        x = x[:, a.head]
    if a.span is not None:
        axis = 2 if a.point in PER_HEAD and a.head is None else 1
        if not a.span[0] < a.span[1] <= x.size(axis):
            raise UsageError(f"{a.text!r} lies outside this text: it has positions 0 to {x.size(axis) - 1}.")
        x = x.narrow(axis, a.span[0], a.span[1] - a.span[0])
    if a.unit is not None:
        if a.unit >= x.size(-1):
            raise UsageError(f"{a.text!r}: there is no #{a.unit}, this point has 0 to {x.size(-1) - 1}.")
        x = x[..., a.unit]
    return x


def shape(point: str, config: GPT2Config, T: int) -> tuple[int, ...]:
    """The sizes of a point's axes for one text of T tokens."""
    sizes = {
        "T": T, "C": config.n_embd, "H": config.n_head, "D": config.head_dim, "F": config.inner_dim,
        "V": config.vocab_size,
    }  # fmt: skip
    return tuple(sizes[axis] for axis in POINTS[point].axes.split())


def size(model: GPT2, read: Iterable[str], T: int, B: int = 1) -> int:
    """Bytes that the values at these addresses take, for B texts of T tokens; what two names share counts once."""
    c = model.config
    points = {(a.layer, a.point) for text in read for a in parse(text, c.n_layer, c.n_head)}
    same: dict[Key, Key] = {(l, "resid_pre"): (l - 1, "resid_post") for l in range(1, c.n_layer)}
    same[0, "resid_pre"] = (None, "embed.out")
    distinct = {same.get(key, key) for key in points}
    numbers = sum(math.prod(shape(point, c, T)) for _, point in distinct)
    return B * numbers * torch.finfo(model.lm_head.weight.dtype).bits // 8
