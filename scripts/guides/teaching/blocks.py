"""Figures of what a block holds beside attention: the MLP, the stream, the norm; and dropout.

In: the numbers of teaching.json and measured.json. Out: SVG texts. Read next: head.py.
"""

import math
from typing import Any

import torch

from scripts.guides.teaching.svg import Canvas, num

Numbers = dict[str, Any]
CELLS = (0.5, -0.3, 0.8, 0.2, -0.1, 0.6, 0.4, -0.2, 0.9, 0.1)  # the vector of the specification
RATE = 0.3  # of the dropout figure: a pass without any loss would show nothing


def axes(c: Canvas, left: float, right: float, top: float, floor: float, low: float, high: float, marks: list[float],
         plain: bool = True) -> Any:  # fmt: skip
    """Horizontal rules at `marks` with their numbers; returns the height of a value."""

    def y(value: float) -> float:
        return floor - (floor - top) * (value - low) / (high - low)

    for mark in marks:
        c.line(left, y(mark), right, y(mark))
        c.text(left - 6, y(mark) + 4, f"{mark:g}" if plain else f"{10**mark:g}", "s dim", "end")
    return y


def gelu(n: Numbers) -> str:
    """GELU beside ReLU, with the four numbers of the toy marked."""
    c = Canvas(
        "GELU",
        "GELU keeps large positive numbers, pulls small negative ones to zero and lets large negative ones vanish.",
    )
    c.text(14, 26, "GELU: a soft gate on each neuron", "h")
    y = axes(c, 40, 404, 48, 330, -1, 4, [-1, 0, 1, 2, 3, 4])

    def x(value: float) -> float:
        return 40 + 364 * (value + 4) / 8

    c.line(x(0), 48, x(0), 330)
    c.curve([(x(v), y(max(v, 0))) for v in (-4, 0, 4)], "dim", 1.2, "4 4")
    grid = [k / 10 for k in range(-40, 41)]
    values = [0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in grid]
    c.curve(list(zip(map(x, grid), map(y, values))), "a", 2.5)
    for at, dx, dy, anchor in (
        (-3.0, 0, -12, "middle"),
        (-0.5, -4, 18, "end"),
        (0.5, 10, 14, "start"),
        (3.0, -12, 4, "end"),
    ):
        value = n["neuron"]["table"][f"{at:g}"]
        c.dot(x(at), y(value), "b")
        c.text(x(at) + dx, y(value) + dy, f"{at:g} → {value:.2f}".replace("-0.00", "0.00"), "s b", anchor)
    for mark in (-4, -2, 0, 2, 4):
        c.text(x(mark), 350, str(mark), "s dim", "middle")
    c.text(404, 368, "before GELU", "s dim", "end")
    c.text(40, 368, "dashed: ReLU, max(0, x)", "s dim")
    return c.done(382)


def eachmlp(n: Numbers) -> str:
    """What each block's MLP is worth: the loss without it."""
    off = n["off"]
    blocks = [off[f"{k}.mlp"] for k in range(8)]
    c = Canvas(
        "Each MLP switched off",
        "Change of the loss without the MLP of each block: that of block 0 matters by far the most.",
    )
    c.text(14, 26, "Without the MLP of one block, the loss rises by", "h")
    for k, (value, _, _) in enumerate(blocks):
        y = 40 + 27 * k
        width = 270 * value / blocks[0][0]
        c.text(64, y + 14, f"block {k}", "s", "end")
        c.box(72, y, width + 1, 20, "c", faint=0.6)
        c.text(78 + width, y + 14, f"{value:.2f}", "s")
    y = 40 + 27 * 8
    c.line(14, y + 4, 406, y + 4)
    c.text(64, y + 26, "all 8", "s h", "end")
    width = 270 * off["mlp"][0] / blocks[0][0]
    c.box(72, y + 12, width, 20, "c", faint=0.9)
    c.text(78 + width, y + 26, f"{off['mlp'][0]:.2f}", "s h")
    c.text(72, y + 52, "nats per token; each held at its mean", "s dim")
    return c.done(y + 64)


