"""Figures of attention: one head step by step, four heads that can be named, what is read and what is written.

In: the numbers of teaching.json. Out: SVG texts. Read next: blocks.py.
"""

from typing import Any

from scripts.guides.teaching.svg import Canvas, blend

Numbers = dict[str, Any]


def steps(n: Numbers) -> str:
    """One head at the last token: scores, weights, and the weighted sum."""
    h, tokens = n["attention"], n["vectors"]["tokens"]
    said = "For the last token of the example: scores of five keys, weights after softmax, the weighted sum of values."
    c = Canvas("One head, step by step", said)
    c.text(14, 26, f"Head {h['address']} at the last token, ·the", "h")
    for x, name in ((120, "query · key"), (206, "÷ √32 = score"), (286, "weight")):
        c.text(x, 52, name, "s dim", "middle")
    c.text(406, 52, "value", "s dim", "end")
    for r, token in enumerate(tokens):
        y = 78 + 34 * r
        weight = h["weights"][r]
        c.box(236, y - 17, 100 * weight + 1.5, 24, "b", faint=0.4)
        c.text(14, y, token, "k")
        c.text(120, y, f"{h['dots'][r]:.1f}", "k s", "middle")
        c.text(206, y, f"{h['scores'][r]:.2f}", "k s", "middle")
        c.text(286, y, f"{weight:.1%}", "k s", "middle")
        c.text(406, y, "  ".join(f"{v:.2f}" for v in h["values"][r]), "k s", "end")
    y = 78 + 34 * len(tokens)
    c.line(14, y - 18, 406, y - 18)
    c.text(14, y, "sum", "h")
    c.text(286, y, "100%", "k s", "middle")
    c.text(406, y, "  ".join(f"{v:.2f}" for v in h["z"]), "k s h", "end")
    c.text(14, y + 26, "The sum is almost the value of ·on, the token before.", "s dim")
    return c.done(y + 40)


def _row(c: Canvas, y: float, tokens: list[str], weights: list[float], look: str) -> float:
    """A sentence in boxes, broken into lines; darker is read more. An arrowhead marks the reader. The y below."""
    x = 14.0
    for i, (token, weight) in enumerate(zip(tokens, weights)):
        width = 12 + 7.4 * len(token)
        if x + width > 408:
            x, y = 14.0, y + 44
        c.box(x, y, width, 24, look, faint=blend(weight) if weight > 0.005 else 0.05)
        if i == len(tokens) - 1:
            c.box(x, y, width, 24, "ink", outline=True)
        c.text(x + width / 2, y + 16, token, "k s", "middle")
        if weight >= 0.05:
            c.text(x + width / 2, y + 37, f"{weight:.0%}", "s dim", "middle")
        x += width + 4
    return y + 44


def heads(n: Numbers) -> str:
    """Four heads, each in one sentence: from where its last token reads."""
    named = {
        "previous": ("reads the previous token", "a"), "first": ("reads the first token: a place to rest", "d"),
        "repeat": ("reads what followed the first “blue”", "b"), "pronoun": ("reads who the story is about", "c"),
    }  # fmt: skip
    c = Canvas(
        "Four heads that can be named", "In four sentences, how much the last token reads from each token before it."
    )
    y = 30.0
    for name, (words, look) in named.items():
        h = n["heads"][name]
        c.text(14, y, h["address"], f"h {look}")
        c.text(92, y, words, "s")
        y = _row(c, y + 10, h["tokens"], h["row"], look) + 22
    c.text(14, y - 4, "The framed token reads. A stronger colour: more is read from it.", "s dim")
    return c.done(y + 10)


def circuits(n: Numbers) -> str:
    """The two halves of a head: how much it reads from each token, and what it adds to "she" over "he" from there."""
    h = n["heads"]["pronoun"]
    said = "For each token: how much a head reads from it, and what that adds to the lead of she over he."
    c = Canvas("Where it reads, and what it writes", said)
    c.text(14, 26, f"Head {h['address']} after “{h['text']}”", "h")
    c.text(84, 50, "where it reads (weight)", "s a")
    c.text(256, 50, "what it adds to she − he", "s b")
    for r, (token, weight, adds) in enumerate(zip(h["tokens"], h["row"], h["adds"])):
        y = 62 + 27 * r
        c.text(76, y + 14, token, "k s", "end")
        c.box(84, y, 120 * weight + 1, 20, "a", faint=0.55)
        c.text(90 + 120 * weight, y + 14, f"{weight:.0%}", "s")
        width = 100 * abs(adds) / max(map(abs, h["adds"]))
        c.box(262 - (width if adds < 0 else 0), y, width + 1, 20, "b", faint=0.55)
        c.text(268 + (width if adds > 0 else 0), y + 14, f"{adds:+.2f}".replace("-0.00", "+0.00"), "s")
    y = 62 + 27 * len(h["tokens"])
    c.line(262, 58, 262, y, "dim")
    c.text(14, y + 18, "It reads Lily three times as much as ·girl, but ·girl adds more.", "s dim")
    return c.done(y + 32)
