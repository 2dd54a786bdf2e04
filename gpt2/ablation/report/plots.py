"""The report's plots: what each contrast costs, how a baseline learns, what its inside looks like.

In: `Findings`. Out: matplotlib figures, by file name; None where nothing is there to draw. A picture's file carries a
digest of its numbers, so that a test can tell whether it shows the results beside it. Read next: document.py.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.ablation.report.findings import Findings, Runs
from gpt2.ablation.report.structure import compared_by_depth
from gpt2.ablation.statistics import region
from gpt2.ablation.study import BASELINE
from gpt2.base.disk import whole_file
from gpt2.base.ours import check_file
from gpt2.explain.show import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIGEST = "Numbers"  # the entry of a picture's file that holds the digest
BINS = 16  # parts of a row that a curve over positions averages


def contrasts(findings: Findings) -> "Figure | None":
    """Every contrast with its interval, and where it was expected."""
    made = [c for c in findings.contrasts if c.difference is not None and c.difference.pairs > 1]
    if not made:
        return None
    figure, axes = draw.figure(7.5, 1.2 + 0.24 * len(made))
    for place, c in enumerate(made):
        assert c.difference is not None
        low, high = region(c.contestant.expect)
        axes.fill_betweenx([place - 0.38, place + 0.38], max(low, -1e3), min(high, 1e3), color=draw.BAND, lw=0)
        colour = {"hit": draw.KINDS[0], "miss": draw.KINDS[5]}.get(c.verdict or "", draw.NEUTRAL)
        axes.plot([c.difference.low, c.difference.high], [place, place], color=colour, lw=1.6)
        axes.plot([c.difference.mean], [place], color=colour, marker="o" if c.adjusted is None else "D", ms=4)
    ends = [x for c in made if c.difference for x in (c.difference.low, c.difference.high)]
    axes.set_xscale("symlog", linthresh=0.02, linscale=1.2)
    axes.set_xlim(-2 * max(0.05, -min(ends)), 2 * max(0.05, *ends))
    axes.set_xticks([x for x in (-3, -1, -0.3, -0.1, -0.02, 0, 0.02, 0.1, 0.3, 1, 3) if _inside(x, axes.get_xlim())])
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", "−"))
    axes.minorticks_off()
    axes.set_yticks(range(len(made)), [c.contestant.title for c in made], fontsize=7.5)
    axes.set_ylim(len(made) - 0.4, -0.6)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_xlabel("difference in validation loss, nats per token (linear within ±0.02, logarithmic outside)")
    draw.title(axes, "◆ primary  ● exploratory   band: as expected\nblue: hit, orange: miss, grey: undecided")
    return figure


def budgets(findings: Findings) -> "Figure | None":
    """The baseline's loss over its tokens: completed trainings."""
    known = {share: runs for share, runs in findings.budgets.items() if runs.finished}
    if len(known) < 2:
        return None
    figure, axes = draw.figure(5.2, 3.2)
    tokens = [next(iter(runs.finished.values()))["tokens"] for runs in known.values()]
    for count, runs in zip(tokens, known.values(), strict=True):
        losses = runs.values("val_loss")
        axes.plot([count] * len(losses), losses, ".", color=draw.KINDS[0], alpha=0.35, ms=5, mew=0)
    axes.plot(tokens, [runs.mean("val_loss") for runs in known.values()], "o-", color=draw.KINDS[0], ms=4, lw=1.2)
    _tokens(axes)
    axes.set_xticks(tokens, [f"{t / 1e6:.2g} M" for t in tokens])
    axes.set_ylabel("validation loss, nats per token")
    draw.title(axes, "the baseline, trained to completion (dots: seeds)")
    return figure


def curves(findings: Findings) -> "Figure | None":
    """Validation loss during training: primary contestants and those that they are compared with."""
    names = dict.fromkeys(n for c in findings.study.primary for n in (c.against, c.name))
    unit = "validation loss, nats per token"
    return _over_training(findings, [BASELINE, *names], "val_loss", unit, "learning curves")


def induction(findings: Findings) -> "Figure | None":
    """Induction score during training, for everyone whose attention or order differs."""
    wanted = ("no-positions", "sinusoidal-positions", "no-mlp", "no-residuals", "no-norm", "post-norm")
    names = [n for n, c in findings.study.contestants.items() if c.variant in wanted and set(c.set) <= {"model"}]
    return _over_training(findings, [BASELINE, *names], "induction", "induction score", "induction over training", True)