def river(n: Numbers) -> str:
    """The river with its tributaries: the last token's stream, its length after each block and what is added."""
    s = n["stream"]
    c = Canvas(
        "The river", "The stream of one token, bottom to top: every block's attention and MLP add to it, and it grows."
    )
    c.text(14, 26, "The stream of ·the, and what flows into it", "h")
    c.text(14, 50, "attention adds", "s b")
    c.text(406, 50, "MLP adds", "s c", "end")
    centre, scale, base = 190, 2.4, 372
    norms = s["norms"]
    left = [(centre - scale * v, base - 36 * k) for k, v in enumerate(norms)]
    right = [(centre + scale * v, base - 36 * k) for k, v in enumerate(norms)]
    c.area([*left, *reversed(right)], "a", 0.35)
    for k in range(8):
        y = base - 36 * k - 18
        edge = scale * (norms[k] + norms[k + 1]) / 2
        for side, kind, look in ((-1, "attn", "b"), (1, "mlp", "c")):
            far, bend, mouth = (num(centre + side * (edge + d)) for d in (46, 10, -4))
            d = f"M{far} {num(y + 10)}Q{bend} {num(y + 8)} {mouth} {num(y - 6)}"
            c.path(d, look, max(1, 0.9 * s[kind][k]), faint=0.8)
        c.text(centre - edge - 52, y + 14, f"{s['attn'][k]:.1f}", "s b", "end")
        c.text(centre + edge + 52, y + 14, f"{s['mlp'][k]:.1f}", "s c")
        c.text(14, y + 14, f"block {k}", "s dim")
    for k, v in enumerate(norms):
        c.text(centre, base - 36 * k + 4, f"{v:.1f}", "s h", "middle", 10.5)
        said = s["says"][k]
        c.text(406, base - 36 * k + 4, said["token"], "k s dim", "end")
    c.text(centre, base + 24, "token vector + position vector", "s", "middle")
    c.text(
        14, base + 44, "Numbers are lengths. At the right: the likeliest token if it ended there.", "s dim", size=10.5
    )
    return c.done(base + 56)


def paths(n: Numbers) -> str:
    """The two paths of a residual connection, with three of the model's numbers."""
    one = n["stream"]["one"]
    c = Canvas("Two paths", "The input goes straight on and is added to what norm and attention made of it.")
    c.text(14, 26, "x = x + attention(norm(x))", "k h")

    def three(values: list[float]) -> str:
        return "[" + ", ".join(f"{v:+.3f}" for v in values) + ", …]"

    c.text(24, 62, "x = " + three(one["before"]), "k s")
    c.path("M40 74V196", "a", 6, faint=0.6)
    c.text(52, 140, "path 1: straight on", "s a")
    c.path("M60 76C140 88 236 78 256 92", "b", 2)
    for y, name in ((92, "norm"), (134, "attention")):
        c.box(206, y, 110, 28, "b", faint=0.28)
        c.text(261, y + 19, name, "", "middle")
    c.arrow(261, 120, 261, 134, "b")
    c.text(324, 111, "path 2:", "s b")
    c.text(324, 127, "the write", "s b")
    c.arrow(261, 162, 261, 184, "b")
    c.text(394, 200, three(one["attn"]), "k s b", "end")
    c.path("M200 206C150 214 90 206 58 212", "b", 2)
    c.dot(40, 212, "ink", 11)
    c.text(40, 217, "+", "h bg", "middle", 16)
    c.arrow(40, 224, 40, 248, "a", 4)
    c.text(24, 266, "x = " + three(one["mid"]), "k s h")
    c.text(14, 290, "Block 0, last token: each number is the sum of the two above it.", "s dim")
    return c.done(304)


def norm(n: Numbers) -> str:
    """[10, 20, 30] and [1, 2, 3] through the norm, on number lines."""
    c = Canvas(
        "The norm of three numbers",
        "10, 20 and 30 lose their mean, 20, and are divided by their spread, 8.16: -1.22, 0 and 1.22.",
    )
    c.text(14, 26, "[10, 20, 30] goes through the norm", "h")
    for y, words, low, high, values, look in (
        (78, "as they are", 0, 40, (10, 20, 30), "a"),
        (148, "minus the mean, 20", -20, 20, (-10, 0, 10), "d"),
        (218, "divided by the spread, 8.16", -2.45, 2.45, (-1.2247, 0, 1.2247), "c"),
    ):
        c.text(24, y - 20, words, "s")
        c.line(24, y, 396, y, "dim")
        for v in values:
            x = 24 + 372 * (v - low) / (high - low)
            c.dot(x, y, look, 6)
            c.text(x, y + 22, f"{v:.2f}".rstrip("0").rstrip(".") if v else "0", f"s {look}", "middle")
    c.text(24, 264, "spread = √((10² + 0² + 10²) / 3) = √66.7 = 8.16", "k s", size=11)
    c.text(24, 286, "[1, 2, 3] gives the same three numbers: only the pattern is left.", "s dim")
    return c.done(300)


