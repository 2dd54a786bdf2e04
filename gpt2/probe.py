"""Names for every intermediate tensor of a forward pass, and how to read or edit one.

In: addresses such as `3.attn.pattern`, `5.resid_pre@3`, `2.mlp.post#1234`, `*.head.7`. Out: a `Probe` that
`GPT2.forward` consults at each of its taps. Without one the model uses `NO_PROBE`, whose tap is the identity.

    address   [layer | *] . point [@ position | @ first:stop] [# unit]
    head      l.head.h is one head's z [B, T, D]; l.head.h.out its write z W_O [B, T, C]
    writes    l.attn and l.mlp are short for l.attn.out and l.mlp.out; l.block is resid_post - resid_pre

Shapes have a leading batch axis; `@3` keeps a time axis of one row, a head or `#unit` drops its axis.
Next: model.py, which binds a probe to a pass.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gpt2.model import GPT2

LAYER_POINTS = (
    "resid_pre", "ln_1.scale", "ln_1.out", "attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern", "attn.z",
    "head.out", "attn.out", "resid_mid", "ln_2.scale", "ln_2.out", "mlp.pre", "mlp.post", "mlp.out", "block",
    "resid_post",
)  # fmt: skip
MODEL_POINTS = ("embed.tok", "embed.pos", "embed.out", "final.scale", "final.out", "logits")
PER_HEAD = ("attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern", "attn.z", "head.out")  # [B, H, T, ...]
NO_UNITS = ("ln_1.scale", "ln_2.scale", "final.scale")  # [B, T]
SHORT = {"mlp": "mlp.out", "attn": "attn.out"}
ADDRESS = re.compile(r"(?:(?P<layer>\d+|\*)\.)?(?P<point>[a-z_][\w.*]*)(?:@(?P<pos>\d+(?::\d+)?))?(?:#(?P<unit>\d+))?")
HEAD = re.compile(r"head\.(?P<head>\d+|\*)(?P<out>\.out)?")

Key = tuple[int | None, str]  # (layer, point)


@dataclass(frozen=True)
class Address:
    """One point, and the part of its tensor that is meant."""

    text: str
    layer: int | None
    point: str
    head: int | None = None
    span: tuple[int, int] | None = None  # positions [first, stop)
    unit: int | None = None

    def index(self, columns: slice) -> tuple[Any, ...]:
        """The index into the point's tensor, for these columns of its time axis."""
        heads = (slice(None) if self.head is None else self.head,) if self.point in PER_HEAD else ()
        units = () if self.unit is None else (self.unit,)
        return (slice(None), *heads, columns, *units)


def parse(text: str, n_layer: int, n_head: int) -> list[Address]:
    """Every concrete address that `text` names (several where it holds a `*`).

    Raises ValueError with the nearest valid names when it names none.
    """
    match = ADDRESS.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no address: write layer.point, such as 0.attn.pattern or 5.resid_pre@3.")
    point, head, heads = match["point"], HEAD.fullmatch(match["point"]), [None]
    if head:
        point = "head.out" if head["out"] else "attn.z"
        heads = _numbers(head["head"], n_head, "head", text)
    point = SHORT.get(point, point) if match["layer"] else point
    if point not in (LAYER_POINTS if match["layer"] else MODEL_POINTS):
        names = [*(f"{match['layer'] or 0}.{p}" for p in (*LAYER_POINTS, "head.0", "head.0.out")), *MODEL_POINTS]
        near = difflib.get_close_matches(text.split("@")[0].split("#")[0], names, n=3, cutoff=0.3)
        raise ValueError(f"there is no point {text!r}: the nearest are {', '.join(near) or ', '.join(names)}.")
    if match["unit"] and point in NO_UNITS:
        raise ValueError(f"{text!r}: {point} has one number a position, so no #unit.")
    first, _, stop = (match["pos"] or "").partition(":")
    span = (int(first), int(stop or int(first) + 1)) if first else None
    unit = int(match["unit"]) if match["unit"] else None
    layers = _numbers(match["layer"], n_layer, "layer", text) if match["layer"] else [None]
    return [Address(_concrete(text, l, h), l, point, h, span, unit) for l in layers for h in heads]


