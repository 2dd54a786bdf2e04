"""The map of words: token vectors in two of their directions, the whole, and each group enlarged.

In: the numbers under "vectors" of teaching.json. Out: an SVG text. Read next: attention.py.
"""

from typing import Any

from scripts.guides.teaching.svg import Sheet

Numbers = dict[str, Any]
Box = tuple[float, float, float, float]  # left, top, right, bottom
WHOLE, CLOSE = 165.0, 620.0  # units per unit of the map
PANEL = (160.0, 176.0)
MARKS = {"animals": "circle", "family": "square", "colours": "triangle", "numbers": "diamond"}


def wordmap(n: Numbers) -> str:
    """Token vectors of words of four kinds, seen from the side that shows most of their differences."""
    points, share = n["vectors"]["map"], n["vectors"]["map_share"]
    c = Sheet("A map of 24 words", "Words of one kind lie together: animals, family, colours, numbers.")
    c.text(14, 26, "24 token vectors, laid flat", "h")
    xs, ys = ([p["at"][k] for p in points] for k in (0, 1))
    width, top = WHOLE * (max(xs) - min(xs)), 48.0
    c.box(14, top - 8, width + 24, WHOLE * (max(ys) - min(ys)) + 24, "line", outline=True)
    for kind, shape in MARKS.items():
        at = [(26 + WHOLE * (p["at"][0] - min(xs)), top + 4 + WHOLE * (max(ys) - p["at"][1]))
              for p in points if p["kind"] == kind]  # fmt: skip
        for x, y in at:
            mark(c, x, y, shape)
        left, right = min(x for x, _ in at), max(x for x, _ in at)
        low, high = max(y for _, y in at), min(y for _, y in at)
        beside = {
            "animals": (left - 8, high + 8, "end"),
            "family": (left - 8, (low + high) / 2 + 4, "end"),
            "colours": (right + 9, low - 2, "start"),
            "numbers": (left - 4, low + 20, "start"),
        }
        c.text(beside[kind][0], beside[kind][1], kind, "s h", beside[kind][2])
    c.note(top + 4, "Near means alike. The two directions have no names: in these two the 24 words differ most. They "
           f"show {share:.0%} of the differences; {1 - share:.0%} are lost.", width + 48, 15)  # fmt: skip
    base = top + WHOLE * (max(ys) - min(ys)) + 44
    c.text(14, base, f"The four groups, all {CLOSE / WHOLE:.1f} times enlarged", "h")
    for k, kind in enumerate(("family", "animals", "numbers", "colours")):
        panel(c, 14 + (PANEL[0] + 12) * (k % 2), base + 16 + (PANEL[1] + 12) * (k // 2), kind,
              [p for p in points if p["kind"] == kind])  # fmt: skip
    return c.done(base + 16 + 2 * PANEL[1] + 26)


def panel(c: Sheet, left: float, top: float, kind: str, members: list[dict[str, Any]]) -> None:
    """One group, enlarged, with each word beside its point."""
    c.box(left, top, *PANEL, "line", outline=True)
    c.text(left + 8, top + 17, kind, "s h")
    xs, ys = ([p["at"][k] for p in members] for k in (0, 1))
    centre = left + PANEL[0] / 2 - CLOSE * (max(xs) + min(xs)) / 2
    middle = top + 8 + PANEL[1] / 2 + CLOSE * (max(ys) + min(ys)) / 2
    at = {p["word"]: (centre + CLOSE * p["at"][0], middle - CLOSE * p["at"][1]) for p in members}
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in at.values()]
    for word, (x, y) in sorted(at.items(), key=lambda item: -item[1][0]):
        mark(c, x, y, MARKS[kind])
        wide = 6.9 * len(word)
        options = [(x + 8, y + 4), (x - 8 - wide, y + 4), (x - wide / 2, y - 9), (x - wide / 2, y + 18),
                   (x + 7, y - 7), (x + 7, y + 15), (x - 7 - wide, y - 7), (x - 7 - wide, y + 15)]  # fmt: skip

        def crowded(option: tuple[float, float], wide: float = wide) -> float:
            a = (option[0], option[1] - 8, option[0] + wide, option[1] + 2)
            over = sum(overlap(a, b) for b in taken)
            inside = a[0] >= left + 2 and a[2] <= left + PANEL[0] - 2 and a[3] <= top + PANEL[1] - 2
            return over + (0 if inside else 1000)

        best = min(options, key=crowded)
        taken.append((best[0], best[1] - 8, best[0] + wide, best[1] + 2))
        c.text(*best, word, "s")


def overlap(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def mark(c: Sheet, x: float, y: float, shape: str) -> None:
    """A point of a group, known by its shape."""
    corners = {
        "square": [(-3.2, -3.2), (3.2, -3.2), (3.2, 3.2), (-3.2, 3.2)],
        "triangle": [(0, -4.4), (4.2, 3.2), (-4.2, 3.2)],
        "diamond": [(0, -4.6), (4.6, 0), (0, 4.6), (-4.6, 0)],
    }
    if shape == "circle":
        c.dot(x, y, "a", 3.6)
    else:
        c.area([(x + dx, y + dy) for dx, dy in corners[shape]], "a", 1)
