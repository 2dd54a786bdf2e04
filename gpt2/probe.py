"""Reading and editing values of a forward pass at their addresses.

In: addresses to read, edits by address. Out: a `Probe`, which every tap of a pass consults; its values afterwards.
Read next: forward_pass.py, which holds the taps.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.addresses import PER_HEAD, Address, Key, parse

if TYPE_CHECKING:
    from gpt2.model import GPT2


@dataclass(frozen=True)
class At(Address):
    """Where an edit is being applied: the address, and which rows and positions of the batch it was handed."""

    rows: Tensor  # (B,)
    positions: Tensor  # (B, T), absolute
    real: Tensor  # (B, T), False on padding
    keys: Tensor  # (T_key,), key positions, for scores and patterns
    model: "GPT2"


Edit = Callable[..., Tensor]  # f(x, at) -> x, or f(x) -> x


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
        self.values: dict[Key, Tensor] = {}
        self._model: GPT2 | None = None

    def begin(self, model: "GPT2", positions: Tensor, lengths: Sequence[int], n_keys: int) -> None:
        """A pass calls this at its start: positions [T] or [B, T], real tokens per row, number of keys."""
        if model is not self._model:
            sizes = model.config.n_layer, model.config.n_head
            self._reads = {(a.layer, a.point) for text in self._read for a in parse(text, *sizes)}
            self._edits: dict[Key, list[tuple[Address, Edit]]] = {}
            for text, function in self._edit.items():
                for a in parse(text, *sizes):
                    if a.reader:
                        raise ValueError(f"{a.text!r} can only be read: other readers share {a.layer}.{a.point}.")
                    point = getattr(function, "point", a.point)
                    self._edits.setdefault((a.layer, point), []).append((a, _with_at(function)))
        self._model, self.values = model, {}
        self._positions = positions.expand(len(lengths), -1)  # (B, T)
        self._keys = torch.arange(n_keys, device=positions.device)
        real = torch.tensor(lengths, device=positions.device)
        self._real = torch.arange(positions.size(-1), device=positions.device) < real[:, None]  # (B, T)
        self._even = bool((self._positions == self._positions[:1]).all())

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
                x = x if x.requires_grad else x.detach().requires_grad_()
                x.retain_grad()
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
        x = self.values[a.layer, a.point]
        return x, self._index(a, a.point, x, slice(None), columns)

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


def _with_at(function: Edit) -> Edit:
    """f(x, at) as it is; f(x) made to take, and drop, a second argument."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in functions have no signature: they take the value alone
        return lambda x, at: function(x)
    required = [p for p in parameters.values() if p.default is p.empty and p.kind is not p.KEYWORD_ONLY]
    return function if "at" in parameters or len(required) > 1 else lambda x, at: function(x)
