"""Figures of attention: one head as a whole, four heads that can be named, what is read and what is written.

In: the numbers of teaching.json. Out: SVG texts. Read next: blocks.py.
"""

from typing import Any

from scripts.guides.teaching.svg import Canvas, blend

Numbers = dict[str, Any]
LEFT, CELL = 74, 66  # of a table of readers by tokens: where its cells begin, and how wide one is


def pattern(n: Numbers) -> str:
    """One head over the whole example: masked scores above, the weights that softmax makes of each row below."""
    h, tokens = n["attention"], n["vectors"]["tokens"]
    said = "Two tables of five readers by five tokens: the scores, with later tokens masked, and the weights in percent."
    c = Canvas("Scores, mask, weights", said)
    c.text(14, 26, f"Head {h['address']}, whole sentence", "h")
    y = 50.0
    for name, rows in (("1 and 2: scores, ÷ √32, masked", h["scores"]), ("3: weights (each row sums to 100%)", h["weights"])):
        c.text(14, y, name, "s")
        for k, token in enumerate(tokens):
            c.text(LEFT + CELL * (k + 0.5), y + 22, token, "k s dim", "middle")
        for r, token in enumerate(tokens):
            top = y + 30 + 27 * r
            c.text(LEFT - 8, top + 17, token, "k s", "end")
            for k, x in enumerate(rows[r]):
                left = LEFT + CELL * k
                if k > r:
                    c.box(left, top, CELL - 3, 24, "line", faint=0.45)
                    word = "−∞" if rows is h["scores"] else "0"
                elif rows is h["scores"]:
                    c.box(left, top, CELL - 3, 24, "line", outline=True)
                    word = f"{x:.2f}".replace("-", "−")
                else:
                    c.box(left, top, CELL - 3, 24, "a", faint=blend(x))
                    word = f"{x:.0%}"
                c.text(left + (CELL - 3) / 2, top + 17, word, "k s", "middle")
        y += 30 + 27 * len(tokens) + 26
    c.text(14, y - 10, "Left: the token that reads. Above: the token that is read.", "s dim")
    return c.done(y + 4)


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
        "previous": ("reads the previous token", "a"), "first": ("reads the first token", "d"),
        "repeat": ("reads what followed the first “blue”", "b"), "pronoun": ("reads Lily and ·girl", "c"),
    }  # fmt: skip
    c = Canvas(
        "Four heads in four sentences", "In four sentences, how much the last token reads from each token before it."
    )
    y = 30.0
    for name, (words, look) in named.items():
        h = n["heads"][name]
        c.text(14, y, h["address"], f"h {look}")
        c.text(92, y, f"{words} (here)", "s")
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
    c.text(240, 50, "adds to logit of she − of he", "s b")
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
