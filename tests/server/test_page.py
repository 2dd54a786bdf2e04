"""The page in a browser: typing, switching, patching, exporting; its numbers are those that Python gives.

The browser is conftest.py's.
"""

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from page_server import VIEWS, serving
from playwright.sync_api import expect

from gpt2.explain import reference, trace, zero
from gpt2.explain.change.patching import Patching
from tests.explained import BLOCKS, shallow, storyteller

TEXT = "The cat sat on the"


@pytest.fixture(scope="module")
def checkpoint():
    return storyteller()


@pytest.fixture(scope="module", autouse=True)
def few_documents():
    """Means are taken over two short documents, to be quick."""
    documents = ["One day a dog found a red ball.", "Tom and Sue ran to the park, and they played."]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt2.server.means.reference", lambda checkpoint: reference(checkpoint, documents))
        yield


@pytest.fixture(scope="module")
def port(checkpoint):
    with serving(checkpoint) as port:
        yield port


@pytest.fixture
def context(browser):
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, accept_downloads=True, reduced_motion="reduce"
    )
    context.set_default_timeout(300_000)
    yield context
    context.close()


@pytest.fixture
def page(context, port):
    """A page whose errors and requests are noted; the tour has been seen."""
    page = watched(context)
    page.add_init_script("localStorage.setItem('glassbox-tour', '1')")
    yield page
    assert page.problems == []
    assert {url.split("/")[2] for url in page.asked if url.startswith("http")} <= {f"127.0.0.1:{port}"}


def watched(context):
    page = context.new_page()
    page.problems, page.asked = [], []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.asked.append(request.url))
    return page


def open_(page, port, fragment=""):
    page.goto(f"http://127.0.0.1:{port}/#text={TEXT}{fragment}")
    expect(page.locator("#next tbody tr")).to_have_count(10)


def shown(page):
    """The probability of each token in the list on the right, as the page writes it."""
    rows = page.locator("#next tbody tr").all()
    return {int(row.get_attribute("data-token")): number(row.locator("td.p").inner_text()) for row in rows}


def number(text):
    """What the page writes as a number; of a percentage, the share."""
    value = float(text.replace("−", "-").rstrip("%"))
    return value / 100 if text.endswith("%") else value


def probabilities(checkpoint, text, edit=None):
    return trace(checkpoint, text, edit=edit or {}).logits[0, -1].softmax(-1)


def agree(page, wanted):
    found = shown(page)
    assert len(found) == 10
    for token, p in found.items():
        assert p == pytest.approx(float(wanted[token]), rel=6e-3)  # three digits


def test_it_loads_takes_a_prompt_and_switches_a_head_off(page, port, checkpoint):
    open_(page, port)
    agree(page, probabilities(checkpoint, TEXT))
    expect(page.locator("#rows .river")).to_have_count(5)
    assert page.locator("#rows .arc").count() > 10
    assert page.locator("#rows [data-from='0']").count() == 0  # what rests on the first token has no arc, but a number
    written = trace_written(checkpoint)
    assert page.locator("#under .share").all_inner_texts() == [f"{round(100 * share)}%" for share in written]
    page.locator("#rows .touch").last.hover(force=True)  # the strongest arc of the selected row
    expect(page.locator("#card")).to_contain_text("row 4 ·the reads row")

    text = "Once upon a time there was a little"
    page.fill("#text", text)
    page.press("#text", "Enter")
    expect(page.locator("#rows .river")).to_have_count(8)
    agree(page, probabilities(checkpoint, text))

    page.click("[data-key='2.attn']")  # a click selects and shows the heads, a second one switches
    page.click("#panel .thumb[data-key='2.head.1']")
    page.get_by_role("group", name="switch head 2.1").get_by_text("off").click()
    expect(page.locator("#sentence")).to_contain_text("Without head 2.1")
    edited, plain = probabilities(checkpoint, text, {"2.head.1": zero}), probabilities(checkpoint, text)
    assert (edited - plain).abs().max() > 1e-3
    agree(page, edited)
    for row in page.locator("#next tbody tr").all():
        token, change = (
            int(row.get_attribute("data-token")),
            number(row.locator("td.change").inner_text().replace("+", "")),
        )
        assert change / 100 == pytest.approx(float(edited[token] - plain[token]), rel=1e-2, abs=2e-7)
    assert "off=2.head.1" in page.url
    assert page.locator("#stations [data-key='2.attn'] svg").get_attribute("data-state") == "part"

    page.reload()  # the address holds the state
    expect(page.locator("#sentence")).to_contain_text("Without head 2.1")
    agree(page, edited)
    page.get_by_role("button", name="all on").first.click()
    expect(page.locator("#sentence")).not_to_contain_text("Without")
    agree(page, plain)


