"""One style for all drawn figures: a small canvas that writes SVG.

In: shapes and words. Out: the text of an .svg file that is light or dark as the reader's system is. Nothing is random
and numbers have one decimal, so the same numbers give the same file. Read next: gallery.py.

A colour means one thing in all figures:

    a blue    the stream, and the vectors that are in it     d purple  the head, and probabilities
    b orange  attention                                      e red     a part switched off in the finished model
    c green   the MLP                                        dim grey  a model trained another way
"""

import re
import textwrap
from collections.abc import Callable
from html import escape

WIDTH = 420  # units of a Canvas; one unit is shown as up to SHOWN pixels
SHOWN = 600 / WIDTH
STYLE = """
:root{--bg:#fcfcfa;--ink:#1c2430;--dim:#566070;--line:#c4cad3;--a:#0a66ad;--b:#b65200;--c:#00735a;--d:#86479f;--e:#b3261e}
@media(prefers-color-scheme:dark){:root{--bg:#171b21;--ink:#e8ebf0;--dim:#a9b1be;--line:#454d59;--a:#6cb8f2;--b:#f2a552;
--c:#52cba2;--d:#d7a2ea;--e:#ff8f86}}
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}
.s{font-size:12px}.h{font-weight:600}.k{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.dim{fill:var(--dim)}.bg{fill:var(--bg)}
.a{fill:var(--a)}.b{fill:var(--b)}.c{fill:var(--c)}.d{fill:var(--d)}.e{fill:var(--e)}.line{fill:var(--line)}.ink{fill:var(--ink)}
.sa{stroke:var(--a)}.sb{stroke:var(--b)}.sc{stroke:var(--c)}.sd{stroke:var(--d)}.se{stroke:var(--e)}.sbg{stroke:var(--bg)}.sline{stroke:var(--line)}
.sink{stroke:var(--ink)}.sdim{stroke:var(--dim)}
path,line{fill:none;stroke-linecap:round}
""".strip().replace("\n", "")


