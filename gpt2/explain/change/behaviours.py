"""Behaviours that a small story model can have: does this model have them, and what carries them?

In: a model; the four bundled sets of pairs. Out: accuracy first, with its interval; and only for a behaviour that the
model has, the components that carry it: by what they add, by what is lost without them, by what patching them moves.
Read next: pair_effects.py, what each of those three means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpt2.checkpoint.opened import Model
from gpt2.explain.change.pair_effects import (
    PairEffects,
    PairPatch,
    attribution_over_pairs,
    off_over_pairs,
    patch_over_pairs,
)
from gpt2.explain.change.pairs import BEHAVIOURS, Accuracy, accuracy, read_pairs
from gpt2.explain.change.patching import TooClose
from gpt2.explain.run.lacks import Lacking
from gpt2.explain.run.reference import Reference, reference
from gpt2.explain.see.readout import NoSum
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table


@dataclass(frozen=True, eq=False)
class Behaviour:
    """One set of pairs. All three explanations are None where the model lacks the behaviour.

    `left_out` says, by name, why one of the three alone is None.
    """

    name: str
    what: str
    accuracy: Accuracy
    adds: PairEffects | None
    off: PairEffects | None
    patch: PairPatch | None
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Behaviours(Result):
    """All sets, in order."""

    sets: tuple[Behaviour, ...]

    def __getitem__(self, name: str) -> Behaviour:
        """One set by its name; KeyError for another."""
        return {one.name: one for one in self.sets}[name]

    def table(self) -> "Table":
        """Accuracy of each; then the components that carry it, by each of the three questions."""
        made = table(
            "behaviour", ">right", "by", *(f"{n}" for n in ("first", "second", "third")),
            title="adds: to the lead, in logits; off: change of the lead; patch: share of the way that it moves",
            caption="right: share of clean prompts, chance is 0.50; half-widths of 95% intervals (Wilson, bootstrap)",
        )  # fmt: skip
        for one in self.sets:
            right = one.accuracy.clean
            share = f"{right.value:.2f} ±{(right.high - right.low) / 2:.2f}"
            if one.off is None:
                made.add_row(one.name, share, "", "not above chance", "so not", "explained")
                continue
            for by, found in (("adds", one.adds), ("off", one.off), ("patch", one.patch)):
                first = (one.name, share) if by == "adds" else ("", "")
                made.add_row(*first, by, *([one.left_out[by]] if found is None else found.top(3)))
        return made

    def plot(self) -> "Figure":
        """Which heads carry each behaviour: mean patching scores, layer x head."""
        figure, axes = draw.figure(3.2 * len(self.sets), 3.0, columns=max(len(self.sets), 2))
        for place, one in zip(axes, self.sets):
            right = f"{one.name}: {one.accuracy.clean.value:.0%} right"
            if one.patch is None:
                draw.title(place, f"{right}\n{one.left_out.get('patch', 'not explained')}")
                place.set_axis_off()
                continue
            layers, heads = ([str(i) for i in range(n)] for n in one.patch.heads.value.shape)
            draw.heat(place, one.patch.heads.value, layers, heads, unit="", diverging=True, high=1.0)
            draw.title(place, f"{right}\nheads patched")
            place.set(xlabel="head", ylabel="layer")
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Every set with its accuracy and its three explanations; null where there is none, with the reason."""
        return {
            one.name: {
                "what": one.what, "accuracy": one.accuracy.to_dict(),
                **{k: v and v.to_dict() for k, v in (("adds", one.adds), ("off", one.off), ("patch", one.patch))},
                "left_out": one.left_out,
            }
            for one in self.sets
        }  # fmt: skip


def behaviours(
    model: Model,
    sets: Sequence[str] = tuple(BEHAVIOURS),
    means: Reference | None = None,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Behaviours:
    """Accuracy on each set of pairs, and what carries those that are surely above chance.

    sets      bundled names or .jsonl files
    means     what components are replaced by when they are off (default: the means over the bundled stories)
    progress  told the set, and how many of its pairs are patched and switched off, of how many

    A variant may have no exact attribution, or no heads to patch: that one is left out. Raises as `read_pairs`.
    """
    means = reference(model) if means is None else means
    return Behaviours(tuple(_behaviour(model, name, means, progress) for name in sets))


def _behaviour(model: Model, name: str, means: Reference, progress: Callable[[str, int, int], None]) -> Behaviour:
    pairs = read_pairs(model, name)
    right = accuracy(model, pairs)
    adds = off = patch = None
    left_out: dict[str, str] = {}
    if right.present:
        n = len(pairs.pairs)
        try:
            adds = attribution_over_pairs(model, pairs)
        except NoSum:
            left_out["adds"] = "no exact attribution"
        off = off_over_pairs(model, pairs, means=means, progress=lambda done, _: progress(name, done, 2 * n))
        try:
            patch = patch_over_pairs(model, pairs, progress=lambda done, _: progress(name, n + done, 2 * n))
        except TooClose:
            left_out["patch"] = "answers too close"
        except Lacking:
            left_out["patch"] = "no attention"
    return Behaviour(pairs.name, BEHAVIOURS.get(name, "pairs given"), right, adds, off, patch, left_out)
