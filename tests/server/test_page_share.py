"""The panel beside the picture, and what "share" saves: no words lie on one another, and a file says what is shown.

The browser is conftest.py's.
"""

import re
from xml.etree import ElementTree

import pytest
from page_server import VIEWS, serving
from playwright.sync_api import expect

from gpt2.explain import mean, reference, trace, zero
from tests.explained import storyteller

TEXT = "The cat sat on the"
STATE = "&off=2.head.1&mean=3.mlp&corrupt=The dog ran to the&beside=The dog ran to the park with"
NUMBER = re.compile(r"[−+]?\d+(?:\.\d+)?%?")


@pytest.fixture(scope="module")
def port():
    with serving(storyteller()) as port:
        yield port


@pytest.fixture
def page(browser, port):
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, accept_downloads=True, reduced_motion="reduce", color_scheme="dark"
    )
    context.set_default_timeout(300_000)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.add_init_script("localStorage.setItem('glassbox-tour', '1')")
    page.goto(f"http://127.0.0.1:{port}/#text={TEXT}{STATE}")
    page.wait_for_selector("#next tbody tr")
    yield page
    context.close()
    assert problems == []


def open_view(page, view):
    page.click(f"#tab-{view}")
    while not page.evaluate(SETTLED):
        page.wait_for_timeout(20)


SETTLED = """() => {
  const panel = document.querySelector("#panel");
  return panel.ariaBusy === "false" && !panel.querySelector("[data-coming], progress");
}"""

# Words that lie on one another, that an element cuts off, or that stand outside the window.
FAULTS = """() => {
  const faults = [], all = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode, e = node.parentElement, text = node.data.trim().slice(0, 40);
    if (!text || !e.checkVisibility() || e.closest("title, option, textarea, .unseen, #card, #toast")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      let [left, top, right, bottom] = [box.left, box.top + 2, box.right, box.bottom - 2];
      for (let a = e; a !== document.body; a = a.parentElement) {
        const [x, y] = [getComputedStyle(a).overflowX, getComputedStyle(a).overflowY];
        if (x === "visible" && y === "visible") continue;
        const room = a.getBoundingClientRect();
        const cut = (x === "hidden" && right > room.right + 1) || (y === "hidden" && bottom > room.bottom + 3);
        if (cut) faults.push(`cut: ${text}`);
        left = Math.max(left, room.left), right = Math.min(right, room.right);
        top = Math.max(top, room.top), bottom = Math.min(bottom, room.bottom);
      }
      if (right - left < 1 || bottom - top < 1) continue; // scrolled out of view
      if (right > innerWidth + 1) faults.push(`outside: ${text}`);
      all.push({ node, text, left, top, right, bottom });
    }
  }
  all.forEach((a, i) => all.slice(i + 1).forEach((b) => {
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (a.node !== b.node && across > 1 && down > 1) faults.push(`${a.text} on ${b.text}`);
  }));
  return faults;
}"""


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (390, 844)], ids=str)
def test_no_words_of_any_detail_lie_on_one_another(page, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for view in VIEWS:
        open_view(page, view)
        assert lasting(page) == [], view
        picture, panel = (page.locator(name).bounding_box() for name in ("#flow", "#detail"))
        beside = panel["x"] >= picture["x"] + picture["width"]
        assert beside == (size[0] >= 1280)
        assert beside or panel["y"] >= picture["y"] + picture["height"]


def lasting(page):
    """The faults that are still there when the picture has come to rest: it is drawn again where its room changes."""
    for _ in range(50):
        if not (faults := page.evaluate(FAULTS)):
            break
        page.wait_for_timeout(100)
    return faults


def test_the_width_of_the_panel_is_the_readers_and_is_remembered(page):
    def width():
        return page.locator("#detail").bounding_box()["width"]

    before = width()
    page.locator("#grip").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    wider = width()
    assert wider > before + 100
    page.reload()
    page.wait_for_selector("#next tbody tr")
    assert width() == wider
    page.locator("#rows").focus()
    page.keyboard.press("w")
    assert width() > 1200
    page.reload()
    page.wait_for_selector("#next tbody tr")
    assert width() > 1200
    page.click("#full")
    assert width() == wider
    page.dblclick("#grip")
    assert width() == before


def test_a_second_prompt_stands_beside_the_first_with_the_numbers_of_both(page):
    def probabilities(text):
        edit = {"2.head.1": zero, "3.mlp": mean(reference(checkpoint))}
        return trace(checkpoint, text, edit=edit).logits[0, -1].softmax(-1)

    def number(text):
        return float(text.replace("−", "-").rstrip("%"))

    checkpoint, second = storyteller(), "The dog ran to the park with"
    open_view(page, "compare")
    p, q = probabilities(TEXT), probabilities(second)
    likeliest = p.maximum(q).topk(10).indices.tolist()
    rows = page.locator("#panel table.both tbody tr").all()
    assert [row.locator("th").inner_text() for row in rows] == [checkpoint.tokenizer.label(i) for i in likeliest]
    for row, i in zip(rows, likeliest):
        found = [number(cell) for cell in row.locator("td").all_inner_texts()]
        assert found == pytest.approx([100 * float(x) for x in (p[i], q[i], q[i] - p[i])], rel=6e-3, abs=1e-8)
    page.get_by_role("button", name="attention", exact=True).click()
    marked = page.locator("#panel td.differs")
    expect(marked).to_have_text(["·cat", "·dog", "·sat", "·ran", "·on", "·to", "·park", "·with"])
    page.reload()  # the address holds both
    expect(marked).to_have_count(8)
    page.get_by_role("button", name="swap A and B").click()
    expect(page.locator("#text")).to_have_value(second)
    expect(marked.nth(0)).to_have_text("·dog")
    page.get_by_label("second prompt, B").fill("")
    page.get_by_role("button", name="compare").click()
    expect(page.locator("#panel")).to_contain_text("Type a second prompt")


def test_every_detail_is_saved_as_an_svg_that_stands_alone_and_says_the_same(page, tmp_path):
    for view in VIEWS:
        open_view(page, view)
        svg = page.evaluate("async () => (await import('./share/svg.js')).svgOf('view')")
        shown = page.locator("#panel").inner_text()
        words = checked(svg, "#14181f")  # dark, as it is shown
        assert sorted(NUMBER.findall(" ".join(words[:-1]))) == sorted(NUMBER.findall(shown)) or fields(page)
        assert len(words) > 10
    page.locator("#rows").focus()
    page.keyboard.press("s")
    page.get_by_role("button", name="light, for print").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="save the picture as SVG").press("Enter")
    assert waiting.value.suggested_filename == "glassbox-picture.svg"
    waiting.value.save_as(tmp_path / "picture.svg")
    words = checked((tmp_path / "picture.svg").read_text("utf-8"), "#faf9f6")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"  # the page itself is as before
    for row in page.locator("#next tbody tr").all():
        assert {row.locator("th").inner_text(), row.locator("td.p").inner_text()} <= set(words)


