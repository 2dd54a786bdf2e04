"""Figures of the first sections: the whole model at a glance, byte pairs, token vectors, position vectors.

In: the numbers of teaching.json. Out: SVG texts. Read next: attention.py.
"""

from typing import Any

from scripts.guides.teaching.svg import KINDS, Canvas

Numbers = dict[str, Any]


def overview(n: Numbers) -> str:
    """The way of a text through the model, bottom to top, with the components by the names of their sections."""
    c = Canvas(
        "The whole model", "From bottom to top: text, tokens, vectors, a stream to which blocks add, a prediction."
    )
    middle = 210
    c.path(f"M{middle} 372V92", "a", 12, faint=0.35)
    c.text(middle, 424, "“The cat sat on the”", "h", "middle")
    tokens = n["vectors"]["tokens"]
    for i, token in enumerate(tokens):
        c.box(62 + 60 * i, 384, 54, 22, "line", faint=0.5)
        c.text(89 + 60 * i, 399, token, "k s", "middle")
    c.text(12, 399, "tokens", "s dim")
    c.text(12, 346, "token vector", "s")
    c.text(12, 362, "+ position vector", "s")
    c.arrow(112, 352, middle - 8, 352, "a")
    c.text(middle + 12, 356, "the stream: one vector per token", "s a")
    for y, name in ((300, "block 0"), (222, "block 1")):
        c.box(28, y - 36, 364, 66, "line", faint=0.25)
        c.text(36, y - 20, name, "s dim")
        for x, side, up, words, look in ((96, -1, 9, "attention", "b"), (324, 1, -15, "MLP", "c")):
            c.box(x - 52, y + up - 13, 104, 26, look, faint=0.22)
            c.text(x, y + up + 4, words, "", "middle")
            c.arrow(middle + 6 * side, y + up + 14, x - 54 * side, y + up + 5, look, 1.2)  # reads
            c.arrow(x - 54 * side, y + up - 5, middle + 8 * side, y + up - 13, look, 1.2)  # and adds, above that
    c.text(middle - 16, 160, "… 6 more blocks …", "s dim", "end")
    c.text(middle + 16, 152, "each branch reads the stream", "s dim")
    c.text(middle + 16, 168, "through a norm and adds to it", "s dim")
    c.box(middle - 70, 96, 140, 26, "bg")
    c.box(middle - 70, 96, 140, 26, "d", faint=0.3)
    c.text(middle, 113, "norm, then head", "", "middle")
    c.arrow(middle, 92, middle, 72, "d")
    best = n["next"]
    words = "   ".join(f"{t} {p:.0%}" for t, p in list(zip(best["tokens"], best["ways"]["as it is"]["p"]))[:3])
    c.text(middle, 60, words, "k", "middle")
    c.text(middle, 30, "a probability for each of 8,192 tokens", "h", "middle")
    return c.done(440)


def merges(n: Numbers) -> str:
    """A word put together by byte-pair merges, one line per merge."""
    word = "unbelievable"
    found = n["pieces"]["words"][word]
    words = "Letters are joined pair by pair, the pair that was learned first before the others."
    c = Canvas(f"Byte-pair merges of {word}", words)
    c.text(14, 26, f"From letters to {len(found['ids'])} tokens", "h")
    before: list[str] = []
    for k, step in enumerate(found["steps"]):
        y, x = 46 + 34 * k, 14.0
        for piece in step["pieces"]:
            width = 20 + 8 * (len(piece) - 1)
            new = k > 0 and piece not in before
            c.box(x, y, width, 24, "b" if new else "line", faint=0.35 if new else 0.5)
            c.text(x + width / 2, y + 16, piece, "k", "middle")
            x += width + 4
        said = f"merge {step['rank']}" if step["rank"] else "letters"
        c.text(408, y + 16, said, "s dim", "end")
        before = step["pieces"]
    last = 46 + 34 * len(found["steps"])
    c.text(14, last + 14, "ids " + "  ".join(map(str, found["ids"])), "k s dim")
    return c.done(last + 30)


def wordmap(n: Numbers) -> str:
    """Token vectors of words of four kinds, seen from the side that shows most of their differences."""
    points = n["vectors"]["map"]
    c = Canvas("A map of 24 words", "Words of one kind lie together: animals, family, colours, numbers.")
    c.text(14, 26, "24 token vectors, 352 numbers each, laid flat", "h")
    xs, ys = ([p["at"][k] for p in points] for k in (0, 1))

    def place(at: list[float]) -> tuple[float, float]:
        x = 30 + 250 * (at[0] - min(xs)) / (max(xs) - min(xs))
        return x, 340 - 250 * (at[1] - min(ys)) / (max(ys) - min(ys))

    for k, kind in enumerate(dict.fromkeys(p["kind"] for p in points)):
        look = KINDS[k]
        members = sorted((*place(p["at"]), p["word"]) for p in points if p["kind"] == kind)
        members.sort(key=lambda m: m[1])
        right, middle = max(x for x, _, _ in members), sum(y for _, y, _ in members) / len(members)
        top = min(max(middle - 18 * len(members) / 2, 66 if kind != "animals" else 186), 258)
        c.text(right + 34, top - 6, kind, f"s h {look}")
        for r, (x, y, word) in enumerate(members):
            c.dot(x, y, look)
            c.line(x, y, right + 30, top + 8 + 17 * r, look, 0.5)
            c.text(right + 34, top + 12 + 17 * r, word, f"s {look}")
    c.text(14, 388, f"This flat view shows {n['vectors']['map_share']:.0%} of how the 24 vectors differ.", "s dim")
    return c.done(400)


def positions(n: Numbers) -> str:
    """Token plus position for the example, three numbers each; and how alike the position vectors are."""
    v = n["vectors"]
    words = "Three numbers of five token vectors, five position vectors and their sums; below, cosines of position 100."
    c = Canvas("Token plus position", words)
    c.text(14, 26, "What the first block gets: the sum", "h")
    for x, name, key, look in (
        (100, "token", "tok", "a"),
        (222, "+ position", "pos", "b"),
        (344, "= sum", "sum", "ink"),
    ):
        c.text(x, 48, name, f"h {look}", "middle")
        for r, row in enumerate(v[key]):
            for k, value in enumerate(row):
                c.text(x - 24 + 38 * k + 4, 70 + 20 * r, f"{value:+.2f}", f"k s {look}", "middle", 10.5)
    for r, token in enumerate(v["tokens"]):
        c.text(14, 70 + 20 * r, token, "k s")
    c.text(14, 178, "the first 3 of 352 numbers", "s dim")
    c.text(14, 212, "How alike position 100 is to each other position", "h")
    top, floor = 228, 356

    def y(value: float) -> float:
        return floor - (floor - top) * (value + 0.2) / 1.2

    cosines = v["position_cosines"]
    for mark in (0, 0.5, 1):
        c.line(44, y(mark), 404, y(mark), "line")
        c.text(38, y(mark) + 4, f"{mark:g}", "s dim", "end")
    c.curve([(44 + 360 * k / (len(cosines) - 1), y(value)) for k, value in enumerate(cosines)], "b")
    for mark in (0, 100, 200, 300, 400, 500):
        c.text(44 + 360 * mark / 504, floor + 18, str(mark), "s dim", "middle")
    c.text(404, floor + 36, "position", "s dim", "end")
    c.text(44, floor + 36, "cosine: 1 is the same direction", "s dim")
    return c.done(floor + 48)