def trace_written(checkpoint):
    """The share of what each block's attention writes to the last row that it reads from the first."""
    run = trace(checkpoint, TEXT, read=["*.attn.v", "*.attn.pattern"])
    for l, block in enumerate(checkpoint.model.transformer.h):
        lengths = block.attn.head_writes(run[f"{l}.attn.v"])[0].norm(dim=-1)  # (H, T)
        sizes = (run[f"{l}.attn.pattern"][0, :, -1] * lengths).sum(dim=0)
        yield (sizes[0] / sizes.sum()).item()


def test_it_sweeps_a_patch_with_the_scores_that_python_gives(page, port, checkpoint):
    open_(page, port, "&view=patch&tables=1")
    page.get_by_label("second prompt").fill("The dog ran to the")
    page.route("**/api/patch", lambda route: None)  # no answer comes
    page.get_by_role("button", name="sweep").click()
    page.get_by_role("button", name="cancel").click()
    expect(page.locator("#panel")).to_contain_text("Cancelled: sweep begins it again.")
    expect(page.locator("#panel table.plain, #panel progress")).to_have_count(0)
    page.unroute("**/api/patch")
    page.get_by_role("button", name="sweep").click()
    expect(page.locator("#panel table.plain tbody tr")).to_have_count(BLOCKS)
    expect(page.locator("#panel h3").nth(1)).to_contain_text("lead")
    grid = Patching(checkpoint, TEXT, "The dog ran to the").grid("resid").scores
    for l in range(BLOCKS):
        cells = page.locator("#panel table.plain tbody tr").nth(BLOCKS - 1 - l).locator("td").all_inner_texts()
        assert [number(cell) for cell in cells] == pytest.approx(grid[l].tolist(), rel=1e-2, abs=1e-4)
    page.get_by_label("second prompt").fill("The dog")
    page.get_by_role("button", name="sweep").click()
    expect(page.locator("#panel")).to_contain_text("patching needs equal lengths")
    page.problems.clear()  # the browser notes that the server refused


def test_it_exports_a_file_that_opens_from_disk_without_a_network(context, tmp_path):
    """Of a small model, whose page has few answers."""
    checkpoint, text = shallow(tmp_path / "model"), "The cat sat"
    with serving(checkpoint) as port:
        page = watched(context)
        page.add_init_script("localStorage.setItem('glassbox-tour', '1')")
        path = exported(page, port, text, tmp_path / "run.html")
        assert page.problems == []
    context.set_offline(True)
    alone = watched(context)
    alone.goto(path.as_uri())
    expect(alone.locator("#sentence")).to_contain_text("Without MLP 2")  # as it was saved
    agree(alone, probabilities(checkpoint, text, {"2.mlp": zero}))
    expect(alone.locator("#panel table.grid tr")).to_have_count(2 * checkpoint.model.config.n_layer + 2)
    alone.get_by_role("button", name="all on").first.click()
    agree(alone, probabilities(checkpoint, text))
    for view in ("why", "attention", "attribution", "neurons", "positions"):
        alone.click(f"#tab-{view}")
        expect(alone.locator("#panel .why, #panel .barlist, #panel canvas, #panel table").first).to_be_visible()
        expect(alone.locator("#panel .refusal")).to_have_count(0)
    alone.click("[data-key='1.attn']")
    alone.click("[data-key='1.attn']")
    expect(alone.locator("#sentence")).to_contain_text("Without attention 1")
    agree(alone, probabilities(checkpoint, text, {"1.attn": zero}))
    alone.click("[data-key='1.mlp']")
    alone.click("[data-key='1.mlp']")  # a second switch, for which the file has no answer
    expect(alone.locator("#sentence")).to_contain_text(f"gpt2 explain '{text}' --page")
    expect(alone.locator("#next")).to_have_css("opacity", "0.35")
    assert alone.locator("#export").is_disabled()
    assert [url for url in alone.asked if not url.startswith(("file:", "data:"))] == []
    assert alone.problems == []


def exported(page, port, text, path):
    """The file that the page's button gives, for a text without MLP 2."""
    page.goto(f"http://127.0.0.1:{port}/#text={text}&off=2.mlp&view=lens")
    expect(page.locator("#sentence")).to_contain_text("Without MLP 2")
    with page.expect_download(timeout=600_000) as waiting:
        page.click("#export")
    waiting.value.save_as(path)
    return path


