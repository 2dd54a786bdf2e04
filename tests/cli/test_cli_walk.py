"""`gpt2 walk`: what it prints are the numbers of its JSON, plain in a pipe, narrowed as asked."""

import io
import json
import re
import sys

import pytest
import torch

from gpt2.addresses import parse
from gpt2.checkpoint.files import save
from gpt2.cli.main import main
from gpt2.cli.walk.guide import GUIDE, Section
from gpt2.cli.walk.page import num
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from tests.docs.test_readme import ROOT


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A checkpoint whose tokens are bytes, with a rate of 0 at every place."""
    tokenizer = Tokenizer.bytes()
    config = GPT2Config(
        vocab_size=tokenizer.vocab_size, n_positions=64, n_embd=24, n_layer=4, n_head=3,
        embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
    )  # fmt: skip
    model = GPT2(config)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    path = tmp_path_factory.mktemp("walk") / "model"
    save(model, tokenizer, path)
    return path


@pytest.fixture
def run(directory, capsys, monkeypatch):
    """Run `gpt2 walk` and return (exit code, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "80")

    def command(*words):
        code = main(["walk", *words, "--model", str(directory)])
        return (code, *capsys.readouterr())

    return command


def first(vector, n=4):
    """The numbers of a JSON vector as a page prints them."""
    return "".join(num(x, 8) for x in vector["values"][:n])


def test_the_page_prints_the_numbers_of_the_json(run):
    words = ("The cat", "--target", "!", "--train", "--seed", "3")
    _, out, _ = run(*words, "--json")
    record = json.loads(out)
    code, page, err = run(*words)
    assert (code, err) == (0, "")
    lines = page.splitlines()
    block, detail = record["blocks"][0], record["blocks"][0]["detail"]
    for name in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"):
        assert any(first(block[name]) in x and f"norm {num(block[name]['norm'])}" in x for x in lines)
    for vector in (*record["embed_tok"], *record["embed_pos"], record["embed_out"][-1], detail["attn"]["bias"]):
        assert any(first(vector) in x and f"norm {num(vector['norm'])}" in x for x in lines)
    for step in (detail["ln_1"], detail["ln_2"], record["final"]):
        assert f"mean = {num(step['mean'])}, sigma = sqrt(variance + 1e-05) = {num(step['sigma'])}" in page
        assert all(first(step[name]) in page for name in ("normed", "weight", "bias", "out"))
    for head in detail["attn"]["heads"]:
        assert any(
            x.startswith(f"    {head['head']} ") and "".join(num(s, 8) for s in head["scores"]) in x for x in lines
        )
        assert any(all(num(p) in x for p in head["pattern"]) for x in lines)
    (followed,) = (h for h in detail["attn"]["heads"] if h["head"] in detail["attn"]["followed"])
    for vector in (followed["q"], *followed["k"], *followed["v"], followed["z"], followed["write"]):
        assert first(vector) in page
    for neuron in detail["mlp"]["neurons"]:
        assert any(f"#{neuron['index']} " in x and num(neuron["write_norm"]) in x for x in lines)
    for later in record["blocks"][1:]:
        assert later["detail"] is None
        norms = [num(later[name]["norm"], 8) for name in ("resid_pre", "attn_out", "mlp_out", "resid_post")]
        assert any(x.startswith(f"    {later['layer']} ") and "".join(norms) in x for x in lines)
    for candidate in record["next"]:
        assert any(candidate["token"] in x and num(candidate["logit"]) in x for x in lines)
    target = record["target"]
    assert f"loss = -log({target['probability']:.4g}) = {num(target['loss'])}" in page
    assert any(f"{target['gradient']:+.4f}  raise" in x for x in lines)
    assert all(any(f"{row['gradient']:+.4f}  lower" in x for x in lines) for row in target["pushed_down"])
    for step in record["dropout"]["steps"]:
        assert first(step["before"]) in page
        assert first(step["after"]) in page
        assert f"{step['dropped']} of {step['total']}" in " ".join(page.split())
    assert "This model's own rate is 0 everywhere" in page


def test_json_is_complete(run, directory):
    code, out, _ = run("The cat", "--json", "--block", "all", "--values", "24")
    record = json.loads(out)
    assert code == 0
    assert list(record)[:3] == ["model", "prompt_ids", "tokens"]
    assert record["model"] == str(directory)
    assert record["prompt_ids"] == Tokenizer.bytes().encode("The cat")
    assert len(record["tokens"]) == len(record["embed_tok"]) == 7
    assert all(block["detail"] for block in record["blocks"])
    assert len(record["blocks"][0]["resid_pre"]["values"]) == 24
    assert record["next"][0].keys() == {"rank", "id", "token", "probability", "logit"}
    assert record["target"] is record["dropout"] is record["following"] is None


