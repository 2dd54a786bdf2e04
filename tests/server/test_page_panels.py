"""Two panels of the page in a browser: a story, which gives the reader's own page back, and the graph of a prediction.

The browser is conftest.py's.
"""

from page_server import serving
from playwright.sync_api import expect

from gpt2.explain import trace, zero
from tests.explained import storyteller

TEXT = "The cat sat on the"
COPIED = "The cat had a blue spoon. One day, the cat lost the blue"


def of_spoon(checkpoint, *heads):
    token = checkpoint.tokenizer.encode(" spoon")[0]
    return float(trace(checkpoint, COPIED, edit=dict.fromkeys(heads, zero)).logits[0, -1].softmax(-1)[token])


def numbers(page, selector, name):
    return [float(element.get_attribute(name)) for element in page.locator(selector).all()]


def test_a_story_and_the_graph_of_a_prediction(browser):
    checkpoint = storyteller()
    with serving(checkpoint) as port:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        context.set_default_timeout(300_000)
        page = context.new_page()
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.add_init_script("localStorage.setItem('glassbox-tour', '1')")
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
        (whole,), (drawn,), (rest,) = (
            numbers(page, "#panel .sum", f"data-{name}") for name in ("whole", "sum", "rest")
        )
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
        context.close()
        assert problems == []
