"""Three panels of the page in a browser: MATHS, a story, which gives the reader's own page back, and WHY.

The browser is conftest.py's.
"""

import re

import pytest
from page_server import serving
from playwright.sync_api import expect

from gpt2.cli.main import main
from gpt2.explain import leave_one_out, trace, zero
from gpt2.server.live import write_live
from tests.explained import BLOCKS, HEADS, storyteller

TEXT = "The cat sat on the"
COPIED = "The cat had a blue spoon. One day, the cat lost the blue"


def of_spoon(checkpoint, *heads):
    token = checkpoint.tokenizer.encode(" spoon")[0]
    return float(trace(checkpoint, COPIED, edit=dict.fromkeys(heads, zero)).logits[0, -1].softmax(-1)[token])


def numbers(page, selector, name):
    return [float(element.get_attribute(name)) for element in page.locator(selector).all()]


@pytest.fixture(scope="module")
def port():
    with serving(storyteller()) as port:
        yield port


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(300_000)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.add_init_script("localStorage.setItem('glassbox-tour', '1')")
    yield page
    context.close()
    assert problems == []


OPERANDS = """async () => {
  const { order, step, hasHead } = await import("/places.js");
  const model = await glassbox.ask("model");
  const text = "The cat sat on the";
  const ask = (p) => glassbox.ask("calculation", { text, ...p, row: p.row < 0 ? 4 : p.row });
  const wrong = [];
  let compared = 0;
  for (const address of order(model).filter((a) => !/^[1-6]\\./.test(a))) {
    const place = { address, head: hasHead(address) ? 2 : null, row: -1, index: address.endsWith("scale") ? 0 : 3 };
    const [one, found] = [step(place, model), await ask(place)];
    if (Math.abs(found.value - found.computed) > 1e-4) wrong.push([address, found.value, found.computed]);
    const operands = [...found.at.data.slice(0, 3)].flatMap((i, n) => [[one.at(i), found.left.data[n]],
      [one.other(i), found.right.data[n]]]);
    if (found.kind === "norm") operands.push([one.at(3), found.numbers.x], [one.other(3), found.numbers.sigma]);
    if (found.kind === "activation") operands.push([one.at(3), found.numbers.x]);
    if (found.kind === "softmax") operands.push([one.at(3), found.numbers.score]);
    for (const [where, x] of operands) {
      if (where === null || where.address === address) continue;
      compared += 1;
      const there = (await ask(where)).value;
      if (Math.abs(there - x) > 1e-5 * Math.max(1, Math.abs(x))) wrong.push([address, where, x, there]);
    }
  }
  return [compared, wrong];
}"""


def test_every_number_leads_to_the_calculation_that_made_it(page, port, capsys):
    page.goto(f"http://127.0.0.1:{port}/#text={TEXT}&view=maths&calc=2.attn.pattern~4~~1")
    panel = page.locator("#panel")
    assert main(["walk", TEXT, "--block", "2", "--heads", "4"]) == 0
    walked = capsys.readouterr().out
    scores, pattern = (re.search(rf" {title} .*?\n +4 (.*?)\n", walked, re.S)[1] for title in ("Scores", "Pattern"))
    shown = re.findall(r"-?\d+\.\d+", pattern)[1]
    expect(panel).to_contain_text(f"attention weight, head 2.4: ·the (4) reads ·cat (1) = {shown}")
    page.locator("#panel .sum button").first.click()
    score = re.findall(r"-?\d+\.\d+", scores)[1].replace("-", "−")
    expect(panel).to_contain_text(f"score, head 2.4: ·the (4) reads ·cat (1) = {score}")
    page.locator("#panel tbody button").nth(1).click()
    expect(panel).to_contain_text("key, head 2.4, number")
    expect(panel).to_contain_text("at row 1 ·cat")
    page.get_by_role("button", name="step after").click()
    expect(panel).to_contain_text("value, head 2.4")
    page.click("#tab-attention")
    page.locator("#panel .sources button").first.click()
    expect(panel).to_contain_text("attention weight, head 0.0")
    page.click("#tab-attention")
    page.get_by_role("button", name="all blocks").click()
    expect(page.locator("#panel .heads-grid .thumb")).to_have_count(BLOCKS * HEADS)
    page.locator("#panel .heads-grid .thumb").last.click()
    expect(page.locator("#chosen")).to_contain_text(f"head {BLOCKS - 1}.{HEADS - 1}")
    compared, wrong = page.evaluate(OPERANDS)
    assert wrong == []
    assert compared > 90


