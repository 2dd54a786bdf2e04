"""What carries a preference, over a set of pairs: attribution, switching off and patching, with intervals over pairs.

In: a model and a `PairSet`. Out: three results, one number per component (or place) each. They answer different
questions: what a component adds itself (direct), what is lost without it (total), what it carries of the
difference between the two prompts. Read next: behaviours.py, which puts them side by side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.plain import plain
from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.change.intervals import ONE_PAIR, Estimate, bootstrap
from gpt2.explain.change.pairs import PairSet
from gpt2.explain.change.patching import LEAST_DIFFERENCE, Direction, Patching, TooClose
from gpt2.explain.change.switch import Kind, expand, switch
from gpt2.explain.run.reference import Reference, reference
from gpt2.explain.run.sweep import Base
from gpt2.explain.run.trace import trace
from gpt2.explain.see.attribution import COMPONENTS, contributions
from gpt2.explain.see.readout import readout
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

Progress = Callable[[int, int], None]
PLACES = ("differing", "between", "last")


def silent(done: int, total: int) -> None:
    """The default `progress`: it tells nobody."""


def _short(name: str, effect: Estimate) -> str:
    """A name with its effect and half the width of its interval."""
    return f"{name} {effect.value:+z.2f} ±{effect.half_width('.2f')}"


@dataclass(frozen=True, eq=False, repr=False)
class PairEffects(Result):
    """A number for each of K names, a mean over pairs with its interval.

    question  "adds": what each component adds to the target's lead over the foil, after the clean prompt
              "off": how that lead changes with the component off
    lead      the mean lead itself, in logits
    right     [K], share of pairs still right with the component off; None for "adds"
    """

    question: str
    pairs: str
    n: int
    names: tuple[str, ...]
    values: Estimate
    lead: Estimate
    right: Tensor | None

    @property
    def order(self) -> list[int]:
        """Numbers of the names, the largest effect of either sign first."""
        return self.values.value.abs().argsort(descending=True, stable=True).tolist()

    def top(self, n: int = 3) -> list[str]:
        """The n largest, as text."""
        return [_short(self.names[k], self.values[k]) for k in self.order[:n]]

    def table(self, top: int | None = 20) -> "Table":
        """The largest effects first."""
        heads = {"adds": ("component", ">adds to the lead"), "off": ("off", ">change of the lead")}[self.question]
        made = table(
            *heads, "interval", *([] if self.right is None else [">right"]),
            title=f"{self.pairs}, {counted(self.n, 'pair')}: target leads foil by {self.lead:.2f} logits",
            caption=None if self.n > 1 else ONE_PAIR,
        )  # fmt: skip
        for k in self.order[:top]:
            cells = [f"{self.values.value[k]:+z.3f}", self.values[k].interval("+z.3f")]
            made.add_row(self.names[k], *cells, *([] if self.right is None else [f"{self.right[k]:.2f}"]))
        return made

    def plot(self, top: int = 20) -> "Figure":
        """Bars of the largest effects, with their intervals."""
        shown = self.order[:top]
        figure, axes = draw.figure(6.5, 1.2 + 0.24 * len(shown))
        value, low, high = (x[shown] for x in (self.values.value, self.values.low, self.values.high))
        spread = torch.stack([value - low, high - value]).nan_to_num(0).clamp(min=0).tolist()
        colours = [draw.POSITIVE if v >= 0 else draw.NEGATIVE for v in value.tolist()]
        names = [self.names[k] for k in shown]
        axes.barh(names, value.tolist(), xerr=spread, color=colours, capsize=2, error_kw={"linewidth": 0.8})
        axes.invert_yaxis()
        axes.axvline(0, color=draw.NEUTRAL, linewidth=0.8)
        axes.set_xlabel("logits, with 95% interval over pairs")
        words = {"adds": "what each component adds to the lead", "off": "change of the lead with the component off"}
        draw.title(axes, f"{self.pairs}: {words[self.question]}")
        return figure

    def to_dict(self) -> dict[str, Any]:
        """One record per name."""
        records = [{"name": name, **self.values[k].to_dict()} for k, name in enumerate(self.names)]
        for k, record in enumerate(records):
            if self.right is not None:
                record["right"] = self.right[k].item()
        facts = {"question": self.question, "pairs": self.pairs, "n": self.n, "lead": self.lead.to_dict()}
        return {**facts, "effects": records}


def attribution_over_pairs(model: Model, pairs: PairSet) -> PairEffects:
    """What each component adds to the target's lead over the foil after the clean prompt; the means sum to the lead."""
    gpt, _ = opened(model)
    names: list[str] = []
    adds: Tensor | None = None
    whole = torch.zeros(len(pairs.pairs), dtype=torch.float64)
    for numbers, clean, _, target, foil in pairs.by_length():
        run = trace(gpt, clean, read=COMPONENTS)
        rows, last = torch.arange(len(numbers)), torch.full((len(numbers),), clean.size(1) - 1)
        form = readout(run, *(x.to(run.ids.device) for x in (target, foil, rows, last)))
        parts = contributions(run, form)
        names = [part.name for part in parts]
        adds = torch.zeros(len(pairs.pairs), len(parts), dtype=torch.float64) if adds is None else adds
        adds[numbers] = torch.stack([part.adds for part in parts], dim=1).cpu()
        whole[numbers] = form.whole.cpu()
    assert adds is not None  # a PairSet is never empty
    return PairEffects("adds", pairs.name, len(adds), tuple(names), bootstrap(adds), bootstrap(whole), None)


