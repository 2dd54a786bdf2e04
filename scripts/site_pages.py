"""What the site shows besides the documents of docs/: mkdocs calls these hooks (mkdocs.yml).

In: the repository. Out: pages for
- the front page: the live page of the bundled model (front_page.py), with links to the documents,
- README, CHANGELOG and CONTRIBUTING, and the notebooks with their outputs,
- every file of the repository that a page links to, so that no link leaves the site.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from front_page import front_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from run_notebooks import as_markdown

ROOT = Path(__file__).resolve().parents[1]
FRONT = "index.html"
PAGES = {"README.md": "start.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
LANGUAGES = {".py": "python", ".toml": "toml", ".js": "js", ".css": "css", ".txt": "text", "": "bash"}
SPREAD = "Learn"  # the section whose pages stand one by one on the front page
LONG = re.compile(r"^```console\n(?=(?:(?!```).*\n)*?.{141})", re.MULTILINE)  # an output with a longer line: a story
EMPTY = re.compile(r"<th( [^>]*)?></th>")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\()([^)\s#]+)(?=[)\s#])")


def on_config(config: MkDocsConfig) -> None:
    """Leave out of the navigation what is not written yet."""
    config.nav = _present(config.nav or [])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and what they and the documents link to, and what that links to."""
    waiting = [*PAGES, *(f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb"))]
    waiting += [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    seen = set()
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            if files.get_file_from_path(place(path)) is None:
                files.append(_file(config, path))
            waiting += targets(path)
    front, beside = front_page(tuple(_links(config.nav or [])))
    for name, content in {FRONT: front, **beside}.items():
        files.append(File.generated(config, name, content=content, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they stand in the repository's files lead to the site's pages; stories in outputs are not cut off."""
    text = moved(markdown, getattr(page.file, "repository_path", f"docs/{page.file.src_uri}"))
    return LONG.sub("```{.console .wraps}\n", text)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """An empty corner of a table heads nothing."""
    return EMPTY.sub(r"<td\1></td>", html)


def place(path: str) -> str:
    """Where a file or folder of the repository stands among the sources of the site."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.endswith(".ipynb"):
        return path.removesuffix(".ipynb") + ".md"
    if (ROOT / path).is_dir():
        return f"files/{path}/index.md"
    return f"files/{path}.md" if Path(path).suffix in LANGUAGES else f"files/{path}"


def text_of(path: str) -> str | None:
    """The Markdown of a file's page; None for what is no text to read on a page."""
    source = ROOT / path
    if source.is_dir():
        inside = sorted(item.name for item in source.iterdir() if item.suffix in {*LANGUAGES, ".md"} and item.is_file())
        return f"# {path}\n\n" + "".join(f"- [{name}]({name})\n" for name in inside)
    if source.suffix == ".md":
        return source.read_text("utf-8")
    if source.suffix == ".ipynb":
        return as_markdown(source)
    if source.suffix in LANGUAGES:
        code = source.read_text("utf-8")
        fence = "`" * (1 + max(map(len, re.findall(r"`{3,}", code)), default=2))
        return f"# {path}\n\n{fence}{LANGUAGES[source.suffix]}\n{code}{fence}\n"
    return None


def targets(path: str) -> Iterator[str]:
    """The files and folders of the repository that the page of `path` links to."""
    if (ROOT / path).suffix in (".md", ".ipynb") or (ROOT / path).is_dir():
        for part in FENCE.split(text_of(path) or "")[::2]:
            yield from filter(None, (_target(path, link) for _, link in LINK.findall(part)))


def moved(markdown: str, path: str) -> str:
    """The text of `path` with its links to the repository's files turned into links to their pages."""
    here = posixpath.dirname(place(path)) or "."

    def lead(match: re.Match[str]) -> str:
        target = _target(path, match[2])
        return match[0] if target is None else match[1] + posixpath.relpath(place(target), here)

    parts = FENCE.split(markdown)
    return "".join(part if i % 2 else LINK.sub(lead, part) for i, part in enumerate(parts))


def _target(path: str, link: str) -> str | None:
    """The repository's path of a relative link; None for another kind of link, or one to nothing."""
    folder = path if (ROOT / path).is_dir() else posixpath.dirname(path)
    found = posixpath.normpath(posixpath.join(folder, link))
    outside = ":" in link or link.startswith("/") or found.startswith("..")
    return None if outside or not (ROOT / found).exists() else found


def _file(config: MkDocsConfig, path: str) -> File:
    content = text_of(path)
    inside = InclusionLevel.NOT_IN_NAV if place(path).startswith("files/") else InclusionLevel.UNDEFINED
    if content is None:
        return File.generated(config, place(path), abs_src_path=str(ROOT / path), inclusion=inside)
    if place(path).startswith("files/"):
        content = "---\nsearch:\n  exclude: true\n---\n\n" + content
    file = File.generated(config, place(path), content=content, inclusion=inside)
    file.repository_path = path  # type: ignore[attr-defined]
    return file


def _present(nav: Any) -> Any:
    """A part of the navigation without the pages that do not exist."""
    if isinstance(nav, list):
        return [kept for kept in map(_present, nav) if kept]
    if isinstance(nav, dict):
        return {title: kept for title, part in nav.items() if (kept := _present(part))}
    generated = nav in (FRONT, *PAGES.values()) or (ROOT / nav).with_suffix(".ipynb").exists()
    return nav if generated or (ROOT / "docs" / nav).exists() else None


def _links(nav: list[Any]) -> Iterator[tuple[str, str]]:
    """(title, address) for each entry of the navigation: a page, a page of SPREAD, or a section's first page."""
    for entry in nav:
        for title, part in entry.items():
            if part != FRONT:
                pages = [(title, part)] if isinstance(part, str) else [pair for one in part for pair in one.items()]
                shown = pages if title == SPREAD or len(pages) == 1 else [(title, pages[0][1])]
                yield from ((name, page.removesuffix(".md") + ".html") for name, page in shown)