def test_the_keyboard_reaches_everything(page, port, checkpoint):
    open_(page, port)
    page.locator("#rows").focus()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#next h2")).to_contain_text("row 3")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")  # from attention 0 to the second norm, which has no off
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chosen")).to_contain_text("MLP of block 0")
    page.keyboard.press("x")
    expect(page.locator("#sentence")).to_contain_text("Without MLP 0")
    agree(page, probabilities(checkpoint, TEXT, {"0.mlp": zero}))
    page.keyboard.press("x")
    page.keyboard.press("l")
    expect(page.locator("#chosen")).to_contain_text("head 0.0")
    page.keyboard.press("t")
    expect(page.locator("#rows table tbody tr")).to_have_count(5)
    expect(page.locator("#panel table.plain tbody tr")).to_have_count(5)
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_contain_text("switch what is selected")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    style = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(style) == "solid"


def test_every_control_has_a_name_and_words_can_be_read(page, port):
    """By axe's rules, light and dark, such as names for a screen reader and contrast; no text under 12 pixels."""
    open_(page, port, "&off=2.head.1&beside=The dog sat on the")
    for block in (BLOCKS - 1, 0):
        page.locator("#stations .block").nth(block).click()
        assert page.evaluate(OVERLAPS) == []
    page.locator("#stations .place").nth(2).click()
    expect(page.locator("#stations .name")).to_have_text(
        ["position table", "norm", "attention", "norm", "MLP", *["attn", "MLP"] * (BLOCKS - 1), "final norm"]
    )
    for view in VIEWS:
        page.click(f"#tab-{view}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate(SMALL) == []
        for _ in range(2):
            found = [(one["id"], one["nodes"][0]["html"]) for one in Axe().run(page).response["violations"]]
            assert found == []
            page.click("#theme")


SMALL = """() => {
  const small = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const [text, e] = [texts.currentNode.data.trim(), texts.currentNode.parentElement];
    if (text && e.checkVisibility() && !e.closest("title") && parseFloat(getComputedStyle(e).fontSize) < 12)
      small.push(`${e.tagName} ${text}`);
  }
  return small;
}"""

# Names at the head of the picture that lie on one another.
OVERLAPS = """() => {
  const all = [...document.querySelectorAll("#stations :is(.name, .does, .column, .block)")];
  const boxes = all.map((e) => [e.textContent, e.getBoundingClientRect()]);
  const across = (a, b) => a.left < b.right - 0.5 && b.left < a.right - 0.5;
  const touch = (a, b) => across(a, b) && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const on = ([name, a], i) => boxes.slice(i + 1).filter(([, b]) => touch(a, b)).map(([other]) => `${name} ${other}`);
  return boxes.flatMap(on);
}"""


def test_the_tour_stands_beside_the_page_and_gives_the_readers_own_state_back(context, port):
    """Each step begins with everything on, points at what is there, and covers none of it, on a phone too."""
    page = watched(context)
    open_(page, port, "&off=2.mlp&view=lens")
    tour = page.locator("#tour")
    for step in range(1, 11):
        expect(tour).to_contain_text(f"{step} of 10")
        assert "off=" not in page.url  # the head of one step was once still off in the next
        expect(page.locator(".pointed")).to_have_count(1)
        page.wait_for_function(BESIDE)
        tour.locator("button.main").click()
        expect(tour.locator(".answer")).not_to_be_empty()
        if step == 5:
            page.set_viewport_size({"width": 390, "height": 844})
        tour.locator(".copies button").nth(1).click()
    expect(tour).to_be_hidden()
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(page.locator("#sentence")).to_contain_text("Without MLP 2")
    expect(page.locator("#tab-lens")).to_have_attribute("aria-selected", "true")
    page.reload()
    expect(page.locator("#next tbody tr")).to_have_count(10)
    expect(tour).to_be_hidden()
    assert page.problems == []


BESIDE = """() => {
  const [it, tour] = [".pointed", "#tour"].map((name) => document.querySelector(name).getBoundingClientRect());
  const across = Math.min(it.right, tour.right) - Math.max(it.left, tour.left);
  const down = Math.min(it.bottom, tour.top) - Math.max(it.top, 0);
  const seen = innerWidth > 900 ? across <= 0 : down > 10 && it.right > 0 && it.left < innerWidth;
  return it.width > 0 && seen && document.documentElement.scrollWidth <= innerWidth;
}"""


def test_a_small_change_keeps_the_sign_of_its_exponent(page, port):
    open_(page, port)
    signed = page.evaluate("async () => (await import('./format.js')).signed(-4.91e-4)")
    assert signed == "−4.91e−4"  # it once lost both signs but one


def test_a_step_writes_the_token_that_generate_writes(page, port, checkpoint):
    from gpt2 import Sampling, generate

    open_(page, port, "&temperature=1.2&seed=3")
    ((one,),) = generate(checkpoint.model, checkpoint.tokenizer, TEXT, Sampling(max_tokens=2, temperature=1.2, seed=3))
    for n in (1, 2):
        page.get_by_role("button", name="step").click()
        wanted = TEXT + checkpoint.tokenizer.decode(one.ids[:n])
        expect(page.locator("#text")).to_have_value(wanted)


def test_a_wrong_prompt_or_address_is_answered_in_a_sentence(page, port):
    open_(page, port)
    for text, wanted in (("", "the prompt is empty"), ("ab " * 600, "shorten it by")):
        page.fill("#text", text)
        page.press("#text", "Enter")
        expect(page.locator("#sentence")).to_contain_text(wanted)
        for place in ("#rows", "#next", "#panel"):  # they once stood there as if they were the answer
            expect(page.locator(place)).to_have_css("opacity", "0.35")
    page.get_by_role("button", name="back to it").click()
    expect(page.locator("#text")).to_have_value(TEXT)
    expect(page.locator("#rows")).to_have_css("opacity", "1")
    page.click("#undo")  # as the browser's Back
    expect(page.locator("#text")).to_have_value("ab " * 600)
    page.goto("about:blank")
    page.goto(f"http://127.0.0.1:{port}/#text={TEXT}&row=77&view=attribution&target=two words")
    expect(page.locator("#notice")).to_contain_text("this text has the rows 0 to 4")
    page.get_by_role("button", name="the prediction against the runner-up").click()
    expect(page.locator("#panel")).to_contain_text("remaining error")
    page.goto("about:blank")
    page.goto(f"http://127.0.0.1:{port}/#text=&off={BLOCKS}.head.1,2.mlp&view=constructor")  # once a blank page
    expect(page.locator("#notice")).to_contain_text(f"text=, off={BLOCKS}.head.1, view=constructor")
    expect(page.locator("#sentence")).to_contain_text("Without MLP 2")
    expect(page.locator("#panel canvas").last).to_have_attribute("aria-label", "attention weight, head 0.0")
    page.goto("about:blank")
    page.goto(f"http://127.0.0.1:{port}/#text={'ab ' * 600}")  # where nothing was there before, the usual run is
    expect(page.locator("#sentence")).to_contain_text("shorten it by")
    expect(page.locator("#rows .river")).to_have_count(5)
    expect(page.locator("#rows")).to_have_css("opacity", "0.35")
    page.route("**/api/positions", lambda route: None)  # never answered
    page.click("#tab-positions")
    expect(page.locator("#panel")).to_have_text("…")  # not the tab before
    page.problems.clear()  # the browser notes that the server refused


def test_a_model_of_many_blocks_and_a_long_text_are_drawn(context, tmp_path):
    """Twelve blocks are squeezed and open by a click alone; of many rows only those in view are drawn."""
    from gpt2.checkpoint.files import Checkpoint
    from gpt2.config import GPT2Config
    from gpt2.model import GPT2
    from gpt2.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.bytes()
    config = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=400, n_embd=16, n_layer=12, n_head=2)
    with torch.no_grad(), serving(Checkpoint(GPT2(config).eval(), tokenizer, "tiny", tmp_path)) as port:
        page = watched(context)
        page.add_init_script("localStorage.setItem('glassbox-tour', '1')")
        page.goto(f"http://127.0.0.1:{port}/#text={'ab ' * 133}")
        expect(page.locator("#stations .block")).to_have_count(12)
        expect(page.locator("#panel canvas").last).to_be_visible()  # its 398 x 398 numbers were once too many
        assert 10 <= page.locator("#rows .river").count() <= 20

        def width(l):
            return page.evaluate(f"document.querySelector('[data-key=\"{l}.block\"]').getBoundingClientRect().width")

        assert width(0) > 1.5 * width(7)
        assert page.evaluate(OVERLAPS) == []
        for l in (1, 6, 11):  # a block that opened under the pointer once moved its glyph away
            page.hover(f"#stations [data-key='{l}.attn']")
            page.mouse.down()
            page.mouse.up()
            expect(page.locator("#chosen")).to_contain_text(f"attention of block {l}")
        assert width(0) > 1.5 * width(7)
        page.click("#stations [data-key='7.block']")
        expect(page.locator("#stations [data-key='7.block']")).to_have_text("BLOCK 7 of 12")
        assert width(7) > 1.5 * width(0)
        page.locator("#rows").focus()
        for _ in range(18):
            page.keyboard.press("ArrowUp")
        expect(page.locator("#next h2")).to_contain_text("row 379")
        expect(page.locator("#rows .river[data-row='379']")).to_have_count(1)
        assert page.problems == []
