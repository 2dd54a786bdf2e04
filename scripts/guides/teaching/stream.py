"""Figures of the stream: the river, the two paths, how it grows, and what residual connections do before training.

In: the numbers of teaching.json and measured.json. Out: SVG texts. Read next: blocks.py.
"""

import math
from typing import Any

from scripts.guides.teaching.svg import Sheet

Numbers = dict[str, Any]


def river(n: Numbers) -> str:
    """The river with its tributaries: the last token's stream, its length after each block and what is added."""
    s = n["stream"]
    norms, pitch, scale = s["norms"], 50, 1.55  # units per unit of length, on each side of the middle
    c = Sheet(
        "The river", "The stream of one token, bottom to top: every block's attention and MLP add to it, and it grows."
    )
    c.text(14, 26, "The stream of ·the, and what is added to it", "h")
    for x, words, look, anchor in (
        (100, ("attention", "adds"), "b", "end"), (150, ("the", "stream"), "a", "middle"),
        (196, ("MLP", "adds"), "c", "start"), (284, ("", "length"), "a", "end"),
        (346, ("likeliest", "token"), "d", "end"),
    ):  # fmt: skip
        for k, word in enumerate(words):
            c.text(x, 54 + 15 * k, word, f"s h {look}", anchor)
    top, centre = 104, 150
    base = top + pitch * 8
    ys = [base - pitch * k for k in range(9)]
    sides = [[(centre + d * scale * v, y) for v, y in zip(norms, ys)] for d in (-1, 1)]
    c.area([*sides[0], *reversed(sides[1])], "a", 0.35)
    for k in range(8):
        c.text(14, ys[k] - pitch / 2 + 4, f"block {k}", "s dim")
        for side, kind, look, up in ((-1, "attn", "b", 0.28), (1, "mlp", "c", 0.72)):
            length, y = s[kind][k], ys[k] - pitch * up
            edge = centre + side * scale * (norms[k] + (norms[k + 1] - norms[k]) * up)
            half = scale * length  # the arm is as thick as it is long in the stream's own scale
            back, neck = edge + side * 26, edge + side * (6 + half * 0.5)
            c.area([(back, y - half), (neck, y - half), (edge, y), (neck, y + half), (back, y + half)], look, 0.62)
            c.text(back + side * 6, y + 4, f"{length:.1f}", f"s {look}", "end" if side < 0 else "start")
    for k, v in enumerate(norms):
        c.line(centre + scale * v + 4, ys[k], 256, ys[k], "line", 1, "2 4")
        c.text(284, ys[k] + 4, f"{v:.1f}", "s h a", "end")
        c.text(346, ys[k] + 4, s["says"][k]["token"], "k s", "end")
    c.arrow(centre, top - 2, centre, top - 20, "a", 3)
    c.text(centre, base + 20, "token vector + position vector", "s a", "middle")
    y = c.note(
        base + 44,
        "Widths show lengths, all on one scale. Lengths do not add up: "
        f"{norms[0]:.1f}, {s['attn'][0]:.1f} and {s['mlp'][0]:.1f} make {norms[1]:.1f}, because vectors "
        "point in different directions. Likeliest token: what the model "
        "would say if the stream ended there.",
    )
    return c.done(y)


def paths(n: Numbers) -> str:
    """The two paths of a residual connection, with three of the model's numbers."""
    one = n["stream"]["one"]
    c = Sheet("Two paths", "The input goes straight on and is added to what norm and attention made of it.")
    c.text(14, 26, "new x = x + attention(norm(x))", "k h")
    for y, words, values, look in (
        (92, "new x: the sum", one["mid"], "a"), (190, "attention adds", one["attn"], "b"),
        (300, "x, as it comes in", one["before"], "a"),
    ):  # fmt: skip
        c.text(346, y - 20, words, f"s h {look}", "end")
        for k, value in enumerate(values):
            c.text(232 + 57 * k, y, f"{value:+.3f}", f"k s {look}", "end")
    c.line(186, 104, 346, 104, "dim")
    x, side = 40, 126
    c.path(f"M{x} 312V104", "a", 5)
    c.arrow(x, 84, x, 52, "a", 5)
    c.dot(x, 270, "b", 4.5)
    c.path(f"M{x} 270H{side}", "b", 2)
    c.arrow(side, 270, side, 249, "b", 2)
    c.box(side - 42, 220, 84, 28, "line", faint=0.5)
    c.text(side, 239, "norm", "", "middle")
    c.arrow(side, 220, side, 193, "b", 2)
    c.box(side - 42, 164, 84, 28, "b", faint=0.28)
    c.text(side, 183, "attention", "", "middle")
    c.path(f"M{side} 164V95", "b", 2)
    c.arrow(side, 95, x + 12, 95, "b", 2)
    c.dot(x, 95, "ink", 11)
    c.text(x, 100, "+", "h bg", "middle", 16)
    c.text(x + 10, 128, "path 1:", "s a")
    c.text(x + 10, 144, "straight on", "s a")
    c.text(x + 10, 262, "path 2", "s b")
    end = c.note(
        342,
        "Block 0, last token, the first 3 of 352 numbers. Each number "
        "at the top is the sum of the two that stand below it.",
    )
    return c.done(end)


