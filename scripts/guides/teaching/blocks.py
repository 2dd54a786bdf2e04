"""Figures of what a block holds beside attention and the stream: the MLP's GELU, and the norm; and dropout.

In: the numbers of teaching.json. Out: SVG texts. Read next: head.py.
"""

import math
from typing import Any

import torch

from scripts.guides.teaching.svg import Sheet, num

Numbers = dict[str, Any]
CELLS = (0.5, -0.3, 0.8, 0.2, -0.1, 0.6, 0.4, -0.2, 0.9, 0.1)  # the vector of the specification
RATE = 0.3  # of the dropout figure: a pass without any loss would show nothing
SEED = 36  # of its three passes: a draw that loses 2, 4 and 3, as chance does, and not 3 each time


def gelu(n: Numbers) -> str:
    """GELU beside ReLU, with the four numbers of the toy marked."""
    c = Sheet(
        "GELU",
        "GELU keeps large positive numbers, pulls small negative ones to zero and lets large negative ones vanish.",
    )
    c.text(14, 26, "GELU: a soft gate on each neuron", "h")
    c.text(14, 48, "after GELU", "s dim")
    unit, left, zero = 38.0, 40.0, 220.0  # one unit is as long on both axes
    for mark in (-1, 0, 1, 2, 3, 4):
        c.line(left, zero - unit * mark, left + 8 * unit, zero - unit * mark, "dim" if mark == 0 else "line")
        c.text(left - 6, zero - unit * mark + 4, f"{mark}", "s dim", "end")

    def x(value: float) -> float:
        return left + unit * (value + 4)

    def y(value: float) -> float:
        return zero - unit * value

    for mark in (-4, -2, 0, 2, 4):
        c.line(x(mark), y(-1), x(mark), y(4), "dim" if mark == 0 else "line")
        c.text(x(mark), y(-1) + 18, str(mark), "s dim", "middle")
    c.text(x(4), y(-1) + 35, "before GELU", "s dim", "end")
    grid = [k / 10 for k in range(-40, 41)]
    values = [0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in grid]
    c.curve(list(zip(map(x, grid), map(y, values))), "c", 3)
    c.curve([(x(v), y(max(v, 0))) for v in (-4, 0, 4)], "ink", 1.6, "5 5")
    for at, dx, dy, anchor in ((-3.0, 0, -14, "middle"), (-0.5, -2, 24, "end"), (0.5, 12, 18, "start"),
                               (3.0, -12, -12, "end")):  # fmt: skip
        value = n["neuron"]["table"][f"{at:g}"]
        words = f"{at:g} → {value:.2f}".replace("-0.00", "0.00")
        width = 7.0 * len(words)
        start = x(at) + dx - {"middle": width / 2, "end": width}.get(anchor, 0)
        c.box(start - 2, y(value) + dy - 11, width + 4, 15, "bg", round=0)
        c.text(x(at) + dx, y(value) + dy, words, "s h", anchor)
        c.dot(x(at), y(value), "ink", 4)
    end = y(-1) + 58
    c.line(14, end - 4, 40, end - 4, "c", 3)
    c.text(48, end, "GELU", "s")
    c.line(110, end - 4, 136, end - 4, "ink", 1.6, "5 5")
    c.text(144, end, "ReLU: the larger of 0 and x", "s")
    return c.done(end + 14)