def grows(n: Numbers, kept: Numbers) -> str:
    """The stream grows through the blocks; what enters the branches does not grow with it."""
    found = kept["norms"]
    c = Canvas("The stream grows", "Size of the stream after each block, and of what the norms hand to the branches.")
    c.text(14, 26, "storyteller: sizes on the way up", "h")
    y = axes(c, 44, 330, 48, 270, -1.2, 0.4, [-1, -0.523, 0], plain=False)
    c.shapes = [s.replace(">0.299916<", ">0.3<") for s in c.shapes]
    L = len(found["stream"]) - 1

    def x(k: float) -> float:
        return 44 + 286 * k / L

    stream = [(x(k), y(math.log10(v))) for k, v in enumerate(found["stream"])]
    entering = [(x(k / 2), y(math.log10(v))) for k, v in enumerate(found["entering"])]
    for points, look, words in ((stream, "a", "stream"), (entering, "c", "after norm")):
        c.curve(points, look)
        for at in points:
            c.dot(*at, look, 2.5)
        c.text(338, points[-1][1] + (10 if look == "a" else -4), words, f"s {look}")
    for k in range(L + 1):
        c.text(x(k), 290, str(k), "s dim", "middle")
    c.text(330, 308, "after block (0: embeddings)", "s dim", "end")
    first, last = found["stream"][0], found["stream"][-1]
    c.text(14, 330, f"The stream grows {last / first:.0f} times; what enters a branch, "
           f"{max(found['entering']) / min(found['entering']):.0f} times.", "s dim")  # fmt: skip
    return c.done(344)


def gradients(n: Numbers, kept: Numbers) -> str:
    """How alike the positions' streams become, and the gradient at each block, before the first step of training."""
    c = Canvas(
        "Twelve blocks before training",
        "Without residuals all positions become alike within a few blocks; the gradient does not fall step by step.",
    )
    y = axes(c, 44, 330, 48, 168, 0, 1, [0, 0.5, 1])
    c.text(14, 26, "How alike the tokens' vectors are", "h")

    def x(k: float) -> float:
        return 44 + 286 * k / 12

    for name, look in (("with residuals", "a"), ("without", "b")):
        points = [(x(k), y(v)) for k, v in enumerate(n["alike"][name])]
        c.curve(points, look)
        c.text(336, points[-1][1] + 4, name.split()[0] if look == "b" else "with", f"s {look}")
    c.text(336, y(1) + 18, "residuals", "s dim")
    for k in (0, 4, 8, 12):
        c.text(x(k), 186, str(k), "s dim", "middle")
    c.text(14, 226, "The gradient, as a multiple of that at the end", "h")
    y = axes(c, 44, 330, 244, 366, 0, 3.5, [0, 1, 2, 3])
    for name, look in (("GPT-2", "a"), ("no residuals", "b")):
        g = kept["starts"][name]["gradient"]
        points = [(x(k), y(v / g[-1])) for k, v in enumerate(g)]
        c.curve(points, look)
        at = (x(1.6), points[1][1] + 4) if look == "a" else (x(0.3), points[0][1] - 8)
        c.text(*at, "with" if look == "a" else "without", f"s {look}")
    for k in (0, 4, 8, 12):
        c.text(x(k), 384, str(k), "s dim", "middle")
    c.text(330, 402, "after block (0: embeddings)", "s dim", "end")
    return c.done(414)


def dropout(n: Numbers) -> str:
    """Ten numbers, and three passes of dropout that lose different ones."""
    c = Canvas(
        "Dropout",
        "Ten numbers; in three passes of training some of them, others each time, become 0 and the rest is scaled up.",
    )
    c.text(14, 26, f"Dropout with p = {RATE:g}: three passes of training", "h")
    for r, (name, values) in enumerate(
        (("input", CELLS), *((f"pass {k + 1}", p) for k, p in enumerate(passes())), ("eval", CELLS))
    ):
        y = 44 + 42 * r
        c.text(14, y + 19, name, "s")
        for k, value in enumerate(values):
            x = 58 + 35 * k
            lost = value == 0
            c.box(x, y, 33, 28, "line" if lost else "a", faint=0.25 if lost else min(0.5, 0.1 + 0.4 * abs(value)))
            c.text(
                x + 16.5,
                y + 19,
                "×" if lost else f"{value:.2f}".replace("0.", "."),
                "k s dim" if lost else "k s",
                "middle",
                11,
            )
    y = 44 + 42 * 5
    c.text(14, y + 14, f"× is lost. What is kept is multiplied by 1 / {1 - RATE:g} = {1 / (1 - RATE):.2f}.", "s dim")
    return c.done(y + 28)


def passes() -> list[list[float]]:
    """The three passes, from a fixed seed."""
    draw = torch.rand(3, len(CELLS), generator=torch.Generator().manual_seed(12))
    return [[0.0 if u < RATE else v / (1 - RATE) for u, v in zip(row, CELLS)] for row in draw.tolist()]
