"""Figures of attention: one head as a whole, four heads that can be named, what is read and what is written.

In: the numbers of teaching.json. Out: SVG texts. Read next: blocks.py.
"""

from typing import Any

from scripts.guides.teaching.svg import Sheet, blend

Numbers = dict[str, Any]
LEFT, CELL = 54, 60  # of a table of readers by tokens: where its cells begin, and how wide one is


def pattern(n: Numbers) -> str:
    """One head over the whole example: masked scores above, the weights that softmax makes of each row below."""
    h, tokens = n["attention"], n["vectors"]["tokens"]
    said = (
        "Two tables of five readers by five tokens: the scores, with later tokens masked, and the weights in percent."
    )
    c = Sheet("Scores, mask, weights", said)
    c.text(14, 26, f"Head {h['address']} on the whole sentence", "h")
    y = 50.0
    for name, rows in (
        ("Steps 1 and 2: scores, ÷ √32, masked", h["scores"]),
        ("Step 3: weights (a row sums to 100%)", h["weights"]),
    ):
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
                    c.box(left, top, CELL - 3, 24, "b", faint=blend(x))
                    word = f"{x:.0%}"
                c.text(left + (CELL - 3) / 2, top + 17, word, "k s", "middle")
        y += 30 + 27 * len(tokens) + 26
    c.text(14, y - 10, "Left: the token that reads. Above: which it reads.", "s dim")
    return c.done(y + 4)


def _row(c: Sheet, y: float, tokens: list[str], weights: list[float]) -> float:
    """A sentence in boxes, broken into lines; darker is read more. A frame marks the reader. The y below."""
    x = 14.0
    for i, (token, weight) in enumerate(zip(tokens, weights)):
        width = max(12 + 7.4 * len(token), 40.0 if weight >= 0.05 else 0.0)
        if x + width > 340:
            c.text(x + 2, y + 26, "↩", "s dim")
            x, y = 14.0, y + 46
        c.box(x, y, width, 38, "b", faint=blend(weight) if weight > 0.005 else 0.08)
        if i == len(tokens) - 1:
            c.box(x, y, width, 38, "ink", outline=True)
        c.text(x + width / 2, y + 16, token, "k s", "middle")
        if weight >= 0.05:
            c.text(x + width / 2, y + 32, f"{weight:.0%}", "s h", "middle")
        x += width + 4
    return y + 38


def heads(n: Numbers) -> str:
    """Four heads, each in one sentence: from where its last token reads."""
    named = {
        "previous": "reads the previous token", "first": "reads the first token",
        "repeat": "reads what followed the first “blue”", "pronoun": "reads Lily and ·girl",
    }  # fmt: skip
    said = "In four sentences, how much the last token reads from each token before it."
    c = Sheet("Four heads in four sentences", said)
    c.text(14, 26, "From where the framed token reads", "h")
    y = 54.0
    for name, words in named.items():
        h = n["heads"][name]
        c.text(14, y, h["address"], "h b s")
        c.text(84, y, words, "s")
        y = _row(c, y + 10, h["tokens"], h["row"]) + 28
    return c.done(c.note(y - 4, "In a box: the token's share, where it is 5% or more.") - 4)


def circuits(n: Numbers) -> str:
    """The two halves of a head: how much it reads from each token, and what it adds to "she" over "he" from there."""
    h = n["heads"]["pronoun"]
    said = "For each token: how much a head reads from it, and what that adds to the lead of she over he, in logits."
    c = Sheet("Where it reads, and what it writes", said)
    c.text(14, 26, f"{h['address']} after “{h['text']}”", "h")
    c.text(74, 50, "where it reads", "s b")
    c.text(214, 50, "what it adds, in logits", "s d")
    c.text(214, 66, "·she minus ·he", "s d k")
    zero = 222
    for r, (token, weight, adds) in enumerate(zip(h["tokens"], h["row"], h["adds"])):
        y = 76 + 27 * r
        c.text(68, y + 14, token, "k s", "end")
        c.box(74, y, 90 * weight + 1, 20, "b", faint=0.55)
        c.text(79 + 90 * weight, y + 14, f"{weight:.0%}", "s")
        width = 80 * abs(adds) / max(map(abs, h["adds"]))
        c.box(zero - (width if adds < 0 else 0), y, width + 1, 20, "d", faint=0.55)
        c.text(zero + 6 + (width if adds > 0 else 0), y + 14, f"{adds:+.2f}".replace("-0.00", "+0.00"), "s")
    y = 76 + 27 * len(h["tokens"])
    c.line(zero, 72, zero, y, "dim")
    return c.done(c.note(y + 18, "It reads Lily three times as much as ·girl, but ·girl adds more.") - 4)
