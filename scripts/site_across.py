"""The guide and its exercises name one another, section by section: mkdocs calls this hook (mkdocs.yml).

In: a page's Markdown. Out: in each section of the guide a line that leads to its exercises and to their answers, and in
each section of those two a line that leads back. A section belongs to another by its heading. Where the text has such a
link itself, no line is added.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.plugins import event_priority
from pymdownx.slugs import slugify

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parents[1] / "docs"
GUIDE = "component_functions.md"
TITLES = {
    GUIDE: "the guide",
    "exercises.md": "exercises",
    "exercises_answers.md": "answers",
}
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
name_of: Callable[[str, str], str] = slugify(case="lower")


@event_priority(50)  # before the links of the page are turned into the site's
def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """The page with a line below each heading that has a section of the same name on another of the pages.

    A search finds the guide before its exercises and the reference pages.
    """
    here = page.file.src_uri
    if here == GUIDE:
        page.meta.setdefault("search", {"boost": 3})
    others = {other: sections((DOCS / other).read_text("utf-8")) for other in TITLES if other != here}
    return across(markdown, others) if here in TITLES else markdown


def sections(markdown: str) -> list[str]:
    """The names of a page's sections, as links name them."""
    return [name_of(title, "-") for title in HEADING.findall(FENCE.sub("", markdown))]


def across(markdown: str, others: dict[str, list[str]]) -> str:
    """`markdown` with the lines; `others` are the sections of the other pages."""
    code = [match.span() for match in FENCE.finditer(markdown)]
    found = [match for match in HEADING.finditer(markdown) if not any(a <= match.start() < b for a, b in code)]
    ends = [match.start() for match in found[1:]] + [len(markdown)]
    made = markdown[: found[0].start()] if found else markdown
    for match, end in zip(found, ends, strict=True):
        text = markdown[match.end() : end]
        links = [
            f"[{TITLES[other]}]({other}#{name})"
            for other, names in others.items()
            if (name := partner(name_of(match[1], "-"), names)) and f"]({other}#{name})" not in text
        ]
        line = f"\n\n*This section in* {' *and* '.join(links)}\n{{: .across }}" if links else ""
        made += match[0] + line + text
    return made


def partner(name: str, names: list[str]) -> str | None:
    """The section of the same name, or of a longer or shorter one: attention and multi-head-attention."""
    if name in names:
        return name
    return next((one for one in names if one.endswith(f"-{name}") or name.endswith(f"-{one}")), None)