def _numbers(word: str, n: int, what: str, text: str) -> list[Any]:
    if word == "*":
        return list(range(n))
    if int(word) >= n:
        raise ValueError(f"{text!r}: there is no {what} {word}, this model has 0 to {n - 1}.")
    return [int(word)]


def _concrete(text: str, layer: int | None, head: int | None) -> str:
    text = text.replace("*.", f"{layer}.", 1) if text.startswith("*.") else text
    return text.replace("head.*", f"head.{head}")


@dataclass(frozen=True)
class At:
    """Where an edit is being applied. `rows` [B] and `positions` [B, T] tell which of the batch and of the text.

    `real` [B, T] is False on padding. `keys` [T_key] holds the key positions, for scores and patterns only.
    """

    address: str
    point: str
    layer: int | None
    head: int | None
    unit: int | None
    rows: Tensor
    positions: Tensor
    real: Tensor
    keys: Tensor | None
    model: "GPT2"


Edit = Callable[..., Tensor]  # f(x, at) -> x, or f(x) -> x


class NoProbe:
    """The probe that is there when there is none: reads nothing, edits nothing."""

    def tap(self, layer: int | None, point: str, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def wants(self, layer: int | None, *points: str) -> bool:
        """Return False."""
        return False

    def steers(self, layer: int | None, point: str) -> bool:
        """Return False."""
        return False


NO_PROBE = NoProbe()


class Probe:
    """Reads addresses and applies edits during one forward pass after another; values are those of the latest.

    read    addresses to keep; values are taken after any edit and stay attached to the autograd graph
    edit    address -> f(x, at) -> x (or f(x)); f gets a copy and returns a tensor of the same shape. A function
            with an attribute `point` works on that point instead, so that one for patterns can name a head
    grad    keep gradients: after `backward()`, `probe.grad(address)` is that of the whole path through the point

    Raises ValueError for an unknown address (nearest names given), an edit of another shape, a value not computed.
    """

    def __init__(
        self, read: str | Iterable[str] = (), edit: Mapping[str, Edit] | None = None, grad: bool = False
    ) -> None:
        self._read = [read] if isinstance(read, str) else list(read)
        self._edit = dict(edit or {})
        self.keep_grad = grad
        self.values: dict[Key, Tensor] = {}
        self._bound: tuple[int, int] | None = None

    def begin(self, model: "GPT2", positions: Tensor, lengths: Sequence[int] | None, T_key: int) -> None:
        """Called by the model at the start of a pass: positions [B, T], real tokens a row, number of keys."""
        sizes = (model.config.n_layer, model.config.n_head)
        if self._bound != sizes:
            self._bind(*sizes)
        self.values = {}
        self._model, self._positions = model, positions
        self._keys = torch.arange(T_key, device=positions.device)
        columns = torch.arange(positions.size(1), device=positions.device)
        counts = torch.full_like(positions[:, 0], positions.size(1)) if lengths is None else columns.new_tensor(lengths)
        self._real = columns < counts[:, None]
        self._even = bool((positions == positions[:1]).all())

    def _bind(self, n_layer: int, n_head: int) -> None:
        self._bound = (n_layer, n_head)
        self._reads = {(a.layer, a.point) for text in self._read for a in parse(text, n_layer, n_head)}
        self._edits: dict[Key, list[tuple[Address, Edit]]] = {}
        for text, function in self._edit.items():
            for a in parse(text, n_layer, n_head):
                point = getattr(function, "point", a.point)
                a = Address(a.text, a.layer, point, a.head, a.span, a.unit)
                self._edits.setdefault((a.layer, point), []).append((a, _with_at(function)))

    def wants(self, layer: int | None, *points: str) -> bool:
        """Whether any of these points is read or edited."""
        return any((layer, p) in self._reads or (layer, p) in self._edits for p in points)

    def steers(self, layer: int | None, point: str) -> bool:
        """Whether the pass must go through this point's value: it is edited, or its gradient is read."""
        return (layer, point) in self._edits or (self.keep_grad and (layer, point) in self._reads)

    def tap(self, layer: int | None, point: str, x: Tensor) -> Tensor:
        """Edit x where asked, keep it where asked, and return what the pass goes on with."""
        for address, function in self._edits.get((layer, point), ()):
            x = self._apply(address, function, x)
        if (layer, point) in self._reads:
            if self.keep_grad and torch.is_grad_enabled():
                x = x if x.requires_grad else x.detach().requires_grad_()
                x.retain_grad()
            self.values[layer, point] = x
        return x

    def _apply(self, address: Address, function: Edit, x: Tensor) -> Tensor:
        """Each run of rows that stand at the same positions is edited as one batch."""
        new = x.clone()
        n = x.size(0)
        runs = [slice(0, n)] if self._even or address.span is None else [slice(b, b + 1) for b in range(n)]
        for rows in runs:
            columns = self._columns(address, int(self._positions[rows.start, 0]))
            if columns.start >= columns.stop:
                continue
            index = (rows, *address.index(columns)[1:])
            part = x[index].clone()
            keys = self._keys if address.point in ("attn.scores", "attn.pattern") else None
            at = At(
                address.text, address.point, address.layer, address.head, address.unit,
                torch.arange(n, device=x.device)[rows], self._positions[rows, columns], self._real[rows, columns],
                keys, self._model,
            )  # fmt: skip
            edited = function(part, at)
            if not isinstance(edited, Tensor) or edited.shape != part.shape:
                got = list(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
                raise ValueError(f"the edit of {address.text} gave {got}: it must keep the shape {list(part.shape)}.")
            new[index] = edited.to(x.dtype)
        return new

    def _columns(self, address: Address, start: int) -> slice:
        T = self._positions.size(1)
        if address.span is None:
            return slice(0, T)
        first, stop = address.span
        return slice(min(max(first - start, 0), T), min(max(stop - start, 0), T))

    def _find(self, text: str) -> tuple[Tensor, tuple[Any, ...]]:
        if self._bound is None:
            raise ValueError(f"{text!r} has no value yet: run the model with this probe first.")
        found = parse(text, *self._bound)
        if len(found) > 1:
            raise ValueError(f"{text!r} names {len(found)} tensors: ask for one, such as {found[0].text}.")
        (a,) = found
        if (a.layer, a.point) not in self.values:
            raise ValueError(f"{text!r} was not kept: pass it in read=[...], and let the pass reach it.")
        columns = self._columns(a, int(self._positions[0, 0]))
        if a.span is not None and (not self._even or columns.stop - columns.start < a.span[1] - a.span[0]):
            raise ValueError(f"{text!r} lies outside the positions of this pass, or rows differ: read it without @.")
        return self.values[a.layer, a.point], a.index(columns)

    def __getitem__(self, address: str) -> Tensor:
        """The value at an address, of the latest pass; shape as in the module's table, with a batch axis."""
        value, index = self._find(address)
        return value[index]

    def grad(self, address: str) -> Tensor:
        """The gradient that `backward()` left at an address, same shape as the value."""
        value, index = self._find(address)
        if value.grad is None:
            raise ValueError(f"{address!r} has no gradient: make the probe with grad=True and call backward() first.")
        return value.grad[index]


AnyProbe = NoProbe | Probe


def _with_at(function: Edit) -> Edit:
    """Accept f(x) as well as f(x, at)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built-in functions without a signature take the value alone
        return lambda x, at: function(x)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_two = len(positional) >= 2 and (positional[1].default is inspect.Parameter.empty or positional[1].name == "at")
    if takes_two or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return function
    return lambda x, at: function(x)