def fields(page):
    """Whether there are fields in the panel, whose text no element holds."""
    return page.locator("#panel :is(input, select, textarea)").count() > 0


def checked(svg, paper):
    """The words of a file that needs nothing beside it: no script, no HTML, no colour by name or rule."""
    root = ElementTree.fromstring(svg)
    name = "{http://www.w3.org/2000/svg}"
    parts = list(root.iter())
    shapes = "svg title desc defs clipPath pattern g rect line path circle text"
    assert {part.tag.removeprefix(name) for part in parts} <= set(shapes.split())
    for part in parts:
        assert not {"class", "style", "href", "onclick"} & set(part.attrib)
        for of in ("fill", "stroke"):
            assert re.fullmatch(r"#[0-9a-f]{6}|none|url\(#hatch[0-9a-f]{6}\)", part.get(of, "none"))
        assert "NaN" not in str(part.attrib)
    assert root.find(f"{name}rect").get("fill") == paper
    assert root.find(f"{name}title").text.endswith(f"“{TEXT}”")
    about = root.find(f"{name}desc").text
    for said in (f"Prompt: {TEXT}", "Model: storyteller", "off=2.head.1&mean=3.mlp", "Command: gpt2 explain"):
        assert said in about
    assert len(re.search(r"SHA-256 of the weights ([0-9a-f]+)", about)[1]) == 64
    texts = [part for part in parts if part.tag == f"{name}text"]
    assert all("sans-serif" in part.get("font-family") or "monospace" in part.get("font-family") for part in texts)
    return [part.text for part in texts]