def test_a_story_and_the_graph_of_a_prediction(page, port):
    checkpoint = storyteller()
    page.goto(f"http://127.0.0.1:{port}/#text={TEXT}&view=story&off=2.mlp&row=3")

    answered = page.locator("#panel .answered")
    page.click("#panel [data-key='copy']")
    expect(page.locator("#text")).to_have_value(COPIED)
    expect(answered).to_have_text("Guess first.")
    assert "off=" not in page.url
    page.click("#panel [data-key='guess:2']")
    expect(answered).to_contain_text("No. The answer is: yes, almost as surely.")
    expect(answered).to_contain_text(f"{of_spoon(checkpoint):.1%} → {of_spoon(checkpoint, '6.head.5'):.1%}")
    page.click("#panel [data-key='more']")
    three = of_spoon(checkpoint, "6.head.5", "6.head.7", "6.head.10")
    expect(answered).to_contain_text(f"→ {three:.1%}")
    page.get_by_role("group", name="switch head 6.10").get_by_text("on", exact=True).click()
    expect(answered).to_contain_text("no longer those of the story")  # it does not speak of another run
    page.click("#panel [data-key='resume']")
    expect(answered).to_contain_text(f"→ {three:.1%}")
    page.click("#panel [data-key='mine']")
    expect(page.locator("#text")).to_have_value(TEXT)
    expect(page.locator("#sentence")).to_contain_text("Without MLP 2")
    expect(page.locator("#next h2")).to_contain_text("row 3")

    page.goto(f"http://127.0.0.1:{port}/#text={TEXT}&view=why&foil=·table")
    expect(page.locator("#panel .why .part[data-part]")).to_have_count(12)
    logits = trace(checkpoint, TEXT).logits[0, -1]
    grass, table = (logits[checkpoint.tokenizer.encode(word)[0]] for word in (" grass", " table"))
    (whole,), (drawn,), (rest,) = (numbers(page, "#panel .sum", f"data-{name}") for name in ("whole", "sum", "rest"))
    assert abs(whole - float(grass - table)) < 1e-4
    assert abs(drawn + rest - whole) < 1e-4
    assert abs(sum(numbers(page, "#panel .why [data-part]", "data-adds")) - drawn) < 1e-6
    assert page.locator("#panel .why path.plus, #panel .why path.minus").count() == 12

    node = page.locator("#panel [data-part='5.mlp']")
    node.focus()
    for _ in range(2):  # the first selects, the second switches; the focus stays
        page.keyboard.press("Enter")
        expect(node).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#sentence")).to_contain_text("Without MLP 5")
    expect(node).to_have_attribute("data-state", "off")
    expect(node).to_be_focused()
    expect(node).to_have_attribute("data-adds", "0")  # it stays, to be switched on again


def test_the_sentence_says_what_adds_most_to_the_lead_and_leads_on(page, port):
    checkpoint = storyteller()
    found = trace(checkpoint, COPIED).attribution()
    adds = {name: value for name, value in found.top(99) if value > 0 and re.fullmatch(r"\d+\.(mlp|head\.\d+)", name)}
    (one, most), (_, second), *_ = adds.items()
    page.goto(f"http://127.0.0.1:{port}/#text={COPIED}")
    reasons = page.locator("#sentence .reasons")
    for value in (most, second):
        expect(reasons).to_contain_text(f"({value:+.2f}")
    expect(reasons).to_contain_text(f"It leads {found.foil} by {found.whole:.2f} logits")
    page.click("#sentence [data-key='reasons:why']")
    expect(page.locator("#panel .why .part[data-part]")).to_have_count(12)
    page.click("#sentence [data-key='reasons:break']")
    expect(page.locator("#sentence")).to_contain_text("Without ")
    assert f"off={one}" in page.url
    page.go_back()  # undone
    expect(reasons).to_contain_text("It leads")

    page.goto(f"http://127.0.0.1:{port}/?")  # no address says what to open
    expect(page.locator("#panel .stories section")).to_have_count(8)  # where a reader begins
    page.click("#help")
    expect(page.locator("#dialog")).to_contain_text("if it stopped here")
    assert page.evaluate("document.querySelector('#dialog').scrollTop") == 0


def test_a_live_file_opens_with_its_row_in_view_and_brings_what_was_measured(page, tmp_path):
    """The parts under the picture come later there, and take room from it; what is brought is drawn unasked."""
    page.goto(write_live(storyteller(), COPIED, tmp_path / "page.html").as_uri())
    page.wait_for_selector("#under text, #under span")
    page.wait_for_selector("#sentence .reasons:not([data-coming])")
    page.wait_for_function("document.querySelector('#panel').ariaBusy === 'false'")
    row, box = (page.locator(name).bounding_box() for name in ("#rows .chosen", "#rows"))
    assert box["y"] <= row["y"] + 1
    assert row["y"] + row["height"] <= box["y"] + box["height"] + 1
    page.click("#tab-off")
    page.click("#panel [data-key='missed on:other']")
    expect(page.locator("#panel")).to_contain_text("loss without it, nats per token")
    page.click("#panel [data-key='missed on:this']")
    page.click("#panel [data-key='replaced by:zero']")
    page.get_by_role("button", name="measure").click()
    found = leave_one_out(trace(storyteller(), COPIED), zero)
    lost = page.locator("#panel .missed tbody td:nth-child(3)")
    expect(lost).to_have_count(len(found.names))
    shown = [float(text.replace("−", "-")) for text in lost.all_inner_texts()]
    assert shown == pytest.approx([float(found.change[k]) for k in found.order], abs=6e-5)
