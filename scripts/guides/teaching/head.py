"""Figures of the head, of choosing a token, and of training: probabilities, five ways to choose, one step, positions.

In: the numbers of teaching.json. Out: SVG texts. Read next: costs.py.
"""

import math
from typing import Any

from scripts.guides.teaching.svg import Sheet

Numbers = dict[str, Any]
EXAMPLE = "“The cat sat on the”"


def head(n: Numbers) -> str:
    """Six logits, and what softmax makes of them."""
    found = n["next"]
    c = Sheet("Logits and probabilities", "The six highest logits after the example, and their probabilities.")
    c.text(14, 26, f"After {EXAMPLE}", "h")
    for at, words, anchor in ((76, "token", "end"), (124, "logit", "end"), (136, "probability", "start")):
        c.text(at, 50, words, "s h", anchor)
    p = found["ways"]["as it is"]["p"]
    rest = 1 - sum(p)

    def x(share: float) -> float:
        return 136 + 320 * share

    for mark in (0, 0.25, 0.5):
        c.line(x(mark), 58, x(mark), 258, "dim" if mark == 0 else "line")
        c.text(x(mark), 274, f"{mark:.0%}", "s dim", "middle")
    rows = [*zip(found["tokens"], found["logits"], p), ("8,186 others", None, rest)]
    for r, (token, logit, share) in enumerate(rows):
        y = 62 + 28 * r
        if logit is None:
            c.text(124, y + 14, token, "s", "end")
            c.box(x(0), y, x(share) - x(0), 20, "d", outline=True, round=0)
            c.text(x(0) + 8, y + 14, f"together {share:.1%}", "s h")
            continue
        c.text(76, y + 14, token, "k s", "end")
        c.text(124, y + 14, f"{logit:.2f}", "k s", "end")
        c.box(x(0), y, x(share) - x(0), 20, "d", faint=0.6, round=0)
        c.text(x(share) + 7, y + 14, f"{share:.1%}", "s h")
    total = found["logits"][0] - math.log(p[0])  # the logarithm of softmax's sum
    y_end = c.note(
        300,
        "Probability: e to the power of the logit, divided by the sum of "
        f"these for all 8,192 tokens, which is e to the power of {total:.2f}: "
        f"e^{found['logits'][0]:.2f} / e^{total:.2f} = {p[0]:.1%}.",
    )
    return c.done(y_end)


def choose(n: Numbers) -> str:
    """Greedy, temperature, top-k and top-p, side by side."""
    found = n["next"]
    c = Sheet("Ways to choose a token", "The same six tokens under six ways to choose: how likely each is to be taken.")
    c.text(14, 26, "How likely is each token to be chosen?", "h")
    c.text(14, 46, f"after {EXAMPLE}", "s dim")
    ways = {"greedy": {"p": [1.0, 0, 0, 0, 0, 0], "left": 1}, **found["ways"]}
    names = {
        "greedy": ("", "greedy"),
        "as it is": ("as it", "is"),
        "temperature 0.5": ("T =", "0.5"),
        "temperature 1.5": ("T =", "1.5"),
        "top-k 3": ("top-k", "k=3"),
        "top-p 0.5": ("top-p", "p=0.5"),
    }
    for k, (name, way) in enumerate(ways.items()):
        x = 72 + 46.5 * k
        for r, words in enumerate(names[name]):
            c.text(x + 21, 72 + 15 * r, words, "s h", "middle")
        rest = max(0.0, 1 - sum(way["p"]))
        for r, share in enumerate([*way["p"], rest if rest > 1e-4 else 0.0]):
            y = 96 + 34 * r + (6 if r == 6 else 0)
            c.box(x, y + 17, 42, 8, "line", faint=0.5, round=0)
            if share:
                c.box(x, y + 17, max(42 * share, 1.5), 8, "d", round=0)
            c.text(x + 21, y + 12, f"{share:.0%}" if share else "–", "s" if share else "s dim", "middle")
        c.text(x + 21, 358, f"{way['left']:,}", "s h", "middle")
    for r, token in enumerate([*found["tokens"], "others"]):
        c.text(66, 108 + 34 * r + (6 if r == 6 else 0), token, "s" if r == 6 else "k s", "end")
    c.line(14, 96 + 34 * 6 + 1, 346, 96 + 34 * 6 + 1, "line")
    c.text(66, 358, "can win", "s h", "end")
    y_end = c.note(
        388,
        "T: logits are divided by the temperature. top-k: only the k "
        "likeliest. top-p: only the likeliest that together reach p. "
        "Others: all tokens below the six that are shown. Can win: how many tokens can be chosen at all.",
    )
    return c.done(y_end)