def off_over_pairs(
    model: Model,
    pairs: PairSet,
    components: str | Sequence[str] = ("*.head.*", "*.mlp"),
    kind: Kind = "mean",
    means: Reference | None = None,
    progress: Progress = silent,
) -> PairEffects:
    """How the target's lead after the clean prompt changes with each component off, see `gpt2.explain.change.off.off`.

    Raises UsageError to resample, which needs a text set.
    """
    gpt, _ = opened(model)
    if kind == "resample":
        raise UsageError("pairs are not resampled, their other text is the corrupt prompt: patch over pairs instead.")
    names, means = expand(gpt, components), reference(model) if means is None else means
    cells = [switch(gpt, name, kind, means) for name in names]
    weight = gpt.lm_head.weight.detach()
    plain_leads = torch.zeros(len(pairs.pairs), dtype=torch.float64)
    leads = torch.zeros(len(pairs.pairs), len(names), dtype=torch.float64)
    for number, pair in enumerate(pairs.pairs):
        base = Base(gpt, torch.tensor([pair.clean], device=weight.device))
        target, foil = weight[pair.target], weight[pair.foil]
        plain_leads[number] = base.hidden[0, -1] @ target - base.hidden[0, -1] @ foil
        for batch in base.sweep(cells):
            last = batch.hidden[:, -1]  # (R, C)
            leads[number, batch.cells] = (last @ target - last @ foil).double().cpu()
        progress(number + 1, len(pairs.pairs))
    change = bootstrap(leads - plain_leads[:, None])
    right = (leads > 0).double().mean(0)
    return PairEffects("off", pairs.name, len(leads), names, change, bootstrap(plain_leads), right)


