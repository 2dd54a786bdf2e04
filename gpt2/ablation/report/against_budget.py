"""The difference from the baseline against the budget: primary contrasts at each branched decay, and where they cross.

In: `Findings` of a study with branches. Out: Markdown and a plot. Read next: document.py.

One training gives the points of all its budgets, so that neighbours share most of their steps: they are correlated, and
no point is a second opinion on another.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from gpt2.ablation.report.findings import Contrast, Findings, Record
from gpt2.ablation.report.markdown import NOTHING, interval, number, signed, table
from gpt2.ablation.statistics import Difference, paired
from gpt2.explain.show import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4  # panels beside one another
BESIDE = 1.09  # a seed's dot stands so much further right than its bar, which would hide it


@dataclass(frozen=True)
class Point:
    """share       of the budget
    tokens      trained on, the decay among them
    each        the difference in validation loss by seed
    difference  its mean, with a plain 95% interval
    """

    share: float
    tokens: int
    each: dict[int, float]
    difference: Difference


def points(contrast: Contrast) -> list[Point]:
    """A contrast at each budget at which both sides have a seed, the smallest first."""
    ours, theirs = (
        {seed: _losses(record) for seed, record in side.finished.items()} for side in (contrast.runs, contrast.against)
    )
    seeds = [seed for seed in ours if seed in theirs]
    found = []
    for share in sorted({share for seed in seeds for share in ours[seed]}):
        both = [seed for seed in seeds if share in ours[seed] and share in theirs[seed]]
        if both:
            mine, other = ([side[seed][share][0] for seed in both] for side in (ours, theirs))
            each = {seed: a - b for seed, a, b in zip(both, mine, other, strict=True)}
            found.append(Point(share, ours[both[0]][share][1], each, paired(mine, other)))
    return found


def _losses(record: Record) -> dict[float, tuple[float, int]]:
    """Validation loss and tokens by share of the budget; a branch that diverged is left out."""
    of_branches = {b["share"]: (b["val_loss"], b["tokens"]) for b in record.get("branches") or ()}
    return {s: v for s, v in {**of_branches, 1.0: (record["val_loss"], record["tokens"])}.items() if v[0] is not None}


def crossings(found: list[Point]) -> list[tuple[Point, Point]]:
    """Pairs of neighbouring budgets whose differences have opposite signs, where both intervals exclude 0.

    Budgets between them whose interval holds 0 do not count. Fewer claim less: the intervals are plain ones.
    """
    clear = [p for p in found if p.difference.low > 0 or p.difference.high < 0]
    return [(a, b) for a, b in pairwise(clear) if a.difference.mean * b.difference.mean < 0]


def against_budget(findings: Findings) -> str:
    """The table; "" for a study without branches."""
    if not findings.study.branches:
        return ""
    rows, crossed = [], []
    shares = sorted({*findings.study.branches, 1.0})
    for contrast in findings.primary:
        found = {p.share: p for p in points(contrast)}
        cells = [_cell(found[s]) if s in found else NOTHING for s in shares]
        rows.append([contrast.contestant.title, *cells])
        crossed += [
            f"- **{contrast.contestant.title}**: {_cell(a)} at {a.share:g} of the budget, {_cell(b)} at {b.share:g}."
            for a, b in crossings(list(found.values()))
        ]
    decay = findings.study.recipe("baseline").optim.decay
    text = f"""{table(["trained without", *(f">{s:g} of the budget" for s in shares)], rows)}
Each cell is the difference from the model that the contrast names, with a plain 95% interval over seeds. Training goes
on at a constant rate. For each budget a decay to the floor is branched off, which takes the last {decay:.0%} of that
budget. So the points of one seed share most of their steps: they are correlated, and no point confirms another. A
crossing is claimed where the sign differs between two budgets whose intervals both exclude 0.

"""
    return text + ("\n".join(crossed) + "\n" if crossed else "No crossing is claimed.\n") + _use(findings, shares)


def _use(findings: Findings, shares: list[float]) -> str:
    """How much of its context the baseline uses at each budget."""
    rows = []
    for share in shares:
        losses, uses = [], []
        for record in findings.runs["baseline"].finished.values():
            branches = {b["share"]: b for b in record.get("branches") or ()} | {1.0: record}
            point = branches.get(share) or {}
            if point.get("val_loss") is not None and point.get("context_use"):
                losses.append(point["val_loss"])
                uses.append(point["context_use"]["use"])
        if uses:
            estimates = [paired(values, [0.0] * len(values)) for values in (losses, uses)]
            cells = [f"{number(e.mean)} ({interval(e).replace('+', '')})" for e in estimates]
            rows.append([f"{share:g}", str(len(uses)), *cells])
    columns = [">share of the budget", ">seeds", ">validation loss", ">context use"]
    return f"\nThe baseline itself:\n\n{table(columns, rows)}" if rows else ""


def _cell(p: Point) -> str:
    return f"{signed(p.difference.mean)} ({interval(p.difference)})"


def plot(findings: Findings) -> "Figure | None":
    """A panel for each primary contrast: the difference against the tokens, seeds as dots, bars as intervals."""
    shown = [(c, found) for c in findings.primary if len(found := points(c)) > 1]
    if not shown:
        return None
    rows = -(-len(shown) // COLUMNS)
    figure, grid = draw.figure(11, 2.7 * rows, rows, COLUMNS)
    panels = grid.reshape(-1)
    for axes, (contrast, found) in zip(panels, shown, strict=False):
        tokens = [p.tokens for p in found]
        axes.axhline(0, color="black", lw=0.8)
        for p in found:
            seeds = list(p.each.values())
            axes.plot([BESIDE * p.tokens] * len(seeds), seeds, ".", color=draw.NEUTRAL, ms=5, mew=0)
            if p.difference.pairs > 1:
                axes.plot([p.tokens] * 2, [p.difference.low, p.difference.high], color=draw.KINDS[0], lw=1.4)
        axes.plot(tokens, [p.difference.mean for p in found], "o-", color=draw.KINDS[0], ms=4, lw=1.2)
        axes.set_xscale("log")
        axes.set_xticks(tokens, [f"{t / 1e6:.2g} M" for t in tokens], fontsize=7)
        axes.minorticks_off()
        axes.tick_params(labelsize=7)
        draw.title(axes, contrast.contestant.title)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[::COLUMNS]:
        axes.set_ylabel("difference, nats per token", fontsize=8)
    for axes in panels[max(0, len(shown) - COLUMNS) : len(shown)]:
        axes.set_xlabel("tokens trained on", fontsize=8)
    return figure
