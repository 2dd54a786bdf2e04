"""Many edited passes over one text, as a few batched ones: every row of a batch is the text with an edit of its own.

In: a model, a text, cells (edits by address). Out: the final hidden states of each cell's pass, batch by batch.
What an edit cannot change is not computed again: blocks before it, and positions before it. Rows whose edits lie in
later blocks join the batch when it arrives there. Read next: off.py, leave_one_out.py and patching.py, which measure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from gpt2.base.onednn import forward_only
from gpt2.base.twin import in_evaluation
from gpt2.cache import KVCache
from gpt2.explain.run.given_keys import GivenKeys
from gpt2.explain.run.places import parse
from gpt2.forward_pass import Pass
from gpt2.loss import SLICE_ELEMENTS
from gpt2.model import GPT2
from gpt2.probe import Edit, Probe

Cell = Mapping[str, Edit]  # the edits of one pass, by address, as `trace` takes them
BATCH_TOKENS = 2048  # positions computed at once, over all rows: enough for the products to run at full speed


@dataclass(frozen=True)
class Batch:
    """Some cells' passes: their numbers, the first position computed, the final hidden states [R, T - first, C]."""

    cells: list[int]
    first: int
    hidden: Tensor

    def slices(self, V: int) -> Iterator[tuple[list[int], Tensor]]:
        """Cells and hidden states of rows whose logits over V tokens fit into a slice; one row may be larger."""
        step = max(1, 2 * SLICE_ELEMENTS // (V * self.hidden.size(1)))
        for start in range(0, len(self.cells), step):
            yield self.cells[start : start + step], self.hidden[start : start + step]


class Base:
    """One plain pass over one text [1, T]: the stream that enters each block, keys and values, final hidden states.

    `probe` holds the values at the addresses in `read`.
    """

    def __init__(self, model: GPT2, ids: Tensor, read: Sequence[str] = ()) -> None:
        self.model = in_evaluation(model)
        self.ids, last = ids, model.config.n_layer - 1
        weight = model.lm_head.weight
        self.cache = KVCache(model.config, 1, ids.size(1), dtype=weight.dtype, device=weight.device)
        self.probe = Probe(["*.resid_pre", f"{last}.resid_post", *read])
        with forward_only(self.model.lm_head.weight):
            self.hidden = self.model.hidden(ids, cache=self.cache, probe=self.probe)  # (1, T, C)
        self.stream = [self.probe[f"{l}.resid_pre"] for l in range(last + 1)] + [self.probe[f"{last}.resid_post"]]

    def sweep(self, cells: Sequence[Cell]) -> Iterator[Batch]:
        """Run every cell, in an order that makes full batches. Nothing more is computed once the iteration is stopped.

        Raises as the edits do, and ValueError for an unknown address.
        """
        places = [place(self.model, cell) for cell in cells]
        for numbers in _batches(places, self.ids.size(1)):
            first = min(places[n].first for n in numbers)
            with forward_only(self.model.lm_head.weight):
                hidden = self._pass([cells[n] for n in numbers], [places[n].start for n in numbers], first)
            yield Batch(numbers, first, hidden)

    def _pass(self, cells: Sequence[Cell], starts: list[int], first: int) -> Tensor:
        """The cells' final hidden states from position `first` on; `starts` ascend."""
        model, last = self.model, self.model.config.n_layer
        prefix = [[x[:, :, :first] for x in side] for side in (self.cache.keys, self.cache.values)]
        plain = Pass(cache=GivenKeys(*prefix) if first else None, probe=Rows(cells))
        x = self.stream[0][:0, first:]  # (0, T - first, C): no rows yet
        for start, stop in pairwise([*sorted(set(starts)), last]):
            joining = starts.count(start)
            ids = self.ids[:, first:].expand(len(x) + joining, -1)
            here = plain.begin(model, ids)
            if start == 0:
                x = model.embed(ids, here)
            else:
                x = torch.cat([x, self.stream[start][:, first:].expand(joining, -1, -1)])
            x = model.blocks(x, here, start, stop)
        return model.norm(x, here)  # (R, T - first, C)


@dataclass(frozen=True)
class Place:
    """Where a cell's pass first differs from the plain one: block and position."""

    start: int
    first: int


def place(model: GPT2, cell: Cell) -> Place:
    """The first block and the first position that a cell's edits can change."""
    c = model.config
    found = [a for text in cell for a in parse(text, c.n_layer, c.n_head)]
    starts = [(0 if a.point.startswith("embed") else c.n_layer) if a.layer is None else a.layer for a in found]
    firsts = [a.span[0] if a.span else 0 for a in found]
    return Place(min(starts, default=c.n_layer), min(firsts, default=0))


def _batches(places: Sequence[Place], T: int) -> Iterator[list[int]]:
    """Numbers of cells that run together, each group in the order of its blocks.

    A group computes from its earliest position on; positions that a later row did not need are at most an eighth.
    """
    waiting = sorted(range(len(places)), key=lambda n: (places[n].first, places[n].start))
    while waiting:
        first = places[waiting[0]].first
        count, wasted, width = 0, 0, T - first
        for n in waiting:
            wasted += places[n].first - first
            if count and ((count + 1) * width > BATCH_TOKENS or wasted * 8 > (count + 1) * width):
                break
            count += 1
        yield sorted(waiting[:count], key=lambda n: places[n].start)
        waiting = waiting[count:]


class Rows(Probe):
    """One probe per row: row r of every pass is edited by cells[r] alone, which sees itself as a batch of one row."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        super().__init__()
        self._probes = [Probe(edit=cell) for cell in cells]

    def begin(self, model: GPT2, positions: Tensor, lengths: Sequence[int], n_keys: int) -> None:
        """As in Probe; a pass may have fewer rows than there are cells, as the later ones join it later."""
        for r, length in enumerate(lengths):
            self._probes[r].begin(model, positions, [length], n_keys)
        self._rows = len(lengths)

    def _concerned(self, layer: int | None, *points: str) -> list[int]:
        return [r for r in range(self._rows) if self._probes[r].wants(layer, *points)]

    def wants(self, layer: int | None, *points: str) -> bool:
        """Whether any row edits one of these points."""
        return bool(self._concerned(layer, *points))

    def steers(self, layer: int | None, point: str) -> bool:
        """Whether any row edits this point: nothing is read here."""
        return self.wants(layer, point)

    def tap(self, layer: int | None, point: str, x: Tensor) -> Tensor:
        """x with the rows that have an edit here edited."""
        rows = self._concerned(layer, point)
        if rows:
            x = x.clone()
            for r in rows:
                x[r : r + 1] = self._probes[r].tap(layer, point, x[r : r + 1])
        return x
