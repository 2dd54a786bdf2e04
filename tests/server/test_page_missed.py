"""The tab "break it" in a browser: what each component is worth on this text, as gpt2.explain.leave_one_out has it.

The browser is conftest.py's; the engine in a live file is asked in test_page_panels.py and test_live.py.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from page_server import serving
from playwright.sync_api import expect

from gpt2.explain import leave_one_out, trace, zero
from gpt2.server.export import export_html
from tests.explained import shallow

TEXT = "The cat sat on the"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return shallow(tmp_path_factory.mktemp("shallow") / "model")


@pytest.fixture(scope="module")
def port(checkpoint):
    with serving(checkpoint) as port:
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


def rows(page):
    """The table: the component by its name, the change of the loss, p of the row's first token in percent, then."""
    cells = [
        row.locator("th, td:not(.bars)").all_inner_texts() for row in page.locator("#panel .missed tbody tr").all()
    ]
    return [(name, float(change.replace("−", "-")), p, then) for name, change, p, then in cells]


def agree(page, found, row):
    """The table is the result's: its order, its numbers to the digits shown, and another first token where there is."""
    shown = rows(page)
    assert len(shown) == len(found.names)
    for (name, change, p, then), k in zip(shown, found.order):
        block, _, kind = found.names[k].partition(".")
        plain = {"attn": "attention ", "mlp": "MLP ", "block": "block "}
        assert name == ("positions" if block == "embed" else f"{plain[kind]}{block}")
        assert change == pytest.approx(float(found.change[k]), abs=6e-5)
        assert float(p.rstrip("%").replace("−", "-")) == pytest.approx(100 * float(found.p_without[k, row]), rel=6e-3)
        new = int(found.first_without[k, row])
        assert then == ("" if new == int(found.first[row]) else found.words[new])


def test_each_component_is_left_out_of_the_run_that_is_shown_and_of_no_other(page, port, checkpoint):
    page.goto(f"http://127.0.0.1:{port}/#text={TEXT}&view=off&off=1.mlp")
    measure, table = page.get_by_role("button", name="measure"), page.locator("#panel .missed table")
    page.click("#panel [data-key='replaced by:zero']")
    page.route("**/api/leave_one_out", lambda route: None)  # no answer comes
    measure.click()
    expect(page.locator("#panel progress")).to_be_visible()
    page.get_by_role("button", name="cancel").click()
    expect(page.locator("#panel progress")).to_have_count(0)
    page.unroute("**/api/leave_one_out")
    measure.click()
    expect(table).to_be_visible()
    run = trace(checkpoint, TEXT, edit={"1.mlp": zero})
    found = leave_one_out(run, zero)
    agree(page, found, 4)
    head = table.get_by_role("columnheader").all_inner_texts()
    assert head[-2].startswith(found.words[int(found.first[4])])
    assert [one["id"] for one in Axe().run(page).response["violations"]] == []

    page.locator("#rows").focus()  # another row: of the same answer, its own numbers
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    expect(page.locator("#next h2")).to_contain_text("row 2")
    expect(table.get_by_role("columnheader").nth(2)).to_contain_text(found.words[int(found.first[2])])
    agree(page, found, 2)

    missed = page.locator("#panel .missed tbody button").first
    name = missed.inner_text()
    missed.click()  # its switch, and so another run
    expect(page.locator("#sentence")).to_contain_text(name)
    expect(page.locator("#panel")).to_contain_text("It was measured with other switches")
    expect(table).to_have_count(0)
    page.click("#undo")
    expect(table).to_be_visible()
    agree(page, found, 2)
    page.fill("#text", "The dog sat on the")
    page.press("#text", "Enter")
    expect(page.locator("#rows .river").first).to_be_visible()
    expect(measure).to_be_visible()
    expect(table).to_have_count(0)


def test_one_token_has_no_loss_and_a_still_file_names_the_command(page, port, checkpoint, tmp_path):
    page.goto(f"http://127.0.0.1:{port}/#text=The&view=off")
    page.click("#panel [data-key='replaced by:zero']")
    page.click("#panel [data-key='components:blocks']")
    page.get_by_role("button", name="measure").click()
    expect(page.locator("#panel .missed tbody tr")).to_have_count(checkpoint.model.config.n_layer)
    expect(page.locator("#panel .missed")).to_contain_text("A text of one token has no loss")

    page.goto(export_html(checkpoint, TEXT, tmp_path / "still.html").as_uri() + "#view=off")
    page.click("#panel [data-key='components:heads']")
    expect(page.get_by_role("button", name="measure")).to_be_disabled()
    name = checkpoint.name
    command = f"gpt2 explain leave-one-out '{TEXT}' --components '*.head.*' --position 4 --model '{name}'"
    expect(page.locator("#panel .wide code")).to_have_text(command)