def num(x: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{x:.1f}".rstrip("0").rstrip(".") if round(x, 1) else "0"


class Canvas:
    """A figure that grows downwards: each method adds one shape.

    title, words  what a screen reader says: the figure's name, and what it shows
    """

    width = WIDTH

    def __init__(self, title: str, words: str) -> None:
        self.title, self.words = title, words
        self.shapes: list[str] = []

    def text(
        self, x: float, y: float, words: str, look: str = "", anchor: str = "start", size: float | None = None
    ) -> None:
        """Words with their baseline at y; `look` names classes: s small, h bold, k monospaced, a colour.

        A hyphen before a number becomes a minus sign.
        """
        words = re.sub(r"(?<!\w)-(?=\.?\d)", "−", words)
        extra = (f' class="{look}"' if look else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
        extra += f' style="font-size:{num(size)}px"' if size else ""
        self.shapes.append(f'<text x="{num(x)}" y="{num(y)}"{extra}>{escape(words, quote=False)}</text>')

    def box(
        self, x: float, y: float, width: float, height: float, look: str = "line", *, round: float = 3,
        faint: float = 1, outline: bool = False,
    ) -> None:  # fmt: skip
        """A rectangle filled with a colour, `faint` of it; or its outline."""
        paint = f'class="s{look}" fill="none"' if outline else f'class="{look}"'
        extra = f' opacity="{faint:.2f}"' if faint < 1 else ""
        size = f'width="{num(max(width, 0))}" height="{num(height)}"'
        self.shapes.append(f'<rect x="{num(x)}" y="{num(y)}" {size} rx="{num(round)}" {paint}{extra}/>')

    def line(
        self, x1: float, y1: float, x2: float, y2: float, look: str = "line", width: float = 1, dash: str = ""
    ) -> None:
        """A straight line."""
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        ends = f'x1="{num(x1)}" y1="{num(y1)}" x2="{num(x2)}" y2="{num(y2)}"'
        self.shapes.append(f'<line {ends} class="s{look}" stroke-width="{num(width)}"{extra}/>')

    def path(self, d: str, look: str = "ink", width: float = 1.5, *, dash: str = "", faint: float = 1) -> None:
        """A curve, given as SVG's own path."""
        extra = (f' stroke-dasharray="{dash}"' if dash else "") + (f' opacity="{faint:.2f}"' if faint < 1 else "")
        self.shapes.append(f'<path d="{d}" class="s{look}" stroke-width="{num(width)}"{extra}/>')

    def curve(self, points: list[tuple[float, float]], look: str = "a", width: float = 2, dash: str = "") -> None:
        """Straight pieces from point to point."""
        self.path("M" + "L".join(f"{num(x)} {num(y)}" for x, y in points), look, width, dash=dash)

    def area(self, points: list[tuple[float, float]], look: str = "a", faint: float = 0.18) -> None:
        """A filled shape."""
        corners = " ".join(f"{num(x)},{num(y)}" for x, y in points)
        self.shapes.append(f'<polygon points="{corners}" class="{look}" opacity="{faint:.2f}"/>')

    def dot(self, x: float, y: float, look: str = "a", radius: float = 3.5) -> None:
        """A filled circle."""
        self.shapes.append(f'<circle cx="{num(x)}" cy="{num(y)}" r="{num(radius)}" class="{look}"/>')

    def arrow(self, x1: float, y1: float, x2: float, y2: float, look: str = "ink", width: float = 1.5) -> None:
        """A line with a head at its end."""
        length = max(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5, 1e-6)
        ux, uy = (x2 - x1) / length, (y2 - y1) / length
        back, side = 6 + width, 3 + width / 2
        left = f"{num(x2 - back * ux - side * uy)},{num(y2 - back * uy + side * ux)}"
        right = f"{num(x2 - back * ux + side * uy)},{num(y2 - back * uy - side * ux)}"
        self.line(x1, y1, x2 - 4 * ux, y2 - 4 * uy, look, width)
        self.shapes.append(f'<polygon points="{num(x2)},{num(y2)} {left} {right}" class="{look}"/>')

    def table(self, x: float, y: float, rows: list[list[str]], columns: list[float], looks: list[str] | None = None,
              step: float = 18) -> float:  # fmt: skip
        """Words in columns that are right-aligned at x + columns[k], the first left-aligned; the y below the last."""
        for r, row in enumerate(rows):
            look = (looks or [""])[min(r, len(looks or [""]) - 1)]
            for k, word in enumerate(row):
                self.text(x + columns[k], y + r * step, word, look, "start" if k == 0 else "end")
        return y + len(rows) * step

    def done(self, height: float) -> str:
        """The text of the file."""
        size = f'viewBox="0 0 {self.width} {num(height)}"'
        size += f' width="{num(self.width * SHOWN)}" height="{num(height * SHOWN)}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="t w">'
        named = f'<title id="t">{escape(self.title)}</title><desc id="w">{escape(self.words)}</desc>'
        back = f'<rect width="{self.width}" height="{num(height)}" rx="6" class="bg"/>'
        return "\n".join([head, named, f"<style>{STYLE}</style>", back, *self.shapes, "</svg>"]) + "\n"


class Sheet(Canvas):
    """A figure as wide as a phone, in which its smallest words (class s) are 12 pixels high there."""

    width = 360

    def note(self, y: float, words: str, x: float = 14, letters: int = 52) -> float:
        """Small words below a figure, broken into lines of so many letters; the y below the last."""
        for k, line in enumerate(textwrap.wrap(words, letters)):
            self.text(x, y + 17 * k, line, "s dim")
        return y + 17 * (k + 1)

    def axes(self, left: float, right: float, top: float, floor: float, low: float, high: float,
             marks: dict[float, str]) -> Callable[[float], float]:  # fmt: skip
        """Horizontal rules at `marks` with their words; returns the height of a value."""

        def y(value: float) -> float:
            return floor - (floor - top) * (value - low) / (high - low)

        for mark, words in marks.items():
            self.line(left, y(mark), right, y(mark))
            self.text(left - 6, y(mark) + 4, words, "s dim", "end")
        return y


def blend(share: float) -> float:
    """How strong a cell's colour is for a weight between 0 and 1: small weights stay visible."""
    return 0.06 + 0.44 * max(0.0, min(1.0, share))  # words on it can still be read
