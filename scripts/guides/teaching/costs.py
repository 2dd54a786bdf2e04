"""The bars of "what it costs to do without": models trained without a part, and the finished model with it off.

In: the ablation studies' contrasts, and the numbers under "off" of teaching.json. Out: SVG texts. The charts named
cost_* have one and the same axis, so that a length in one can be compared with a length in another.
Read next: gallery.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gpt2.ablation.statistics import Difference
from scripts.guides.study import Evidence, Findings
from scripts.guides.teaching.svg import Sheet

Numbers = dict[str, Any]
LEFT, RIGHT = 14, 346
SCALES = {"minute": ("tiny model", "4 blocks, width 96"), "gpu": ("92 million parameters", "12 blocks, width 768")}
FINISHED = "storyteller, finished: switched off"
# The axis: nats and places. Between -0.25 and 0.65 it is wide; beyond the two breaks it is narrow.
KNOTS = ((-2.5, 14.0), (-1.5, 42.0), (-0.25, 56.0), (0.65, 236.0), (1.0, 250.0), (5.0, 342.0))
BREAKS = (49.0, 243.0)
TICKS = {-2: "-2", -0.2: "-0.2", 0: "0", 0.2: "+0.2", 0.4: "+0.4", 0.6: "+0.6", 2: "+2", 4: "+4"}


@dataclass(frozen=True)
class Bar:
    """One row: its group, what was done, the change of the loss and its 95% interval; None where it has not run."""

    group: str
    words: str
    value: float | None
    low: float = 0.0
    high: float = 0.0
    off: bool = False
    base: float | None = None  # the loss without the change


# Figure: title, contestants of the study with what was changed, and what was switched off.
CHARTS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "cost_tokens": ("Narrower and wider token vectors",
                    {"width-48": "trained with width 48 in place of 96",
                     "width-192": "trained with width 192 in place of 96"}, {}),
    "cost_positions": ("Position vectors taken out", {"no-positions": "trained without them"},
                       {"positions": "all position vectors set to 0"}),
    "cost_attention": ("Attention taken out, or with one head",
                       {"no-attention": "trained without attention", "heads-1": "trained with one wide head per block"},
                       {"attn": "attention of all blocks held at its mean"}),
    "cost_mlp": ("MLPs taken out, or changed",
                 {"no-mlp": "trained without MLPs", "no-mlp-equal": "the same, 12 blocks in place of 4",
                  "relu": "trained with ReLU in place of GELU"}, {"mlp": "MLPs of all blocks held at their means"}),
    "cost_residuals": ("Residual connections taken out", {"no-residuals": "trained without them, 4 blocks",
                                                          "no-residuals-12": "trained without them, 12 blocks"}, {}),
    "cost_norm": ("Norms taken out, or of another kind", {"no-norm": "trained without norms",
                                                          "rms-norm": "trained with RMSNorm in their place",
                                                          "post-norm": "trained with post-norm"}, {}),
    "cost_dropout": ("Dropout with rate p put in",
                     {"small-dropout-1": "small text read many times, p = 0.1",
                      "small-dropout-3": "small text read many times, p = 0.3",
                      "dropout-1": "fresh text, p = 0.1", "dropout-3": "fresh text, p = 0.3"}, {}),
    "cost_head": ("An output table of its own", {"untied-head": "trained untied from the token vectors"}, {}),
}  # fmt: skip
TOGETHER = {"no-residuals-12": "residuals", "no-attention": "attention", "no-mlp": "MLPs", "no-norm": "norms",
            "no-positions": "positions"}  # fmt: skip


def bars(name: str, n: Numbers, evidence: Evidence) -> list[Bar]:
    """The rows of one chart: all of the tiny study first, then of the larger one, then what was switched off."""
    _, trained, off = CHARTS[name]
    rows = []
    for findings in evidence.studies:
        for contestant, words in trained.items():
            there = evidence.name_in(findings, contestant)
            if there is None or findings.study.name not in SCALES:
                continue
            if findings is not evidence.first and "4 blocks" in words:
                continue
            d = findings.contrast(there).difference
            base = findings.mean(findings.study.contestants[there].against, "val_loss")
            rows.append(of_difference(heading(findings, there), words, d, base))
    return rows + [switched(FINISHED, words, n["off"][key], n["off"]["loss"]) for key, words in off.items()]


def of_difference(group: str, words: str, d: Difference | None, base: float | None = None) -> Bar:
    """The bar of a contrast; without a value where it has not run."""
    return Bar(group, words, d.mean, d.low, d.high, base=base) if d else Bar(group, words, None)


def switched(group: str, words: str, values: list[float], base: float | None = None) -> Bar:
    """The bar of a part that was switched off: the change and its interval."""
    return Bar(group, words, values[0], values[1], values[2], off=True, base=base)


def heading(findings: Findings, contestant: str) -> str:
    """Which model, and its size."""
    name, size = SCALES[findings.study.name]
    return f"{name}, {size.split(', ')[1] if 'residuals' in contestant else size}"  # there each row names its blocks


def place(value: float) -> float:
    """Where a change of the loss lies on the axis that the charts share."""
    for (low, left), (high, right) in pairwise(KNOTS):
        if value <= high:
            return left + (right - left) * (value - low) / (high - low)
    raise ValueError(f"a change of {value:+.2f} nats does not fit on the axis of the bars: widen KNOTS in costs.py.")


def signed(value: float) -> str:
    """A change with as many decimals as show that it is one."""
    return f"{value:+.2f}" if abs(value) >= 0.1 else f"{value:+.3f}"


def bar(c: Sheet, y: float, row: Bar, x: Callable[[float], float], floor: float = 14) -> None:
    """A bar from zero to the value, with its interval."""
    assert row.value is not None
    a, b = sorted((x(0), x(row.value)))
    c.box(a, y, max(b - a, 1.5), floor, "e" if row.off else "dim", faint=0.62, round=0)
    middle = y + floor / 2
    c.line(x(row.low), middle, x(row.high), middle, "ink", 1.2)
    for end in (row.low, row.high):
        c.line(x(end), middle - 3.5, x(end), middle + 3.5, "ink", 1.2)


def chart(name: str, n: Numbers, evidence: Evidence) -> str:
    """One chart, with zero where the model is as good as with the part."""
    title, rows = CHARTS[name][0], bars(name, n, evidence)
    said = "; ".join(f"{r.words} ({r.group.split(',')[0]}) {'not run yet' if r.value is None else f'{r.value:+.2f}'}"
                     for r in rows)  # fmt: skip
    c = Sheet(title, f"Change of the loss in nats per token, above zero is worse: {said}.")
    c.text(LEFT, 26, title, "h")
    drawn: list[tuple[float, str, Bar | None]] = []
    y, group = 34.0, ""
    for row in rows:
        if row.group != group:
            group, y = row.group, y + 18
            drawn.append((y, row.group, None))
        drawn.append((y + 18, row.words, row))
        y += 38
    floor = y + 8
    for y, words, found in drawn:
        c.text(LEFT, y, words, "s" if found else "s h")
        if found is None:
            continue
        c.text(RIGHT, y, "not run yet" if found.value is None else signed(found.value), "s h", "end")
        for value in TICKS:
            c.line(place(value), y + 5, place(value), y + 21, "dim" if value == 0 else "line", 1.6 if value == 0 else 1)
        if found.value is not None:
            bar(c, y + 6, found, place)
        for at in BREAKS:
            c.area([(at - 4, y + 22), (at + 1, y + 4), (at + 4, y + 4), (at - 1, y + 22)], "bg", 1)
    c.line(LEFT, floor, RIGHT, floor, "dim")
    for at in BREAKS:
        c.area([(at - 4, floor + 3), (at + 1, floor - 3), (at + 4, floor - 3), (at - 1, floor + 3)], "bg", 1)
        for d in (-3, 2):
            c.line(at + d - 2, floor + 5, at + d + 2, floor - 5, "dim", 1.2)
    for value, words in TICKS.items():
        c.text(place(value), floor + 17, words, "s dim", "middle")
    return c.done(c.note(legend(c, floor + 38, place(0), rows) + 8, before(rows)))


def before(rows: list[Bar]) -> str:
    """The loss of each model without the change; two numbers where its rows are compared with different ones."""
    said = {}
    for group in dict.fromkeys(row.group for row in rows):
        found = sorted({round(row.base, 2) for row in rows if row.group == group and row.base is not None})
        if found:
            said[group.split(",")[0]] = " or ".join(f"{value:.2f}" for value in found)
    losses = ", ".join(f"{name} {value}" for name, value in said.items())
    apart = " They read different texts: do not compare these losses with each other." if len(said) > 1 else ""
    return f"Loss before the change: {losses}.{apart}"


def legend(c: Sheet, y: float, zero: float, rows: list[Bar]) -> float:
    """What left, right, the colours and the thin line mean; the y below."""
    if zero > 90:
        c.text(zero - 6, y, "← better", "s h", "end")
    c.text(zero + 6, y, "worse →", "s h")
    c.text(LEFT, y + 20, "change of the loss on unread text, nats per token", "s")
    y, x = y + 42, float(LEFT)
    kinds = [("dim", "trained this way", any(not r.off for r in rows)), ("e", "switched off", any(r.off for r in rows))]
    for look, words, there in kinds:
        if there:
            c.box(x, y - 10, 12, 11, look, faint=0.62, round=0)
            c.text(x + 17, y, words, "s")
            x += 26 + 7 * len(words)
    if all(there for *_, there in kinds):
        x, y = float(LEFT), y + 20
    c.line(x, y - 4, x + 16, y - 4, "ink", 1.2)
    for end in (x, x + 16):
        c.line(end, y - 7.5, end, y - 0.5, "ink", 1.2)
    c.text(x + 22, y, "95% interval", "s")
    return y + 14


def plain(c: Sheet, left: float, top: float, floor: float, ticks: dict[float, str], per: float) -> Any:
    """An unbroken axis from zero: vertical rules with numbers; returns the place of a value, `per` units a nat."""

    def x(value: float) -> float:
        return left + per * value

    for value, words in ticks.items():
        c.line(x(value), top, x(value), floor, "dim" if value == 0 else "line")
        c.text(x(value), floor + 16, words, "s dim", "middle")
    return x


def together(n: Numbers, evidence: Evidence) -> str:
    """The part by part summary: trained without, in the larger study."""
    c = Sheet(
        "What each part is worth",
        "The change of the loss of a model of 92 million parameters trained without each part.",
    )
    c.text(LEFT, 26, "92 million parameters, trained without …", "h")
    rows = []
    for contestant, words in TOGETHER.items():
        there = evidence.name_in(evidence.larger, contestant)
        d = evidence.larger.contrast(there).difference if there else None
        rows.append(of_difference("", words, d))
    floor = 42.0 + 32 * len(rows)
    x = plain(c, 80, 38, floor, {0: "0", 0.5: "+0.5", 1: "+1", 1.5: "+1.5", 2: "+2"}, 94)
    for k, row in enumerate(rows):
        y = 46.0 + 32 * k
        c.text(74, y + 13, row.words, "s", "end")
        if row.value is None:
            c.text(86, y + 13, "not run yet", "s dim")
        else:
            bar(c, y, row, x, 18)
            c.box(x(row.high) + 6, y + 1, 40, 16, "bg", round=0)
            c.text(x(row.high) + 8, y + 13, signed(row.value), "s h")
    return c.done(legend(c, floor + 38, 80, rows))


def eachmlp(n: Numbers) -> str:
    """What each block's MLP is worth: the loss without it."""
    off = n["off"]
    rows = [switched("", f"block {k}", off[f"{k}.mlp"]) for k in range(8)]
    rows.append(switched("", "all 8", off["mlp"]))
    c = Sheet(
        "Each MLP switched off",
        "Change of the loss without the MLP of each block: that of block 0 matters by far the most.",
    )
    c.text(LEFT, 26, "storyteller with one MLP off, and with all off", "h")
    floor = 42.0 + 27 * 9
    x = plain(c, 66, 38, floor, {0: "0", 1: "+1", 2: "+2", 3: "+3", 4: "+4"}, 49)
    for k, row in enumerate(rows):
        y = 44.0 + 27 * k + (4 if k == 8 else 0)
        look = "s h" if k == 8 else "s"
        c.text(60, y + 13, row.words, look, "end")
        bar(c, y, row, x, 18)
        c.box(x(row.high) + 5, y + 2, 34, 15, "bg", round=0)
        c.text(x(row.high) + 7, y + 13, f"{row.value:+.2f}", look)
    c.line(LEFT, 43 + 27 * 8, RIGHT, 43 + 27 * 8, "dim")
    y = legend(c, floor + 40, 66, rows)
    total = sum(row.value or 0 for row in rows[:8])
    y = c.note(
        y + 10,
        "Off: the MLP gives its mean over the texts, whatever it reads. "
        f"The eight single rises add up to {total:.2f}, not to {off['mlp'][0]:.2f}: "
        "what one MLP is worth depends on the others.",
    )
    return c.done(y)