@dataclass(frozen=True, eq=False, repr=False)
class PairPatch(Result):
    """Mean patching scores over pairs: heads [L, H], and places of the stream that enters each block [L, 3].

    places    the tokens that differ (from the first to the last of them), those between them and the last one, and
              the last one, where the answer is read; nan where no pair has such a place
    n         pairs used; `left_out` had |m_clean - m_corrupt| < 0.5
    """

    pairs: str
    direction: Direction
    n: int
    left_out: int
    heads: Estimate
    places: Estimate

    def top(self, n: int = 3) -> list[str]:
        """The n heads that carry most, as text."""
        H = self.heads.value.size(1)
        order = self.heads.value.flatten().abs().argsort(descending=True, stable=True)[:n].tolist()
        return [_short(f"{i // H}.head.{i % H}", self.heads[i // H, i % H]) for i in order]

    def table(self) -> "Table":
        """One row per layer: the three places, then the heads."""
        L, H = self.heads.value.shape
        made = table(
            "layer", *(f">{place}" for place in PLACES), *(f">head {h}" for h in range(H)),
            title=f"{self.pairs}: {self.direction}, {counted(self.n, 'pair')} ({self.left_out} left out)",
            caption="the stream that enters each block, patched at a place; each head's z, patched everywhere",
        )  # fmt: skip
        for l in range(L):
            places = ["" if x != x else f"{x:z.2f}" for x in self.places.value[l].tolist()]
            made.add_row(str(l), *places, *(f"{x:z.2f}" for x in self.heads.value[l].tolist()))
        return made

    def plot(self) -> "Figure":
        """Both grids as heat maps."""
        L, H = self.heads.value.shape
        figure, axes = draw.figure(6.0 + 0.5 * H, 1.5 + 0.3 * L, columns=2)
        layers = [str(l) for l in range(L)]
        for place, grid, columns in zip(axes, (self.places, self.heads), (PLACES, [str(h) for h in range(H)])):
            cells = [["" if x != x else f"{x:z.2f}" for x in row] for row in grid.value.tolist()]
            values = grid.value.nan_to_num(0)
            draw.heat(place, values, layers, columns, unit="share of the way", diverging=True, cells=cells)
        draw.title(axes[0], f"{self.pairs}: stream, {counted(self.n, 'pair')}")
        draw.title(axes[1], "heads")
        axes[0].set_ylabel("layer")
        axes[1].set_xlabel("head")
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Both grids with their intervals."""
        counts = {"pairs": self.pairs, "direction": self.direction, "n": self.n, "left_out": self.left_out}
        return plain({**counts, "heads": self.heads.to_dict(), "places": self.places.to_dict()})


def patch_over_pairs(
    model: Model, pairs: PairSet, direction: Direction = "denoise", progress: Progress = silent
) -> PairPatch:
    """Patch every head, and three places of the stream before each block, in every pair; the means of the scores.

    Raises TooClose, a UsageError, when |m_clean - m_corrupt| < 0.5 in every pair.
    """
    gpt, _ = opened(model)
    heads, places, counts = [], [], []
    for number, pair in enumerate(pairs.pairs, start=1):
        progress(number, len(pairs.pairs))
        try:
            patching = Patching(gpt, pair.clean, pair.corrupt, pair.target, pair.foil, direction)
        except TooClose:
            continue
        heads.append(patching.grid("head").scores)
        scores, there = _places(patching)
        places.append(scores)
        counts.append(there)
    if not heads:
        raise TooClose(f"{pairs.name}: clean and corrupt answers are less than {LEAST_DIFFERENCE} apart in every pair.")
    over_places = bootstrap(torch.stack(places), torch.stack(counts))
    left_out = len(pairs.pairs) - len(heads)
    return PairPatch(pairs.name, direction, len(heads), left_out, bootstrap(torch.stack(heads)), over_places)


def _places(patching: Patching) -> tuple[Tensor, Tensor]:
    """Scores [L, 3] of the three places, and [L, 3] whether this pair has each (then 1, else 0)."""
    L, T = patching.model.config.n_layer, len(patching.clean)
    first, stop = patching.differs[0], patching.differs[-1] + 1
    spans = [(first, stop), (stop, T - 1), (T - 1, T)]
    there = [a < b and (place == 0 or stop < T) for place, (a, b) in enumerate(spans)]
    triples = [(l, a, b) for l in range(L) for (a, b), has in zip(spans, there) if has]
    scores = torch.zeros(L, 3, dtype=torch.float64)
    scores[:, torch.tensor(there)] = patching.spans(triples).view(L, -1)
    return scores, torch.tensor(there, dtype=torch.float64).expand(L, 3)
