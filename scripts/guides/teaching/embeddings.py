"""Figures of the first sections: the whole model at a glance, byte pairs, token vectors, position vectors.

In: the numbers of teaching.json. Out: SVG texts. Read next: wordmap.py.
"""

from typing import Any

from scripts.guides.teaching.svg import Sheet

Numbers = dict[str, Any]
STREAMS = (33, 75, 117, 159, 272)  # of the five tokens in the overview; the last one is meant


def overview(n: Numbers) -> str:
    """The way of a text through the model, bottom to top, with the components by the names of their sections."""
    c = Sheet(
        "The whole model", "From bottom to top: text, tokens, vectors, a stream to which blocks add, a prediction."
    )
    *others, main = STREAMS
    c.text(14, 26, "Read this from the bottom to the top", "s dim")
    c.text(180, 508, "“The cat sat on the”", "h", "middle")
    for x, token in zip(STREAMS, n["vectors"]["tokens"]):
        c.arrow(x, 466, x, 448, "dim")
        c.box(x - 20, 466, 40, 24, "line", faint=0.5)
        c.text(x, 482, token, "k s", "middle")
        c.line(x, 412, x, 156 if x == main else 150, "a", 6 if x == main else 2.5)
        half, tip = (9, 135) if x == main else (5, 140)
        c.area([(x - half, tip + 18), (x + half, tip + 18), (x, tip)], "a", 1)
    c.box(14, 414, 332, 32, "a", faint=0.18)
    c.text(180, 434, "token vector + position vector, for each token", "s", "middle")
    for y, name in ((402, "block 0"), (292, "block 1")):
        c.box(14, y - 104, 332, 100, "dim", outline=True, round=5)
        c.text(182, y - 84, name, "s h")
        c.box(182, y - 54, 66, 40, "b", faint=0.22)
        c.text(215, y - 37, "norm,", "s", "middle")
        c.text(215, y - 22, "attention", "s", "middle")
        c.line(others[0], y - 26, 176, y - 26, "b", 1.6)  # reads the tokens before,
        for x in others:
            c.dot(x, y - 26, "b", 3.5)
        c.arrow(176, y - 26, 182, y - 26, "b", 1.6)
        c.dot(main, y - 24, "b", 3.5)
        c.arrow(main - 4, y - 24, 249, y - 24, "b", 1.6)  # and its own,
        c.arrow(248, y - 44, main - 4, y - 44, "b", 1.6)  # and adds to its own
        c.box(296, y - 98, 46, 40, "c", faint=0.22)
        c.text(319, y - 81, "norm,", "s", "middle")
        c.text(319, y - 66, "MLP", "s", "middle")
        c.dot(main, y - 66, "c", 3.5)
        c.arrow(main + 4, y - 66, 295, y - 66, "c", 1.6)
        c.arrow(296, y - 88, main + 4, y - 88, "c", 1.6)
    c.text(182, 160, "… 6 more", "s dim")
    c.text(182, 176, "blocks …", "s dim")
    c.box(main - 66, 106, 132, 28, "d", faint=0.25)
    c.text(main, 125, "norm, then head", "s", "middle")
    c.arrow(main, 106, main, 88, "d")
    best = n["next"]
    found = list(zip(best["tokens"], best["ways"]["as it is"]["p"]))[:3]
    c.text(346, 80, ", ".join(f"{t} {p:.0%}" for t, p in found) + ", …", "k s", "end")
    c.text(346, 56, "a probability for each of 8,192 tokens", "s h d", "end")
    c.text(14, 112, "These four predict,", "s dim")
    c.text(14, 128, "too: not drawn.", "s dim")
    c.line(20, 530, 20, 548, "a", 6)
    end = c.note(
        536,
        "The stream of the last token, in full; thin: those of the "
        "other four. Attention reads all five, the MLP only its own. "
        "Both add what they find to the stream.",
        x=34,
    )
    return c.done(end)


