"""The site of the documents: no warning, nothing loaded from elsewhere, every link leads somewhere, search finds."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from mkdocs.commands.build import build
from mkdocs.config import load_config
from playwright.sync_api import Browser, expect

from gpt2 import GPT2, GPT2Config, Tokenizer
from gpt2.checkpoint.files import Checkpoint
from gpt2.explain import reference
from tests.docs.test_readme import ROOT

LOADING = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}


class Parsed(HTMLParser):
    """What a page loads, what it links to, and the names inside it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.text = path.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if LOADING.get(tag) in given:
            self.loads.append(given[LOADING[tag]])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as scripts/site builds it: a warning ends it. The front page is a tiny model's, to be quick."""
    folder = tmp_path_factory.mktemp("site")
    tokenizer = Tokenizer.bytes()
    config = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=64, n_embd=8, n_layer=1, n_head=2)
    tiny = Checkpoint(GPT2(config).eval(), tokenizer, "tiny", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt2.checkpoint.files.load", lambda name: tiny)
        patch.setattr("gpt2.server.means.reference", lambda checkpoint: reference(checkpoint, ["a red ball"]))
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
        build(config)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Parsed]:
    return {path: Parsed(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_document_has_a_page(site: Path) -> None:
    documents = [path.stem for path in (ROOT / "docs").glob("*.md")]
    notebooks = [f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")]
    assert len(documents) > 5
    assert len(notebooks) == 2
    for name in ("start", "changelog", "contributing", *documents, *notebooks):
        assert (site / f"{name}.html").is_file(), name


def test_the_front_page_is_a_run_with_links_to_the_documents(pages: dict[Path, Parsed], site: Path) -> None:
    front = pages[site / "index.html"]
    assert 'id="data"' in front.text
    assert {"start.html", "component_functions.html", "training.html", "explain.html"} <= set(front.links)
    for path, page in pages.items():  # and the way back
        assert any((path.parent / link).resolve() == site / "index.html" for link in page.links if link) or (
            path == site / "index.html"
        )


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Parsed], site: Path) -> None:
    for path, page in pages.items():
        for address in page.loads:
            parts = urlsplit(address)
            assert parts.scheme in ("", "data"), f"{path.name}: {address}"
            assert not parts.netloc, f"{path.name}: {address}"
            assert parts.scheme or (path.parent / unquote(parts.path)).exists(), f"{path.name}: {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text("utf-8")), style.name


def test_every_link_inside_the_site_leads_somewhere(pages: dict[Path, Parsed]) -> None:
    seen = 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {link}"
            state = target.name == "index.html" and "=" in parts.fragment  # of the live page: test_teaching.py
            if parts.fragment and target in pages and not state and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in pages[target].names, f"{path.name}: {link}"
            seen += 1
    assert seen > 300


def test_a_reader_with_the_files_alone_sees_every_page_and_can_search(browser: Browser, site: Path) -> None:
    """From disk, without a network: no request, no error; the front page runs, the search box finds."""
    context = browser.new_context(offline=True)
    page, asked, problems = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    for path in [*sorted(site.glob("*.html")), *sorted(site.glob("notebooks/*.html"))]:
        if path.name != "404.html":  # for web servers: its addresses begin at their root
            page.goto(path.as_uri())
            expect(page.locator("#site a, .md-nav a").first).to_be_attached()
    page.goto((site / "index.html").as_uri())
    expect(page.locator("#next tbody tr")).to_have_count(10)
    page.locator("#site").get_by_text("Start").click()
    search = page.locator("input.md-search__input")
    search.focus()  # a page from disk loads the index when the search is first looked at
    expect(page.locator(".md-search-result__meta")).to_have_text("Type to start searching")
    search.press_sequentially("attribution")  # it listens to keys: fill() presses none
    expect(page.locator(".md-search-result__link").first).to_be_visible()
    assert problems == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def test_sections_of_the_guide_and_of_the_exercises_lead_to_one_another(pages: dict[Path, Parsed], site: Path) -> None:
    names = ("component_functions", "exercises", "exercises_answers")
    for here in names:
        for there in names:
            links = {link for link in pages[site / f"{here}.html"].links if link.startswith(f"{there}.html#")}
            assert here == there or len(links) >= 11, (here, there)


def test_stories_in_outputs_are_not_cut_off_and_columns_are_kept(pages: dict[Path, Parsed], site: Path) -> None:
    blocks = re.findall(r'<div class="([^"]*highlight)"(.*?)</div>', pages[site / "start.html"].text, re.DOTALL)
    [story] = [block for look, block in blocks if "wraps" in look]
    assert "Once upon a time" in story
    assert len(blocks) > 3


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that writes no log."""

    def log_message(self, format: str, *words: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_live_links_open_in_one_frame_that_loads_the_model_once(browser: Browser, served: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page, asked, problems = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{served}/component_functions.html")
    buttons, frame = page.locator(".live-open"), page.frame_locator("#live-frame")
    assert buttons.count() == page.locator("article a[href^='index.html#']").count() >= 11
    assert not [url for url in asked if "index.html" in url or url.endswith(".bin")]  # before a reader asks for it

    def opens(link: str) -> None:
        page.locator(f"a[href='{link}'] + .live-open").press("Enter")
        expect(page.locator("#live")).to_be_focused()

    links = [link.get_attribute("href") or "" for link in page.locator("a:has(+ .live-open)").all()]
    first = next(link for link in links if "off=embed.pos" in link)
    opens(first)
    expect(frame.locator("#sentence")).to_contain_text("Without positions")
    expect(frame.locator("#panel")).to_be_visible()
    expect(frame.locator("#chosen [aria-pressed='true']")).to_have_text("off")  # the switch that the link names
    expect(frame.locator("#flow")).to_be_hidden()
    loaded = len(asked)
    assert len([url for url in asked if "weights-" in url]) == 1  # one piece, once

    opens(next(link for link in links if "&" not in link))  # a text alone: the picture
    expect(frame.locator("#rows svg")).to_be_visible()
    expect(frame.locator("#panel")).to_be_hidden()

    opens(next(link for link in links if "temperature=" in link))  # another section: the same frame, the same model
    expect(frame.locator("#sentence")).to_contain_text("the model expects")
    expect(frame.locator("#next")).to_be_visible()
    expect(frame.locator("#panel")).to_be_hidden()
    frame.locator("#next td.p a, #next td.p button").first.click()  # a number: its calculation comes below
    expect(frame.locator("#panel")).to_be_visible()
    assert len(asked) == loaded
    assert page.locator("iframe").count() == 1
    gap, panel = page.locator(".live-gap").bounding_box(), page.locator("#live").bounding_box()
    assert gap is not None
    assert panel is not None
    assert abs(gap["y"] - panel["y"]) < 2  # it stands where the text leaves room
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [found["id"] for found in Axe().run(page).response["violations"]] == []
    page.locator("#live").get_by_role("button", name="Close").click()
    expect(page.locator("#live")).to_be_hidden()
    expect(page.locator("a[href*='temperature='] + .live-open")).to_be_focused()
    assert problems == []
    page.emulate_media(media="print")
    expect(buttons.first).to_be_hidden()
    context.close()
