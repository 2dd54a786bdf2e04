"""The teaching guide: its figures are drawn from current numbers, fit a phone, and its links to the live page work."""

import json
import re
import xml.etree.ElementTree as ET
from urllib.parse import parse_qsl

import pytest

from gpt2.addresses import parse
from scripts.guides.render import GUIDE, MEASURED, Renderer
from scripts.guides.subject import ROOT, Subject, rounded
from scripts.guides.teaching import measure
from scripts.guides.teaching.blocks import passes
from scripts.guides.teaching.costs import BREAKS, CHARTS, KNOTS, Bar, bars, place
from scripts.guides.teaching.embeddings import adds_up
from scripts.guides.teaching.gallery import TEACHING
from scripts.guides.teaching.svg import STYLE, Canvas, Sheet, blend
from tests.docs.test_guides_numbers import differences

KEPT = json.loads(MEASURED.read_text("utf-8"))
TAUGHT = json.loads(TEACHING.read_text("utf-8"))
PAGES = [ROOT / "docs" / name for name in ("component_functions.md", "exercises.md", "exercises_answers.md")]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def gallery():
    renderer = Renderer(KEPT["numbers"], dict(KEPT["outputs"]))
    renderer.document("component_functions.md")
    return renderer.gallery


def test_the_figures_are_drawn_from_these_numbers_by_this_code(gallery):
    stale = [name for name, text in gallery.drawn.items() if (GUIDE / f"{name}.svg").read_text("utf-8") != text]
    assert not stale, f"python -m scripts.guides --text draws them anew: {stale}"


def test_every_figure_is_shown_and_nothing_else_is_there(gallery):
    assert gallery.used == set(gallery.drawn) == {path.stem for path in GUIDE.glob("*.svg")}
    assert not list(GUIDE.glob("*.png"))
    with pytest.raises(ValueError, match="no drawn figure 'none'"):
        gallery.show("none", "")


def cut_off(text: str) -> list[str]:
    """Words that leave the figure: 0.5 em per letter, 0.61 in a fixed width, is what they take at least."""
    found, root = [], ET.fromstring(text)
    wide = float((root.get("viewBox") or "").split()[2])
    for item in root.iter(f"{SVG}text"):
        look = (item.get("class") or "").split()
        own = re.findall(r"[\d.]+", item.get("style") or "")
        size = float(own[0]) if own else 12 if "s" in look else 13
        width = size * len(item.text or "") * (0.61 if "k" in look else 0.5)
        left = float(item.get("x") or 0) - width * {"middle": 0.5, "end": 1.0}.get(item.get("text-anchor") or "", 0)
        if left < 0 or left + width > wide:
            found.append(item.text or "")
    return found


def test_no_words_leave_a_figure_and_all_can_be_read_on_a_phone(gallery):
    for name, text in gallery.drawn.items():
        assert cut_off(text) == [], name
        sizes = [float(x) for x in re.findall(r"font-size:([\d.]+)px", text)]
        narrow = f'viewBox="0 0 {Sheet.width} ' in text  # shown unit for unit on a phone
        assert min(sizes) >= (12 if narrow else 10), name
        assert "prefers-color-scheme:dark" in text
        assert "<title" in text


def test_words_that_leave_a_figure_are_found():
    c = Canvas("a", "b")
    c.text(400, 20, "too long for this place")
    c.text(10, 20, "short")
    assert cut_off(c.done(40)) == ["too long for this place"]


