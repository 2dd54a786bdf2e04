"""How every picture of explain/ is drawn: figures, scales, heat maps, bars.

In: numbers and labels. Out: a matplotlib Figure, made without pyplot, so that nothing global changes.
Amounts use a sequential scale, differences one that diverges around zero; both are even in lightness and safe for
colour-blind readers, as are all colours (base/palette.py).
Read next: lens.py, which draws with it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gpt2.base.palette import BAND, DIVERGING, KINDS, NEGATIVE, NEUTRAL, POSITIVE, SEQUENTIAL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BAND", "DIVERGING", "KINDS", "NEGATIVE", "NEUTRAL", "POSITIVE", "SEQUENTIAL", "bars", "figure", "heat", "ticks",
    "title",
]  # fmt: skip

# A token such as $$ is no formula.
STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False}
MONOSPACE: Any = {"family": "monospace", "parse_math": False}


def figure(width: float = 8.0, height: float = 4.5, rows: int = 1, columns: int = 1) -> tuple["Figure", Any]:
    """A figure in the house style, in inches, and its axes: one, or an array of them."""
    from matplotlib import rc_context

    from gpt2.explain.show.picture import Picture

    with rc_context(STYLE):
        made = Picture(figsize=(width, height), layout="constrained", dpi=130)
        return made, made.subplots(rows, columns)


def title(axes: Any, text: str) -> None:
    """What the picture shows, above its left edge."""
    axes.set_title(text, loc="left", fontsize=10)


def heat(
    axes: Any,
    values: Tensor,
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
    *,
    unit: str,
    diverging: bool = False,
    low: float | None = None,
    high: float | None = None,
    cells: Sequence[Sequence[str]] | None = None,
) -> None:
    """A heat map [R, C] with its scale; a diverging one is symmetrical around 0.

    rows, columns  names, or None for plain numbers; cells: texts for the cells
    """
    numbers = values.detach().cpu().double().numpy()
    if diverging:
        high = max(abs(float(numbers.min())), abs(float(numbers.max())), 1e-12) if high is None else high
        low = -high
    image = axes.imshow(numbers, cmap=DIVERGING if diverging else SEQUENTIAL, vmin=low, vmax=high, aspect="auto")
    image.set_interpolation("nearest")
    if columns is not None:
        ticks(axes.xaxis, columns, rotation=90 if max(map(len, columns), default=0) > 3 else 0)
    if rows is not None:
        ticks(axes.yaxis, rows)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if cells is not None:
        for r, line in enumerate(cells):
            for c, text in enumerate(line):
                colour = _readable(image, float(numbers[r, c]))
                axes.text(c, r, text, ha="center", va="center", fontsize=6.5, color=colour, clip_on=True, **MONOSPACE)
    axes.figure.colorbar(image, ax=axes, label=unit, fraction=0.03, pad=0.01).outline.set_visible(False)


def ticks(axis: Any, labels: Sequence[str], most: int = 48, **options: Any) -> None:
    """One tick per label; only at every second, third ... label where there would be more than `most`."""
    step = -(-len(labels) // most)
    places = range(0, len(labels), step)
    axis.set_ticks(list(places), [labels[i] for i in places], fontsize=7.5, **MONOSPACE, **options)


def bars(axes: Any, names: Sequence[str], values: Sequence[float], *, unit: str) -> None:
    """Horizontal bars, the first on top, with their numbers; colour tells the sign."""
    places = range(len(values))
    axes.barh(places, values, color=[POSITIVE if v >= 0 else NEGATIVE for v in values], height=0.75)
    axes.set_yticks(list(places), list(names), fontsize=7.5, **MONOSPACE)
    axes.invert_yaxis()
    axes.axvline(0, color=NEUTRAL, linewidth=0.8)
    axes.set_xlabel(unit)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.12)
    for place, v in zip(places, values):
        axes.annotate(f"{v:+.3g}", (v, place), (3 if v >= 0 else -3, 0), textcoords="offset points", va="center",
                      ha="left" if v >= 0 else "right", fontsize=6.5, color=NEUTRAL)  # fmt: skip


def _readable(image: Any, value: float) -> str:
    """Black or white, whichever stands out on the colour of this value (relative luminance as WCAG 2 defines it)."""
    red, green, blue, _ = image.to_rgba(value)
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return "black" if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 else "white"