def positions(findings: Findings) -> "Figure | None":
    """Loss at each position of a row."""
    names = ("no-positions", "sinusoidal-positions", "no-attention", "no-mlp")
    shown = [r for r in findings.runs.values() if r.contestant.variant in names and not r.contestant.set]
    shown = [r for r in (findings.runs[BASELINE], *shown) if r.values("position_losses")]
    if not shown:
        return None
    figure, axes = draw.figure(6.2, 3.4)
    for number, runs in enumerate(shown):
        mean = _mean_list([r["position_losses"] for r in runs.finished.values()])
        width = max(1, len(mean) // BINS)
        bins = [mean[k : k + width] for k in range(0, len(mean), width)]
        places = [width * k + (len(b) - 1) / 2 for k, b in enumerate(bins)]
        axes.plot(places, [sum(b) / len(b) for b in bins], color=_colour(number), lw=1.4, label=runs.contestant.title)
    axes.set_xlabel(f"position in the row (means over {width})")
    axes.set_ylabel("validation loss, nats per token")
    axes.legend(frameon=False, fontsize=8)
    draw.title(axes, "loss by position")
    return figure


def scales(findings: Findings) -> "Figure | None":
    """Activation scale and gradient norm by block, at the start and the end, with and without residuals and norms."""
    study = findings.study
    depths: dict[int, list[Runs]] = {}
    for name in compared_by_depth(findings):
        depths.setdefault(study.recipe(name).model.n_layer, []).append(findings.runs[name])
    if not depths:
        return None
    figure, grid = draw.figure(11, 2.9 * len(depths), len(depths), 4)
    panels = grid.reshape(len(depths), 4)
    for row, (depth, shown) in zip(panels, depths.items(), strict=True):
        kinds = [(w, q) for q in ("activation_rms", "gradient_norm") for w in ("at_start", "at_end")]
        for axes, (when, what) in zip(row, kinds, strict=True):
            for number, runs in enumerate(shown):
                lists = [r[when][what] for r in runs.finished.values() if r.get(when)]
                axes.plot(range(depth + 1), _mean_list(lists), ".-", color=_colour(number), lw=1.2, ms=4,
                          label=runs.contestant.title)  # fmt: skip
            _logarithmic(axes)
            axes.set_xticks(range(0, depth + 1, max(1, depth // 6)))
            axes.set_xlabel("blocks passed")
            word = {"activation_rms": "activation (rms)", "gradient_norm": "gradient norm"}[what]
            draw.title(axes, f"{word}, {'start' if when == 'at_start' else 'end'} of training")
        row[0].set_ylabel(f"{depth} blocks")
        row[0].legend(frameon=False, fontsize=7)
    return figure


PLOTS: dict[str, Callable[[Findings], "Figure | None"]] = {
    "contrasts": contrasts, "budgets": budgets, "curves": curves, "positions": positions, "scales": scales,
    "induction": induction,
}  # fmt: skip


def save(figure: "Figure", path: Path) -> None:
    """Write a picture, with the digest of its numbers."""
    check_file(path, is_plot, "a plot of gpt2 ablate report")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={DIGEST: digest(figure), "Software": None})


def is_plot(path: Path) -> bool:
    """Whether a file is a picture of ours: its head holds a digest."""
    with open(path, "rb") as file:
        return DIGEST.encode() + b"\0" in file.read(2000)


def digest(figure: "Figure") -> str:
    """A hash of what is drawn: titles, labels, and the lines' numbers to six digits."""
    parts: list[str] = []
    for axes in figure.axes:
        parts += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        parts += [t.get_text() for t in axes.get_yticklabels()] if axes.get_yscale() == "linear" else []
        for line in axes.lines:
            parts.append(str(line.get_label()))
            parts += [f"{v:.6g}" for v in line.get_xydata().flatten().tolist()]  # type: ignore[union-attr]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _over_training(
    findings: Findings, names: Sequence[str], field: str, label: str, title: str, end: bool = False
) -> "Figure | None":
    """A number of the curve's points over tokens, mean over seeds; `end`: the number of the trained model too."""
    shown = [r for r in (findings.runs[n] for n in dict.fromkeys(names)) if _points(r, field, end)]
    if not shown:
        return None
    figure, axes = draw.figure(7.2, 3.6)
    for number, runs in enumerate(shown):
        tokens, values = zip(*_points(runs, field, end), strict=True)
        style = "-" if number < len(draw.KINDS) else "--"
        axes.plot(tokens, values, style, color=_colour(number), lw=1.3, label=runs.contestant.title)
    _tokens(axes)
    axes.set_ylabel(label)
    axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1, 0.5))
    draw.title(axes, title)
    return figure


def _points(runs: Runs, field: str, end: bool) -> list[tuple[float, float]]:
    """(tokens, mean over seeds) of a curve; points that some seed lacks are left out."""
    sums: dict[float, list[float]] = {}
    for r in runs.finished.values():
        each = r["tokens"] / r["steps"]
        points = [(p["steps"] * each, p[field]) for p in r["curve"]] + [(r["tokens"], r.get(field))] * end
        for tokens, value in points:
            if value is not None:
                sums.setdefault(tokens, []).append(value)
    return [(t, sum(v) / len(v)) for t, v in sums.items() if len(v) == len(runs.finished)]


def _mean_list(lists: Sequence[Sequence[float | None]]) -> list[float]:
    """The mean of lists, place by place; nan where one of them has nothing."""
    columns = [[math.nan if x is None else x for x in column] for column in zip(*lists, strict=True)]
    return [sum(column) / len(column) for column in columns]


def _tokens(axes: Any) -> None:
    axes.set_xscale("log")
    axes.set_xlabel("tokens trained on")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:g} M" if x >= 1e5 else f"{x / 1e3:g} k")
    axes.minorticks_off()
    axes.grid(alpha=0.25)


def _logarithmic(axes: Any) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5; at powers of ten alone where it spans many."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)


def _inside(x: float, ends: tuple[float, float]) -> bool:
    return ends[0] <= x <= ends[1]


def _colour(number: int) -> str:
    return draw.KINDS[number % len(draw.KINDS)]