def luminance(colour: str) -> float:
    """Of a colour like #0a66ad (WCAG 2.1)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return sum(w * (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4)
               for w, x in zip((0.2126, 0.7152, 0.0722), parts))  # fmt: skip


def contrast(words: str, ground: str) -> float:
    a, b = sorted((luminance(words), luminance(ground)))
    return (b + 0.05) / (a + 0.05)


def over(colour: str, ground: str, share: float) -> str:
    """A colour that covers a share of its ground."""
    mixed = [round(share * int(colour[k : k + 2], 16) + (1 - share) * int(ground[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{x:02x}" for x in mixed)


def test_words_stand_out_from_their_ground_in_light_and_in_dark():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    schemes = [dict(re.findall(r"--(\w+):(#\w{6})", part)) for part in STYLE.split("@media")]
    assert len(schemes) == 2
    for look in schemes:
        for words in ("ink", "dim", "a", "b", "c", "d"):
            assert contrast(look[words], look["bg"]) >= 4.5, words
        assert contrast(look["bg"], look["ink"]) >= 4.5  # the plus of the two paths
        for ground in "abcd":
            assert contrast(look["ink"], over(look[ground], look["bg"], blend(1))) >= 4.5, ground
        assert contrast(look["ink"], over(look["line"], look["bg"], 0.5)) >= 4.5


def test_bars_of_the_costs_share_an_axis_without_a_jump():
    assert (place(0) - place(-0.2)) == pytest.approx(place(0.2) - place(0))
    for value, _ in KNOTS[1:-1]:
        assert place(value + 1e-9) == pytest.approx(place(value), abs=1e-6)
    for at in BREAKS:  # nothing that was measured ends in a break
        assert not any(abs(place(b.value) - at) < 7 for name in CHARTS for b in every_bar(name) if b.value is not None)
    with pytest.raises(ValueError, match=r"\+7.00 nats does not fit"):
        place(7.0)


def every_bar(name: str) -> list[Bar]:
    return bars(name, TAUGHT, Renderer(KEPT["numbers"], dict(KEPT["outputs"])).evidence)


def test_the_sums_of_the_positions_figure_add_up_as_printed():
    v = TAUGHT["vectors"]
    k = adds_up(v)
    for token, position, total in zip(v["tok"], v["pos"], v["sum"]):
        assert float(f"{token[k]:.2f}") + float(f"{position[k]:.2f}") == pytest.approx(float(f"{total[k]:.2f}"))
    one = TAUGHT["stream"]["one"]  # the two paths, with three decimals
    for before, write, after in zip(one["before"], one["attn"], one["mid"]):
        assert float(f"{before:.3f}") + float(f"{write:.3f}") == pytest.approx(float(f"{after:.3f}"))


def test_the_numbers_of_the_figures_are_those_of_the_model():
    assert differences(TAUGHT, measure.numbers()) == []


def test_each_pass_of_the_dropout_figure_loses_something():
    drawn = passes()
    assert all(0 < row.count(0.0) < len(row) for row in drawn)
    assert len({row.count(0.0) for row in drawn}) > 1  # by chance, not a fixed number
    assert all(any(column) for column in zip(*drawn))  # nothing is lost in every pass


def test_merges_are_the_tokenizers_own():
    words = rounded(measure.merges(Subject.load()))["words"]
    assert words["unbelievable"]["steps"][-1]["pieces"] == ["un", "b", "el", "ie", "v", "able"]


# The page's text


def prose(section: str) -> str:
    """A section without code, tables, figures and what is folded away."""
    text = re.sub(r"```.*?```|<details.*?</details>", "", section, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith(("|", "!", "#")))


def test_sections_are_short_and_code_shows_little_plumbing():
    text = PAGES[0].read_text("utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    assert len(sections) == 12
    assert max(len(prose(section).split()) for section in sections) <= 900
    assert len(re.findall(r"\[[-+]\d[\d.]*, [-+]\d[\d.]*\]", prose(text))) <= 8  # intervals
    code = "\n".join(re.findall(r"```py\n(.*?)```", text, re.DOTALL)).splitlines()
    assert sum(bool(re.search(r"probe|\btap\b|Pass\b|\bhere\b", line)) for line in code) <= 10


def test_every_section_has_its_parts():
    for section in re.split(r"^## ", PAGES[0].read_text("utf-8"), flags=re.MULTILINE)[1:]:
        name, section = section.splitlines()[0], " ".join(section.split())
        for part in ("guide/", "**Often said:**", "](index.html#", "*Try:*", "**Exercises.**"):
            assert part in section, (name, part)
        if name != "Key takeaways":
            for part in ("**The problem.**", "**Picture it.**", "*Where this breaks:*", "**By hand.**", "**In code.**"):
                assert part in section, (name, part)


# Links to the live page


def grammar() -> tuple[set[str], set[str], set[str]]:
    """Fields of the page's address, kinds of switches, and views, as the page's own script names them."""
    state = (ROOT / "gpt2/server/web/state.js").read_text("utf-8")
    link = (ROOT / "gpt2/server/web/link.js").read_text("utf-8")
    fields = re.findall(r"^  (\w+):", state.split("DEFAULTS = {")[1].split("};")[0], re.MULTILINE)
    kinds = re.findall(r'"(\w+)"', re.findall(r"STATES = \[(.*?)\]", state)[0])
    views = re.findall(r'"(\w+)"', re.findall(r"VIEWS = \[(.*?)\]", link, re.DOTALL)[0])
    return set(fields), set(kinds), set(views)


def test_links_to_the_live_page_name_what_it_knows():
    fields, kinds, views = grammar()
    links = [link for page in PAGES for link in re.findall(r"\]\(index\.html#(\S+)\)", page.read_text("utf-8"))]
    assert len(links) >= 11
    for link in links:
        for name, value in parse_qsl(link, keep_blank_values=True, strict_parsing=True):
            assert name in fields | kinds, link
            if name == "view":
                assert value in views, link
            for address in value.split(",") if name in kinds else []:
                assert parse(address, 8, 11), link


# Exercises


def test_every_exercise_has_an_answer():
    asked = [number for page in PAGES[:2] for number in re.findall(r"\*(\d+\.\d+)\*", page.read_text("utf-8"))]
    answered = re.findall(r"^\*\*(\d+\.\d+)\*\*", PAGES[2].read_text("utf-8"), re.MULTILINE)
    assert sorted(asked) == sorted(answered)
    assert len(asked) == len(set(asked)) >= 40


def test_models_without_norms_diverged_where_the_plain_one_did_not():
    for study, rate in (("minute", 4.0), ("gpu", 2.0)):
        lines = (ROOT / "results" / "ablation" / f"{study}.jsonl").read_text("utf-8").splitlines()
        tried = [record for record in map(json.loads, lines) if record["purpose"] == "tune" and record["rate"] == rate]
        ended = {record["contestant"]: record["diverged_at"] for record in tried}
        assert ended["baseline"] is None
        assert ended["no-norm"] is not None


# The exercises' answers


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def numbers(text: str) -> set[float]:
    return {float(found.replace(",", "")) for found in NUMBER.findall(text)}


def unfounded(answer: str, known: set[float]) -> list[str]:
    """Numbers of a sentence that are none of `known`, as a number or a share, to their own decimals."""
    found = []
    for word in NUMBER.findall(answer):
        value, decimals = float(word.replace(",", "")), len(word.partition(".")[2])
        if value > 10 or decimals:
            near = (round(scale * k, decimals) for k in known for scale in (1, 100))
            if not any(abs(value - k) < 1e-9 for k in near):
                found.append(word)
    return found


def test_every_number_of_an_answer_is_computed_beside_it_or_asked_for():
    config = Subject.load().model.config
    sizes = {float(v) for v in (config.n_embd, config.vocab_size, config.n_positions, config.n_layer, config.inner_dim)}
    asked = "\n".join(page.read_text("utf-8") for page in PAGES[:2])
    by_hand = numbers(" ".join(re.findall(r"\*\*By hand\.\*\*(.*?)\n\n", asked, re.DOTALL)))
    checked = 0
    for section in re.split(r"^## ", PAGES[2].read_text("utf-8"), flags=re.MULTILINE)[1:]:
        blocks = "\n".join(re.findall(r"```.*?```", section, re.DOTALL))
        prose = re.sub(r"```.*?```", "", section, flags=re.DOTALL)
        for name, answer in re.findall(r"\*\*(\d+\.\d)\*\* (.*?)(?=\n\*\*\d|\Z)", prose, re.DOTALL):
            question = re.findall(rf"\*{re.escape(name)}\*(.*?)(?=\*\d+\.\d\*|\n##|\Z)", asked, re.DOTALL)
            known = sizes | by_hand | numbers(blocks + " ".join(question))
            assert unfounded(answer, known) == [], (name, answer)
            checked += 1
    assert checked >= 40


def test_an_invented_number_is_found():
    assert unfounded("It is 41.3%, of 7 or 8,192.", {8192.0, 0.402}) == ["41.3"]