def norm(n: Numbers) -> str:
    """[10, 20, 30] and [1, 2, 3] through the norm: three number lines with one scale, and the last one enlarged."""
    c = Sheet(
        "The norm of three numbers",
        "10, 20 and 30 lose their mean, 20, and are divided by their spread, 8.16: -1.22, 0 and 1.22. "
        "1, 2 and 3 end at the same three numbers.",
    )
    large, small = (10.0, 20.0, 30.0), (1.0, 2.0, 3.0)
    spread = {v: math.sqrt(sum((x - v[1]) ** 2 for x in v) / 3) for v in (large, small)}
    c.text(14, 26, "The norm of [10, 20, 30] and of [1, 2, 3]", "h")

    def x(value: float) -> float:
        return 110 + 7 * value

    rows = (
        (92, "1. As they come in", lambda v: v),
        (192, "2. Minus their mean (20 and 2)", lambda v: tuple(a - v[1] for a in v)),
        (292, "3. Divided by their spread (8.16 and 0.82)", lambda v: tuple((a - v[1]) / spread[v] for a in v)),
    )
    for y, words, made in rows:
        c.text(14, y - 44, words, "s h")
        number_line(c, y, x, {m: str(m) for m in (-10, 0, 10, 20, 30)})
        for v in (large, small):
            for value in made(v):
                if v is large:
                    c.dot(x(value), y, "a", 5)
                else:
                    ring(c, x(value), y)
        for value in made(large) if y < 292 else ():
            c.text(x(value), y - 12, f"{value:g}", "s h a", "middle")
    c.text(x(2), 92 - 12, "1, 2, 3", "s", "middle")
    c.text(x(0), 192 - 27, "−1, 0, 1", "s", "middle")
    c.text(x(0), 292 - 12, "both sets together", "s", "middle")
    y = 388
    c.text(14, y - 40, "The same three places, 10 times enlarged", "s h")

    def near(value: float) -> float:
        return 180 + 10 * 7 * value

    number_line(c, y, near, {m: str(m) for m in (-2, -1, 0, 1, 2)})
    for value in ((a - 20) / spread[large] for a in large):
        c.dot(near(value), y, "a", 5)
        ring(c, near(value), y, 8.5)
        c.text(near(value), y - 14, f"{value:.2f}" if value else "0", "s h a", "middle")
    for a in (86, 186):
        c.arrow(20, a, 20, a + 44, "dim", 1.2)
    c.dot(19, 430, "a", 5)
    c.text(30, 434, "[10, 20, 30]", "s")
    ring(c, 132, 430)
    c.text(144, 434, "[1, 2, 3]", "s")
    end = c.note(
        458,
        "Spread: √((10² + 0² + 10²) / 3) = 8.16. After the norm only the pattern is left.",
    )
    return c.done(end)


def number_line(c: Sheet, y: float, x: Any, marks: dict[int, str]) -> None:
    """A horizontal line with ticks."""
    c.line(x(min(marks)), y, x(max(marks)) + 8, y, "dim")
    for mark, words in marks.items():
        c.line(x(mark), y - 5, x(mark), y + 5, "dim")
        c.text(x(mark), y + 21, words, "s dim", "middle")


def ring(c: Sheet, x: float, y: float, radius: float = 4.5) -> None:
    """An open circle."""
    c.shapes.append(f'<circle cx="{num(x)}" cy="{num(y)}" r="{radius}" class="sink" fill="none" stroke-width="1.5"/>')


def dropout(n: Numbers) -> str:
    """Ten numbers from top to bottom, and three passes of dropout that lose different ones."""
    c = Sheet(
        "Dropout",
        "Ten numbers; in three passes of training some of them, others each time, become 0 and the rest is scaled up.",
    )
    c.text(14, 26, f"Dropout with p = {RATE:g} on ten numbers", "h")
    drawn = passes()
    columns = [("the", "numbers", list(CELLS)), *(("training", f"pass {k + 1}", p) for k, p in enumerate(drawn)),
               ("after", "training", list(CELLS))]  # fmt: skip
    for k, (above, name, values) in enumerate(columns):
        x = 14 + 67 * k
        for dy, words in ((48, above), (63, name)):
            c.text(x + 30, dy, words, "s h" if 0 < k < 4 else "s", "middle")
        for r, value in enumerate(values):
            y = 72 + 26 * r
            lost = value == 0
            if lost:
                c.box(x, y, 60, 22, "dim", outline=True)
            else:
                c.box(x, y, 60, 22, "a", faint=0.2)
            c.text(x + 30, y + 15, "0" if lost else f"{value:.2f}", "k s dim" if lost else "k s", "middle")
        if 0 < k < 4:
            c.text(x + 30, 72 + 26 * 10 + 12, f"{values.count(0.0)} lost", "s h", "middle")
    end = c.note(
        72 + 26 * 10 + 38,
        f"Each number is lost by a chance of its own, {RATE:.0%}, in each pass "
        "anew; so others are lost each time, and not always as many. "
        f"What is kept is multiplied by 1\u00a0/\u00a0{1 - RATE:g} = {1 / (1 - RATE):.2f}.",
    )
    return c.done(end)


def passes() -> list[list[float]]:
    """The three passes, from a fixed seed."""
    draw = torch.rand(3, len(CELLS), generator=torch.Generator().manual_seed(SEED))
    return [[0.0 if u < RATE else v / (1 - RATE) for u, v in zip(row, CELLS)] for row in draw.tolist()]
