"""Figures of the head, of choosing a token, and of training: probabilities, four ways to choose, one step, positions.

In: the numbers of teaching.json. Out: SVG texts. Read next: costs.py.
"""

from typing import Any

from scripts.guides.teaching.blocks import axes
from scripts.guides.teaching.svg import Canvas

Numbers = dict[str, Any]


def head(n: Numbers) -> str:
    """Six logits, and what softmax makes of them."""
    found = n["next"]
    c = Canvas("Logits and probabilities", "The six highest logits after the example, and their probabilities.")
    c.text(14, 26, "After “The cat sat on the”", "h")
    for x, words, anchor in ((84, "token", "end"), (134, "logit", "end"), (150, "probability", "start")):
        c.text(x, 50, words, "s dim", anchor)
    p = found["ways"]["as it is"]["p"]
    for r, (token, logit, share) in enumerate(zip(found["tokens"], found["logits"], p)):
        y = 60 + 28 * r
        c.text(84, y + 15, token, "k s", "end")
        c.text(134, y + 15, f"{logit:.2f}", "k s", "end")
        c.box(150, y, 640 * share + 1, 20, "d", faint=0.6)
        c.text(158 + 640 * share, y + 15, f"{share:.1%}", "s")
    y = 60 + 28 * 6
    c.text(84, y + 15, "8,186 more", "s dim", "end")
    rest = 1 - sum(p)
    c.text(150, y + 15, f"together {rest:.1%}", "s dim")
    return c.done(y + 32)


def choose(n: Numbers) -> str:
    """Greedy, temperature, top-k and top-p, side by side."""
    found = n["next"]
    c = Canvas(
        "Ways to choose a token", "The same six tokens under five ways to choose: how likely each is to be taken."
    )
    c.text(14, 26, "How likely each token is to be chosen", "h")
    ways = {"greedy": {"p": [1.0, 0, 0, 0, 0, 0], "left": 1}, **found["ways"]}
    names = {
        "as it is": "plain",
        "temperature 0.5": "T 0.5",
        "temperature 1.5": "T 1.5",
        "top-k 3": "top-k 3",
        "top-p 0.5": "top-p 0.5",
    }
    for k, (name, way) in enumerate(ways.items()):
        x = 78 + 57 * k
        c.text(x + 24, 52, names.get(name, name), "s h", "middle", 10)
        for r, share in enumerate(way["p"]):
            y = 62 + 30 * r
            c.box(x, y, 50, 24, "line", faint=0.25)
            c.box(x, y, 50 * share, 24, "d", faint=0.45)
            c.text(x + 25, y + 16, f"{share:.0%}" if share else "–", "s" if share else "s dim", "middle")
        c.text(x + 24, 262, f"{way['left']:,}", "s dim", "middle")
    for r, token in enumerate(found["tokens"]):
        c.text(72, 78 + 30 * r, token, "k s", "end", 11)
    c.text(72, 262, "tokens left", "s dim", "end", 11)
    return c.done(278)


def step(n: Numbers) -> str:
    """One step of training: probabilities before and after."""
    s = n["step"]
    c = Canvas(
        "One step of training", "Before and after one step with mat as the right answer: mat rises, the others fall."
    )
    c.text(14, 26, "One step: the right answer is ·mat", "h")
    for x, words in ((178, "before"), (300, "after")):
        c.text(x, 50, words, "s dim", "middle")
    most = max(*s["before"], *s["after"])
    for r, (token, before, after) in enumerate(zip(s["tokens"], s["before"], s["after"])):
        y = 60 + 30 * r
        c.text(92, y + 16, token, "k s h" if r == 0 else "k s", "end")
        for x, value, look in ((104, before, "line"), (236, after, "c" if r == 0 else "b")):
            c.box(x, y, 74 * value / most + 1, 22, look, faint=0.7)
            c.text(x + 8 + 74 * value / most, y + 16, f"{value:.1%}", "s")
        c.text(406, y + 16, "up" if after > before else "down", f"s {'c' if after > before else 'b'}", "end")
    y = 60 + 30 * len(s["tokens"])
    c.text(14, y + 20, f"Loss {s['loss']:.2f} before, {s['loss_after']:.2f} after.", "s dim")
    return c.done(y + 34)


def context(n: Numbers) -> str:
    """The loss by position in the text, with a band."""
    found = n["positions_loss"]
    c = Canvas("Loss by position", "The mean loss in bins of eight positions, with a band of 95 percent.")
    c.text(14, 26, f"Loss by position, {found['stories']} stories", "h")
    y = axes(c, 40, 404, 44, 230, 0, 5, [0, 1, 2, 3, 4, 5])

    def x(k: int) -> float:
        return 40 + 364 * (8 * k + 4) / 128

    band = [(x(k), y(v)) for k, v in enumerate(found["high"])]
    band += [(x(k), y(v)) for k, v in reversed(list(enumerate(found["low"])))]
    c.area(band, "a")
    c.curve([(x(k), y(v)) for k, v in enumerate(found["mean"])], "a")
    for mark in (0, 32, 64, 96, 128):
        c.text(40 + 364 * mark / 128, 250, str(mark), "s dim", "middle")
    c.text(404, 268, "position", "s dim", "end")
    c.text(40, 268, "nats per token; band: 95% interval", "s dim")
    return c.done(282)