def grows(n: Numbers, kept: Numbers) -> str:
    """The stream grows through the blocks; what enters the branches grows less."""
    found = kept["norms"]
    c = Sheet("The stream grows", "Size of the stream after each block, and of what the norms hand to the branches.")
    c.text(14, 26, "Sizes in storyteller, block by block", "h")
    c.text(14, 48, "size of a number in the vector (root mean square)", "s dim")
    marks = {math.log10(v): f"{v:g}" for v in (0.1, 0.2, 0.5, 1, 2)}
    y = c.axes(44, 346, 60, 280, math.log10(0.07), math.log10(2.1), marks)
    L = len(found["stream"]) - 1

    def x(k: float) -> float:
        return 52 + 284 * k / L

    stream = [(x(k), y(math.log10(v))) for k, v in enumerate(found["stream"])]
    c.curve(stream, "a")
    for at in stream:
        c.dot(*at, "a", 3)
    for k, value in enumerate(found["entering"]):
        at = (x(k / 2 + 0.25), y(math.log10(value)))
        if k % 2:
            c.area([(at[0] - 4, at[1] + 3.5), (at[0] + 4, at[1] + 3.5), (at[0], at[1] - 4)], "c", 1)
        else:
            c.box(at[0] - 3.2, at[1] - 3.2, 6.4, 6.4, "b", round=0)
    for k in range(L + 1):
        c.text(x(k), 300, str(k), "s dim", "middle")
    c.text(346, 318, "after so many blocks (0: the embeddings)", "s dim", "end")
    first, last = found["stream"][0], found["stream"][-1]
    c.dot(19, 338, "a", 3.5)
    c.text(30, 342, f"the stream: {last / first:.0f} times as large at the end", "s")
    c.box(15.8, 352.8, 6.4, 6.4, "b", round=0)
    attn, mlp = found["entering"][::2], found["entering"][1::2]
    c.text(30, 360, f"what attention reads, after its norm: {attn[0]:.2f} to {attn[-1]:.2f}", "s")
    c.area([(15, 377.5), (23, 377.5), (19, 370)], "c", 1)
    c.text(30, 378, f"what the MLP reads, after its norm: {mlp[0]:.2f} to {mlp[-1]:.2f}", "s")
    y_end = c.note(
        402,
        "The scale is logarithmic: each rule is about twice the one below. "
        "Each norm has weights of its own, so its output is not always 1.",
    )
    return c.done(y_end)


def gradients(n: Numbers, kept: Numbers) -> str:
    """How alike the positions' streams become, and the gradient at each block, before the first step of training."""
    c = Sheet(
        "Twelve blocks before training",
        "Without residuals all positions become alike within a few blocks; the gradient does not fall step by step.",
    )

    def x(k: float) -> float:
        return 50 + 290 * k / 12

    def blocks(y: float) -> None:
        for k in (0, 2, 4, 6, 8, 10, 12):
            c.text(x(k), y, str(k), "s dim", "middle")
        c.text(340, y + 17, "after so many blocks (0: the embeddings)", "s dim", "end")

    c.text(14, 26, "How alike are the tokens' vectors?", "h")
    c.text(14, 46, "mean cosine of two tokens of a text (1: same direction)", "s dim")
    y = c.axes(44, 346, 66, 176, 0, 1, {0: "0", 0.5: "0.5", 1: "1"})
    for name, look, dash, at in (("with residuals", "a", "", (-30, -10)), ("without", "ink", "6 4", (-30, 18))):
        values = n["alike"][name]
        c.curve([(x(k), y(v)) for k, v in enumerate(values)], look, 2, dash)
        words = name if look == "a" else "without residuals"
        c.text(340, y(values[-1]) + at[1], words, f"s {look}", "end")
    blocks(194)
    c.text(14, 246, "How large is the gradient?", "h")
    c.text(14, 266, "length of the loss's gradient on a token's stream", "s dim")
    y = c.axes(44, 346, 284, 404, 0, 0.3, {0: "0", 0.1: "0.1", 0.2: "0.2", 0.3: "0.3"})
    both = {look: kept["starts"][name]["gradient"] for name, look in (("GPT-2", "a"), ("no residuals", "ink"))}
    for look, values in both.items():
        c.curve([(x(k), y(v)) for k, v in enumerate(values)], look, 2, "" if look == "a" else "6 4")
        for k, v in enumerate(values):
            c.dot(x(k), y(v), look, 2.2)
    c.text(x(1) + 6, y(both["a"][1]) - 8, "with residuals", "s a")
    c.text(x(11) - 2, y(0.225), "without residuals", "s", "end")
    blocks(422)
    a, b = both["a"], both["ink"]
    y_end = c.note(
        466,
        "The gradient runs from right to left. Without residuals it falls once, in the last block, from "
        f"{b[-1]:.2f} to {b[-2]:.2f}; the other eleven blocks take it only to {b[0]:.2f}. With them it grows "
        f"from {a[-1]:.2f} to {a[0]:.2f}. So it does not vanish block by block. A fresh model of 12 blocks, before "
        "the first step of training.",
    )
    return c.done(y_end)
