"""All drawn figures of the guide by name.

In: what was measured (teaching.json, measured.json) and the ablation studies. Out: SVG texts, written to docs/guide.
Read next: render.py, which puts them into the page.
"""

import json
import re
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any

from scripts.guides.study import Evidence
from scripts.guides.subject import ROOT
from scripts.guides.teaching import attention, blocks, costs, embeddings, head, stream
from scripts.guides.teaching.wordmap import wordmap

TEACHING = ROOT / "docs" / "guide" / "teaching.json"
ONE = (embeddings.overview, embeddings.merges, wordmap, embeddings.positions, attention.pattern,
       attention.heads, attention.circuits, blocks.gelu, costs.eachmlp, stream.river, stream.paths, blocks.norm,
       blocks.dropout, head.head, head.choose, head.step, head.context)  # fmt: skip
TWO = (stream.grows, stream.gradients)  # these read measured.json too


class Gallery:
    """The figures; `used` holds the names that a page has shown.

    teaching, kept  the numbers of teaching.json and measured.json
    """

    def __init__(self, teaching: dict[str, Any], kept: dict[str, Any], evidence: Evidence) -> None:
        self.teaching, self.kept, self.evidence = teaching, kept, evidence
        self.used: set[str] = set()

    @classmethod
    def load(cls, kept: dict[str, Any], evidence: Evidence) -> "Gallery":
        """With the numbers of teaching.json."""
        return cls(json.loads(TEACHING.read_text("utf-8")), kept, evidence)

    @cached_property
    def drawn(self) -> dict[str, str]:
        """Every figure's SVG."""
        found = {make.__name__: make(self.teaching) for make in ONE}
        found |= {make.__name__: make(self.teaching, self.kept) for make in TWO}
        found |= {name: costs.chart(name, self.teaching, self.evidence) for name in costs.CHARTS}
        return found | {"together": costs.together(self.teaching, self.evidence)}

    def show(self, name: str, alt: str = "") -> str:
        """An image for a page; without `alt` the figure's own words are its text.

        Raises ValueError for a figure that nothing draws.
        """
        if name not in self.drawn:
            raise ValueError(f"there is no drawn figure {name!r}: choose {', '.join(self.drawn)}.")
        self.used.add(name)
        own = unescape(re.findall(r"<desc[^>]*>(.*?)</desc>", self.drawn[name])[0])
        return f"![{alt or own}](guide/{name}.svg)"

    def write(self, folder: Path) -> None:
        """All figures as files."""
        for name, text in self.drawn.items():
            (folder / f"{name}.svg").write_text(text, "utf-8")
