"""Names for every intermediate tensor of a forward pass, and how to read or edit one.

In: addresses such as `3.attn.pattern`, `5.resid_pre@3`, `2.mlp.post#1234`, `*.head.7`. Out: a `Probe` that
`GPT2.forward` consults at each of its taps. Without one the model uses `NO_PROBE`, whose tap is the identity.

    address   [layer | *] . point [@ position | @ first:stop] [# unit]
    heads     l.head.h is one head's z [B, T, D]; l.head.h.out its write z W_O [B, T, C]
    writes    l.attn and l.mlp are short for l.attn.out and l.mlp.out; l.block is resid_post - resid_pre

Shapes have a leading batch axis; `@3` keeps a time axis of one row; a head or a `#unit` drops its own axis.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gpt2.model import GPT2

LAYER_POINTS = (
    "resid_pre ln_1.scale ln_1.out attn.q attn.k attn.v attn.scores attn.pattern attn.z head.out attn.out resid_mid "
    "ln_2.scale ln_2.out mlp.pre mlp.post mlp.out block resid_post"
).split()
MODEL_POINTS = ["embed.tok", "embed.pos", "embed.out", "final.scale", "final.out", "logits"]
PER_HEAD = ("attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern", "attn.z", "head.out")  # [B, H, T, ...]
SHORT = {"mlp": "mlp.out", "attn": "attn.out"}
ADDRESS = re.compile(
    r"((?P<layer>\d+|\*)\.)?(head\.(?P<head>\d+|\*)(?P<out>\.out)?|(?P<point>[a-z_0-9]+(\.[a-z_0-9]+)?))"
    r"(@(?P<first>\d+)(:(?P<stop>\d+))?)?(#(?P<unit>\d+))?"
)


@dataclass(frozen=True)
class Address:
    """One point, and the part of its tensor that is meant; `layer` is None for points outside the blocks."""

    text: str
    layer: int | None
    point: str
    head: int | None
    span: tuple[int, int] | None  # positions [first, stop)
    unit: int | None


@dataclass(frozen=True)
class At(Address):
    """Where an edit is being applied: the address, and which rows and positions of the batch it was handed."""

    rows: Tensor  # (B,)
    positions: Tensor  # (B, T), absolute
    real: Tensor  # (B, T), False on padding
    keys: Tensor  # (T_key,), key positions, for scores and patterns
    model: "GPT2"


Edit = Callable[..., Tensor]  # f(x, at) -> x, or f(x) -> x


def parse(text: str, n_layer: int, n_head: int) -> list[Address]:
    """Every concrete address that `text` names (several where it holds a `*`).

    Raises ValueError with the nearest valid names when it names none.
    """
    match = ADDRESS.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no address: write layer.point, such as 0.attn.pattern or 5.resid_pre@3.")
    layer, head, unit = match["layer"], match["head"], match["unit"]
    point = match["point"] or ("head.out" if match["out"] else "attn.z")
    point = SHORT.get(point, point) if layer else point
    if point not in (LAYER_POINTS if layer else MODEL_POINTS) or match["point"] == "head.out":
        head = head or ["0", *re.findall(r"\d+", match["point"] or "")][-1]
        names = [f"{layer or 0}.{p.replace('head', f'head.{head}')}" for p in ("head", *LAYER_POINTS)] + MODEL_POINTS
        near = difflib.get_close_matches(re.split("[@#]", text)[0], names, n=3, cutoff=0.3)
        raise ValueError(f"there is no point {text!r}: the nearest are {', '.join(near or names)}.")
    if unit and point.endswith(".scale"):
        raise ValueError(f"{text!r}: {point} has one number a position, so no #unit.")
    span = (int(match["first"]), int(match["stop"] or int(match["first"]) + 1)) if match["first"] else None
    found = []
    for l, h in product(_numbers(layer, n_layer, "layer", text), _numbers(head, n_head, "head", text)):
        name = re.sub(r"^\*", str(l), text).replace("head.*", f"head.{h}")
        found.append(Address(name, l, point, h, span, int(unit) if unit else None))
    return found


def _numbers(word: str | None, n: int, what: str, text: str) -> list[Any]:
    if word is None:
        return [None]
    if word != "*" and int(word) >= n:
        raise ValueError(f"{text!r}: there is no {what} {word}, this model has 0 to {n - 1}.")
    return list(range(n)) if word == "*" else [int(word)]


class NoProbe:
    """The probe that is there when there is none: a tap returns its input, nobody wants anything."""

    def tap(self, layer: int | None, point: str, x: Tensor) -> Tensor:
        return x

    def wants(self, layer: int | None, *points: str) -> bool:
        return False

    steers = wants


NO_PROBE = NoProbe()


class Probe:
    """Reads addresses and applies edits during one forward pass after another; values are those of the latest.

    read    addresses to keep; values are taken after any edit and stay attached to the autograd graph
    edit    address -> f(x, at) -> x, or f(x); it gets a copy and keeps its shape. A function with an attribute
            `point` works on that point instead: so one for patterns can name a head
    grad    keep gradients: after `backward()`, `probe.grad(address)` is that of all paths through the value

    Raises ValueError for an unknown address (nearest names given), an edit of another shape, a value not kept.
    """

    def __init__(self, read: str | Iterable[str] = (), edit: Mapping[str, Edit] | None = None, grad: bool = False):
        self._read = [read] if isinstance(read, str) else list(read)
        self._edit, self._grad = dict(edit or {}), grad
        self.values: dict[tuple[int | None, str], Tensor] = {}
        self._model: GPT2 | None = None

    def begin(self, model: "GPT2", positions: Tensor, lengths: Sequence[int] | None, n_keys: int) -> None:
        """The model calls this at the start of a pass: positions [B, T], real tokens a row, number of keys."""
        if model is not self._model:
            sizes = model.config.n_layer, model.config.n_head
            self._reads = {(a.layer, a.point) for text in self._read for a in parse(text, *sizes)}
            self._edits: dict[tuple[int | None, str], list[tuple[Address, Edit]]] = {}
            for text, function in self._edit.items():
                for a in parse(text, *sizes):
                    point = getattr(function, "point", a.point)
                    self._edits.setdefault((a.layer, point), []).append((a, _with_at(function)))
        self._model, self.values, self._positions = model, {}, positions
        self._keys = torch.arange(n_keys, device=positions.device)
        counts = torch.tensor(lengths or [n_keys] * len(positions), device=positions.device)
        self._real = torch.arange(positions.size(1), device=positions.device) < counts[:, None]  # (B, T)
        self._even = bool((positions == positions[:1]).all())

    def wants(self, layer: int | None, *points: str) -> bool:
        """Whether any of these points is read or edited."""
        return any((layer, p) in self._reads or (layer, p) in self._edits for p in points)

    def steers(self, layer: int | None, point: str) -> bool:
        """Whether the pass must go through this point's value: it is edited, or its gradient is read."""
        return (layer, point) in self._edits or (self._grad and (layer, point) in self._reads)

    def tap(self, layer: int | None, point: str, x: Tensor) -> Tensor:
        """Edit x where asked, keep it where asked, and return what the pass goes on with."""
        for address, function in self._edits.get((layer, point), ()):
            x = self._apply(address, point, function, x)
        if (layer, point) in self._reads:
            if self._grad:
                (x := x if x.requires_grad else x.detach().requires_grad_()).retain_grad()
            self.values[layer, point] = x
        return x

    def _apply(self, a: Address, point: str, function: Edit, x: Tensor) -> Tensor:
        """Hand `function` a copy of its part of x: all rows at once, or row by row where `@` lies differently."""
        new, numbers = x.clone(), torch.arange(x.size(0), device=x.device)
        for rows in [numbers] if self._even or a.span is None else numbers.split(1):
            here = slice(int(rows[0]), int(rows[-1]) + 1), self._columns(a.span, int(rows[0]))
            index = self._index(a, point, x, *here)
            part = x[index].clone()
            if not part.numel():
                continue
            place: dict[str, Any] = {**vars(a), "point": point, "model": self._model, "keys": self._keys}
            edited = function(part, At(**place, rows=rows, positions=self._positions[here], real=self._real[here]))
            if not isinstance(edited, Tensor) or edited.shape != part.shape:
                got = list(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
                raise ValueError(f"the edit of {a.text} gave {got}: it must keep the shape {list(part.shape)}.")
            new[index] = edited.to(x.dtype)
        return new

    def _columns(self, span: tuple[int, int] | None, row: int) -> slice:
        """Where the positions of `span` lie on the time axis of this pass."""
        start, T = int(self._positions[row, 0]), self._positions.size(1)
        first, stop = span or (start, start + T)
        return slice(min(max(first - start, 0), T), min(max(stop - start, 0), T))

    @staticmethod
    def _index(a: Address, point: str, x: Tensor, rows: slice, columns: slice) -> tuple[Any, ...]:
        if a.unit is not None and a.unit >= x.size(-1):
            raise ValueError(f"{a.text!r}: there is no #{a.unit}, this point has 0 to {x.size(-1) - 1}.")
        heads = (slice(None) if a.head is None else a.head,) if point in PER_HEAD else ()
        return (rows, *heads, columns) if a.unit is None else (rows, *heads, columns, ..., a.unit)

    def _find(self, text: str) -> tuple[Tensor, tuple[Any, ...]]:
        if self._model is None:
            raise ValueError(f"{text!r} has no value yet: run the model with this probe first.")
        a, *more = parse(text, self._model.config.n_layer, self._model.config.n_head)
        if more or (a.layer, a.point) not in self.values:
            raise ValueError(f"{text!r} was not kept or names several: read it by name, and let the pass reach it.")
        columns = self._columns(a.span, 0)
        if a.span and (not self._even or columns.stop - columns.start != a.span[1] - a.span[0]):
            raise ValueError(f"{text!r} lies outside this pass, or rows stand at different positions: drop the @.")
        return (x := self.values[a.layer, a.point]), self._index(a, a.point, x, slice(None), columns)

    def __getitem__(self, address: str) -> Tensor:
        """The value at an address, of the latest pass."""
        value, index = self._find(address)
        return value[index]

    def grad(self, address: str) -> Tensor:
        """The gradient that `backward()` left at an address, shaped like its value."""
        value, index = self._find(address)
        if not self._grad or value.grad is None:
            raise ValueError(f"{address!r} has no gradient: give Probe grad=True, and call backward() after the pass.")
        return value.grad[index]


AnyProbe = NoProbe | Probe


def _with_at(function: Edit) -> Edit:
    """f(x, at) as it is; f(x) made to take, and drop, a second argument."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in functions have no signature: they take the value alone
        return lambda x, at: function(x)
    required = [p for p in parameters.values() if p.default is p.empty and p.kind is not p.KEYWORD_ONLY]
    return function if "at" in parameters or len(required) > 1 else lambda x, at: function(x)