def step(n: Numbers) -> str:
    """One step of training: how many times as likely each token is after it."""
    s = n["step"]
    c = Sheet(
        "One step of training",
        "Before and after one step with mat as the right answer: mat becomes almost three times as likely.",
    )
    c.text(14, 26, "One step; the right answer is ·mat", "h")
    c.text(14, 46, f"after {EXAMPLE}", "s dim")
    for at, words, anchor in ((132, "before", "end"), (194, "after", "end"), (206, "after ÷ before", "start")):
        c.text(at, 72, words, "s h", anchor)
    rest = [1 - sum(s[key]) for key in ("before", "after")]
    rows = [*zip(s["tokens"], s["before"], s["after"]), ("others", *rest)]

    def x(ratio: float) -> float:
        return 206 + 32 * ratio

    floor = 84 + 30 * len(rows)
    for mark in (0, 1, 2, 3):
        c.line(x(mark), 80, x(mark), floor, "dim" if mark == 1 else "line", 1.4 if mark == 1 else 1)
        c.text(x(mark), floor + 16, f"×{mark}" if mark else "0", "s dim", "middle")
    for r, (token, before, after) in enumerate(rows):
        y = 86 + 30 * r
        ratio = after / before
        look = "k s h" if r == 0 else "s" if token == "others" else "k s"
        c.text(14, y + 15, token, look)
        c.text(132, y + 15, f"{before:.2%}", "k s", "end")
        c.text(194, y + 15, f"{after:.2%}", "k s", "end")
        a, b = sorted((x(1), x(ratio)))
        c.box(a, y, max(b - a, 1.5), 22, "d", faint=0.9 if r == 0 else 0.55, round=0)
        c.box(b + 3, y + 4, 40, 15, "bg", round=0)
        c.text(b + 6, y + 15, f"×{ratio:.2f}", "s h" if r == 0 else "s")
    y_end = c.note(
        floor + 42,
        "A bar to the right of ×1: the token has become likelier; to the "
        "left: less likely. Others: all tokens that are not shown. "
        f"Loss: {s['loss']:.2f} nats before, {s['loss_after']:.2f} nats after.",
    )
    return c.done(y_end)


def context(n: Numbers) -> str:
    """The loss by position in the text, with a band."""
    found = n["positions_loss"]
    c = Sheet("Loss by position", "The mean loss in bins of eight positions, with a band of 95 percent.")
    c.text(14, 26, f"Loss by position, mean of {found['stories']} stories", "h")
    c.text(14, 46, "nats per token (the axis begins at 2)", "s dim")
    y = c.axes(36, 346, 60, 250, 2, 5, {2: "2", 3: "3", 4: "4", 5: "5"})

    def x(k: int) -> float:
        return 36 + 306 * (8 * k + 4) / 128

    low, high = found["low"], found["high"]
    band = [(x(k), y(v)) for k, v in enumerate(high)]
    c.area(band + [(x(k), y(v)) for k, v in reversed(list(enumerate(low)))], "dim", 0.22)
    line = [(x(k), y(v)) for k, v in enumerate(found["mean"])]
    c.curve(line, "ink")
    for at in line:
        c.dot(*at, "ink", 3)
    for mark in (0, 32, 64, 96, 128):
        c.text(36 + 306 * mark / 128, 270, str(mark), "s dim", "middle")
    c.text(346, 287, "position in the text", "s dim", "end")
    fall, least, most = found["fall"]
    y_end = c.note(
        312,
        "Each point: the mean of 8 positions. Band: its 95% interval. "
        "Single humps need not mean anything: stories differ, and the bands overlap. "
        "Story by story, the last 32 positions cost less than the first 8 "
        f"by {fall:.2f} nats on average (95% interval: {least:.2f} to {most:.2f}).",
    )
    return c.done(y_end)