def merges(n: Numbers) -> str:
    """A word put together by byte-pair merges, one line per merge."""
    word = "unbelievable"
    found = n["pieces"]["words"][word]
    words = "Letters are joined pair by pair, the pair that was learned first before the others."
    c = Sheet(f"Byte-pair merges of {word}", words)
    c.text(14, 26, f"“{word}”: from 12 letters to {len(found['ids'])} tokens", "h")
    before: list[str] = []
    y = 40.0
    for k, step in enumerate(found["steps"]):
        x = 14.0
        c.text(14, y + 12, f"merge {step['rank']} joins" if step["rank"] else "the letters", "s dim")
        if k:
            c.text(126, y + 12, " + ".join(pair(before, step["pieces"])), "k s h")
        for piece in step["pieces"]:
            width = 23 + 8 * (len(piece) - 1)
            new = k > 0 and piece not in before
            c.box(x, y + 18, width, 24, "line", faint=0.5)
            if new:
                c.box(x, y + 18, width, 24, "ink", outline=True)
            c.text(x + width / 2, y + 34, piece, "k s h" if new else "k s", "middle")
            x += width + 4
        before, y = step["pieces"], y + 54
    c.text(14, y + 12, "the six tokens and their ids", "s dim")
    for k, (piece, number) in enumerate(zip(before, found["ids"])):
        c.box(14 + 56 * k, y + 18, 50, 40, "line", faint=0.5)
        c.text(39 + 56 * k, y + 34, piece, "k s h", "middle")
        c.text(39 + 56 * k, y + 51, str(number), "k s", "middle")
    y = c.note(
        y + 80,
        "Merge 47 is the 47th that the tokenizer learned. Framed: the new piece. Of all pairs that are in the list of "
        "merges, the one with the lowest number is joined first. Where no pair is in the "
        "list any more, the cut is done; it need not suit the meaning.",
    )
    return c.done(y)


def pair(before: list[str], after: list[str]) -> tuple[str, str]:
    """The two pieces that a merge joined."""
    k = next(k for k, piece in enumerate(after) if piece != before[k])
    return before[k], before[k + 1]


def adds_up(v: Numbers) -> int:
    """The first of the three coordinates in which sums of rounded numbers are the rounded sums, in two decimals.

    Raises StopIteration where there is none.
    """
    return next(k for k in range(3) if all(
        round(100 * round(t[k], 2)) + round(100 * round(p[k], 2)) == round(100 * round(s[k], 2))
        for t, p, s in zip(v["tok"], v["pos"], v["sum"])
    ))  # fmt: skip


def positions(n: Numbers) -> str:
    """Token plus position for the example, one number each; and how alike the position vectors are."""
    v = n["vectors"]
    k = adds_up(v)
    words = "One number of five token vectors, five position vectors and their sums; below, cosines of position 100."
    c = Sheet("Token plus position", words)
    c.text(14, 26, "What the first block gets: the sum", "h")
    for at, lines in ((170, ("token", "vector")), (256, ("+ position", "vector")), (346, ("= their", "sum"))):
        for r, words in enumerate(lines):
            c.text(at, 50 + 15 * r, words, "s h", "end")
    for r, token in enumerate(v["tokens"]):
        row = 88 + 22 * r
        c.text(14, row, f"{r}", "s dim")
        c.text(34, row, token, "k s")
        for at, key, sign in ((170, "tok", ""), (256, "pos", "+ "), (346, "sum", "= ")):
            c.text(at, row, f"{v[key][r][k]:.2f}", "k s h" if key == "sum" else "k s", "end")
            if sign:
                c.text(at - 58, row, sign.strip(), "s dim", "end")
    ordinal = ("first", "second", "third")[k]
    c.text(14, 206, f"The {ordinal} of the 352 numbers; left: the position.", "s dim")
    c.text(14, 246, "How alike are position vectors?", "h")
    c.text(14, 266, "cosine with that of position 100 (1: same direction)", "s dim")
    floor = 420
    y = c.axes(44, 346, 286, floor, -0.2, 1.05, {0: "0", 0.5: "0.5", 1: "1"})
    cosines = v["position_cosines"]

    def x(position: float) -> float:
        return 46 + 298 * position / 512

    c.line(x(100), y(1), x(100), floor, "dim", 1, "3 3")
    drawn = [(x(8 * k), y(value)) for k, value in enumerate(cosines)]
    c.curve(drawn, "a")
    c.dot(x(100), y(1), "a", 4)
    c.text(x(100) + 8, y(1) + 15, "100 with itself: 1", "s a")
    near = cosines[100 // 8 : 100 // 8 + 2]
    c.text(x(190), y(0.66), f"its neighbours: {max(near):.2f}", "s a")
    for mark in (0, 100, 200, 300, 400, 500):
        c.text(x(mark), floor + 18, str(mark), "s dim", "middle")
    c.text(346, floor + 35, "position", "s dim", "end")
    far = max(range(38, 64), key=lambda k: cosines[k])
    end = c.note(
        floor + 60,
        f"Every 8th position is drawn. Position 100 is 1 with itself; even the nearest that are drawn, 96 and 104, "
        f"reach only {max(near):.2f}, as each position has a vector of its own. The hump "
        f"at {8 * far} ({cosines[far]:.2f}) is measured; why it is there is not known here.",
    )
    return c.done(end)
