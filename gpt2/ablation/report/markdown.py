"""How the report writes numbers and tables: the same everywhere, so that two columns can be compared by eye."""

import math
import os
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from gpt2.ablation.statistics import Difference

NOTHING = "–"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a column whose name begins with `>` stands to the right."""
    lines = [[c.removeprefix(">") for c in columns], ["---:" if c.startswith(">") else "---" for c in columns], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def link(path: Path, home: Path) -> str:
    """Where a file lies, seen from a document in the folder `home`."""
    return Path(os.path.relpath(path, home)).as_posix()


def picture(path: Path, caption: str) -> str:
    """A picture beside the document, and what it shows."""
    return f"![{caption.split('.')[0]}]({path.as_posix()})\n\n*{caption}*\n"


def filled(text: str) -> str:
    """Paragraphs and list items filled to 120 columns; tables, code, headings and pictures as they are."""
    blocks: list[str] = []
    for block in re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL):
        if block.startswith("```"):
            blocks.append(block)
            continue
        parts = re.split(r"(\n+(?=- |\n)|\n(?=[|#!])|\n{2,})", block)
        blocks.append("".join(part if not part.strip() or part.strip()[0] in "|#!" else _fill(part) for part in parts))
    return "".join(blocks)


def _fill(part: str) -> str:
    head, tail = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
    indent = "  " if part.lstrip().startswith("- ") else ""
    text = " ".join(part.split())
    wrapped = textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return head + wrapped + tail


def number(value: float | None, digits: int = 4) -> str:
    """A plain number."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """A difference, with its sign; what rounds to 0 has none."""
    if value is None:
        return NOTHING
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def interval(d: Difference | None, digits: int = 4) -> str:
    """From where to where an interval reaches."""
    if d is None:
        return NOTHING
    return f"{signed(d.low, digits)} to {signed(d.high, digits)}" if math.isfinite(d.low) else "one seed: none"


def with_interval(d: Difference | None, digits: int = 4) -> str:
    """A mean with its interval, for numbers that are not differences."""
    if d is None:
        return NOTHING
    mean = signed(d.mean, digits).removeprefix("+")
    return f"{mean} ({interval(d, digits).replace('+', '')})"


def chance(p: float | None) -> str:
    """A p-value, with two digits, and no more of them than it has."""
    if p is None:
        return NOTHING
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def rate(value: float | None) -> str:
    """A learning rate, or a factor of one."""
    return NOTHING if value is None else f"{value:.3g}"


def expectation(text: str) -> str:
    """An expectation of a study file as one reads it."""
    for word, sign in ((">=", "at least"), ("<=", "at most")):
        if text.startswith(word):
            return f"{sign} {text.removeprefix(word).strip().replace('-', '−')}"
    return text


def sentence(text: str) -> str:
    """A reason of a study file as a sentence."""
    return f"{text[:1].upper()}{text[1:]}" + "." * (not text.endswith((".", "!", "?")))


def listed(words: Iterable[str]) -> str:
    """a, b and c."""
    given = list(words)
    return " and ".join([", ".join(given[:-1]), given[-1]] if len(given) > 1 else given)