def test_every_address_on_the_page_can_be_read(run, directory):
    _, page, _ = run("The cat", "--block", "all", "--train")
    addresses = {word for word in page.split() if re.fullmatch(r"(embed|final|[0-3])\.[a-z].*", word)}
    assert len(addresses) > 60
    assert all(parse(address, 4, 3) for address in addresses)


def test_the_page_is_plain_and_80_wide_in_a_pipe(run):
    _, page, _ = run("The cat sat", "--target", "!", "--train")
    assert "\x1b" not in page
    assert max(map(len, page.splitlines())) <= 80
    assert not any(line != line.rstrip() for line in page.splitlines())


def test_a_usual_walk_is_read_in_one_sitting(run):
    _, page, _ = run("Hello")
    assert 120 <= len(page.splitlines()) <= 210


def test_a_long_text_shows_the_sources_with_most_weight(run):
    _, page, _ = run("The cat sat on the mat, and the dog sat there too.", "--heads", "1", "--position", "40")
    record = json.loads(run("The cat sat on the mat, and the dog sat there too.", "--position", "40", "--json")[1])
    weights = record["blocks"][0]["detail"]["attn"]["heads"][1]["pattern"]
    rows = [line for line in page.splitlines() if line.startswith("    1   ")]
    shown, rest = (
        rows[1].replace("░", " ").replace("▒", " ").replace("▓", " ").replace("█", " ").split()[1:-1],
        rows[1].split()[-1],
    )
    assert sorted(map(float, shown), reverse=True) == [round(w, 3) for w in sorted(weights, reverse=True)[:7]]
    assert float(rest) == pytest.approx(1 - sum(map(float, shown)), abs=0.005)
    assert "It cannot see the tokens after it" in page
    assert "The text itself goes on with" in page


def test_blocks_are_chosen_and_the_others_stay_short(run):
    _, page, _ = run("Hi", "--block", "2", "1")
    headings = [line.split(" ━")[0] for line in page.splitlines() if line.startswith("━━")]
    assert headings[1:-1] == ["━━ Block 0", "━━ Block 1 at position 1, i", "━━ Block 2 at position 1, i", "━━ Block 3"]


def test_a_position_may_count_from_the_end_and_is_called_at_too(run):
    text = "The cat sat"
    pages = [run(text, *words, "--json")[1] for words in (["--position", "9"], ["--position=-2"], ["--at", "-2"])]
    assert pages[0] == pages[1] == pages[2] != run(text, "--json")[1]


def test_without_a_text_the_guide_s_sentence_is_walked(run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert json.loads(run("--json")[1])["prompt_ids"] == Tokenizer.bytes().encode("The cat sat on the")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe\n")))
    assert json.loads(run("--json")[1])["prompt_ids"] == Tokenizer.bytes().encode("from a pipe")


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("",), "the text is empty"),
        (("Hi", "--target", " mat"), "--target ' mat' is 4 tokens of this model ('·' 'm' 'a' 't'): give one of them."),
        (("Hi", "--target", ""), "--target is empty: give one token"),
        (("Hi", "--block", "4"), "there is no block 4: this model has blocks 0 to 3."),
        (("Hi", "--block", "first"), "--block is 'first': give numbers from 0 on, or all; the text stands before"),
        (("Hi", "--heads", "3"), "there is no head 3: each block has heads 0 to 2."),
        (("Hi", "--position", "2"), "there is no position 2: this text has positions 0 to 1."),
        (("Hi", "--at=-3"), "there is no position -3: this text has positions 0 to 1."),
        (("Hi", "--values", "0"), "--values is 0: show at least 1."),
        (("Hi", "--top", "0"), "--top is 0: show at least 1."),
        (("x" * 65,), "the text has 65 tokens and this model's context is 64: shorten it by 1."),
        (("Hi", "--dtype", "int4"), "--dtype is 'int4': choose float32"),
    ],
)
def test_wrong_use_is_one_sentence(run, words, sentence):
    code, out, err = run(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err


def test_every_step_names_the_section_of_the_guide_that_explains_it(run):
    guide = (ROOT / GUIDE).read_text("utf-8")
    headings = [title for title in re.findall(r"^## (.+)$", guide, re.MULTILINE) if title in set(Section)]
    assert headings == list(Section)  # all are there, in this order
    _, page, _ = run("The cat", "--target", "!", "--train")
    steps = re.split(r"^ ?\d+  (?=\S)", page, flags=re.MULTILINE)[1:]
    named = [re.findall(r"^    Guide: (.+)$", step, re.MULTILINE) for step in steps]
    assert len(steps) > 20
    assert all(len(names) == 1 for names in named)
    order = list(dict.fromkeys(name for [name] in named))
    assert set(order) == set(Section)
    often = {Section.NORM, Section.RESIDUAL}
    assert [name for name in order if name not in often] == [name for name in Section if name not in often]
