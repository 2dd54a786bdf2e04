"""The parts that a walk's page is set from: headings, steps, sentences, vectors under each other, tables of tokens.

In: words and numbers. Out: lines on the terminal, in colour there and plain in a pipe. Read next: view.py.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from gpt2.cli.common import console
from gpt2.cli.walk.guide import Section
from gpt2.explain.walk.record import Vector

LABEL = 18  # columns of the names before a vector
HEAD = 9  # columns of the names before a table's row
CELL = 8  # columns of one number
SHADES = ((0.75, "█"), (0.5, "▓"), (0.25, "▒"), (0.1, "░"), (0.0, " "))

Piece = str | tuple[str, str]  # text, or (text, style)


def num(x: float, width: int = 0) -> str:
    """A number of three decimals, of one where it is large, a power of ten where it is larger still."""
    if abs(x) >= 1e6:
        return f"{x:{width}.1e}"
    text = f"{x:.1f}" if abs(x) >= 1000 else f"{x:.3f}"
    return (text[1:] if text == "-0.000" else text).rjust(width)


def percent(x: float) -> str:
    """A share in percent, with two significant figures where it is small."""
    return f"{100 * x:.1f}%" if x >= 0.001 or x == 0 else f"{100 * x:.2g}%"


def norm_of(vector: Vector) -> str:
    """The note beside a vector."""
    return f"norm {num(vector.norm)}"


def shade(weight: float) -> str:
    """A block as dark as a weight between 0 and 1."""
    return next((block for least, block in SHADES if weight >= least), " ")


def fit(text: str, width: int) -> str:
    """Text cut, with an ellipsis, or padded on the right to a width in terminal columns."""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    return text + " " * (width - cell_len(text))


def right(text: str, width: int) -> str:
    """As `fit`, padded on the left, and never touching what stands before it."""
    text = fit(text, width - 1) if cell_len(text) >= width else text
    return " " * (width - cell_len(text)) + text


class Page:
    """Prints a walk from top to bottom and counts its steps. `values`: numbers shown of a vector."""

    def __init__(self, values: int) -> None:
        self.console = console()
        self.width = max(60, min(self.console.width, 100))
        self.columns = (self.width - 4 - HEAD) // CELL  # cells that a table of tokens has room for
        self.values = values
        self.steps = 0
        self.explained_norm = False

    def line(self, *pieces: Piece) -> None:
        """One line."""
        text = Text.assemble(*pieces)
        text.rstrip()
        self.console.print(text, soft_wrap=True)

    def heading(self, title: str) -> None:
        """The beginning of a part."""
        self.line()
        self.line((f"━━ {title} ", "bold"), ("━" * max(2, self.width - cell_len(title) - 4), "dim"))

    def step(self, section: Section, title: str, sentence: str, address: str = "", shape: Sequence[int] = ()) -> None:
        """A numbered step: title, address and shape of its tensor, what it does, and where the guide explains it."""
        self.steps += 1
        left = f"{self.steps:>2}  {title}"
        where = f"{address} {list(shape)}" if shape else address
        gap = " " * max(2, self.width - cell_len(left) - cell_len(where))
        self.line()
        self.line((left, "bold cyan"), gap, (where, "dim"))
        self.say(sentence)
        self.line("    ", (f"Guide: {section}", "dim"))

    def say(self, sentence: str, style: str = "") -> None:
        """A sentence, wrapped to the page."""
        for line in textwrap.wrap(sentence, self.width - 4, break_on_hyphens=False):
            self.line("    ", (line, style))

    def rows(self, rows: Iterable[tuple[Any, ...]], values: int = 0) -> None:
        """Vectors under each other: (operator, label, numbers) or (operator, label, numbers, note)."""
        for operator, label, numbers, *note in rows:
            first = list(numbers)[: values or self.values]
            body = fit(label, LABEL) + "".join(num(x, CELL) for x in first)
            more = " ..." if len(numbers) > len(first) else "    "
            style = "bold" if operator == "=" else ""
            self.line(
                "    ",
                (f"{operator:<2}", "bold"),
                (body, style),
                (more, "dim"),
                ("  ", ""),
                *((n, "dim") for n in note),
            )

    def sources(self, tokens: Sequence[str], columns: Sequence[int], position: int, last: str = "") -> None:
        """The heading of a table of heads and source tokens: positions, then tokens, the one followed in bold."""
        self.line("    ", (fit("position", HEAD) + "".join(f"{j:>{CELL}}" for j in columns), "dim"))
        cells: list[Piece] = [(right(tokens[j], CELL), "bold" if j == position else "") for j in columns]
        self.line("    ", (fit("head", HEAD), "dim"), *cells, (right(last, CELL) if last else "", "dim"))
