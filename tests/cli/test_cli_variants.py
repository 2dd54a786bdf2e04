"""Checkpoints of `gpt2 ablate`: what each command and analysis does with a model that lacks a part."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from gpt2 import load
from gpt2.ablation.models import VARIANTS, build
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import Checkpoint, save
from gpt2.cli.main import main
from gpt2.explain import Patching, effects, gradient_grids, heads, neuron, reference, trace, zero
from gpt2.explain.change.behaviours import behaviours
from gpt2.explain.change.pairs import Accuracy
from gpt2.explain.change.switch import expand
from gpt2.explain.run.lacks import without
from gpt2.server.app import create_app
from tests.page_server import answers_of, ask, serving

TEXT = "The cat sat on the"
LACKS = {
    "post-norm": "a final norm", "no-norm": "ln_1, ln_2 and a final norm", "no-attention": "ln_1 and attention",
    "no-mlp": "ln_2 and MLPs",
}  # fmt: skip
HEADLESS = {name: LACKS[name] for name in ("post-norm", "no-attention")} | {"no-norm": "ln_1 and a final norm"}


@cache
def variant(name: str) -> Checkpoint:
    """Two blocks with the bundled tokenizer, far from their first values, so that prompts get different answers."""
    own = load("storyteller")
    sizes = replace(own.model.config, n_layer=2, n_embd=16, n_head=2, n_positions=64)
    model = build(sizes, {"name": name, "arguments": {}}).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.3)
    return Checkpoint(model, own.tokenizer, name, own.directory)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str], str]:
    def write(name: str) -> str:
        return str(save(variant(name).model, variant(name).tokenizer, tmp_path / name))

    return write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*argv: str) -> tuple[int, str, str]:
        code = main(list(argv))
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize("name", VARIANTS)
def test_the_page_answers_its_first_questions_or_is_refused_whole(name: str) -> None:
    if name in LACKS:
        with pytest.raises(
            UsageError, match=f"the page draws .* the variant .{name}. is without {LACKS[name]}: use gpt2 "
        ):
            create_app(variant(name))
        return
    scene = {"text": TEXT, "switches": {}}
    with serving(variant(name)) as port:
        assert ask(port, "model", {})["n_layer"] == 2
        picture = ask(port, "picture", scene)
        run = trace(variant(name), TEXT)
        assert picture["top"].tolist() == run.logits[0].argmax(-1).tolist()
        assert ask(port, "picture", {**scene, "switches": {"1.attn": "off"}})["kl"].sum() > 0
        assert ask(port, "lens", scene)["top"][-1].tolist() == picture["top"].tolist()
        assert ask(port, "attention", {**scene, "block": 1})["mean"].shape == (5, 5)
        why = ask(port, "attribution", {**scene, "row": 4})
        if name == "no-residuals":
            assert "exact attribution has no counterpart in this model" in why
        else:
            assert sum(part["value"] for part in why["parts"]) == pytest.approx(why["whole"], abs=1e-3)


def test_a_page_in_a_file_leaves_out_what_a_variant_has_no_answer_to(saved, run, tmp_path: Path) -> None:
    """The whole file was refused."""
    for name, missing in (("no-residuals", "attribution"), ("no-positions", "positions")):
        assert run("explain", TEXT, "--html", str(tmp_path / "a.html"), "--still", "--model", saved(name))[0] == 0
        questions = {key.partition("{")[0] for key in answers_of((tmp_path / "a.html").read_text("utf-8"))}
        assert missing not in questions
        assert {"model", "picture", "lens", "neurons", "attention", "draw"} <= questions


@pytest.mark.parametrize("option", ["--page", "--html"])
def test_the_terminal_refuses_the_page_in_one_sentence(option: str, saved, run, tmp_path: Path) -> None:
    words = [option, str(tmp_path / "a.html")] if option == "--html" else [option, "--no-browser"]
    code, out, err = run("explain", TEXT, *words, "--model", saved("no-mlp"))
    assert (code, out) == (2, "")
    assert err.startswith("gpt2: the page draws the parts of a plain GPT-2, and the variant 'no-mlp' is without")
    assert err.count("\n") == 1
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize("name", VARIANTS)
def test_the_words_for_what_a_model_lacks(name: str) -> None:
    assert without(variant(name).model) == LACKS.get(name, "")
    assert without(variant(name).model.train(), "attention") == ("attention" if name == "no-attention" else "")
    variant(name).model.eval()


@pytest.mark.parametrize("name", HEADLESS)
def test_a_head_report_is_refused_before_it_computes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came after the sweep, or as a KeyError."""
    module = sys.modules["gpt2.explain.change.heads"]
    monkeypatch.setattr(module, "reference", lambda model: pytest.fail("read the stories"))
    monkeypatch.setattr(module, "second_copy", lambda *given: pytest.fail("switched heads off"))
    with pytest.raises(UsageError, match=f"head report needs .* without {HEADLESS[name]}: use gpt2 explain off"):
        heads(variant(name))


def test_grids_and_neurons_that_are_not_there() -> None:
    for name, grids, part in (("no-attention", ("attn", "head"), "attention"), ("no-mlp", ("mlp",), "MLPs")):
        patching = Patching(variant(name), "Tom saw a cat", "Tom saw a dog")
        for grid in grids:
            with pytest.raises(UsageError, match=f"without {part}, so there is no grid '{grid}': choose resid"):
                patching.grid(grid)
            with pytest.raises(UsageError, match=f"without {part}, so there is no grid '{grid}': choose resid"):
                gradient_grids(patching, (grid,))
        assert patching.grid("resid").scores[0, -1].item() == pytest.approx(1, abs=1e-3)
    with pytest.raises(UsageError, match="this model is without MLPs, so it has no neurons"):
        neuron(variant("no-mlp"), "1.mlp.post#3", ["Tom saw a cat"])


def test_a_component_that_is_named_must_be_there() -> None:
    """`effects` dropped it without a word."""
    model = variant("no-attention").model
    for named in ("1.head.0", "0.attn"):
        with pytest.raises(UsageError, match=f"this model is without {named}"):
            effects(trace(model, [1, 2, 3]), zero, [named, "*.mlp"])
        with pytest.raises(UsageError, match=f"this model is without {named}"):
            expand(model, [named, "*.mlp"])
    for starred in ("*.head.*", "*.head.0"):
        run = trace(model, [1, 2, 3])
        for refused in (lambda name, run=run: effects(run, zero, name), lambda name: expand(model, name)):
            with pytest.raises(UsageError) as caught:
                refused(starred)
            assert f"this model is without {starred}" in str(caught.value)
            assert str(caught.value).count(starred) == 1  # not recommended
    assert effects(trace(model, [1, 2, 3]), zero, ["*.head.*", "*.mlp"]).names == ("0.mlp", "1.mlp")


def test_a_group_keeps_the_part_that_is_there() -> None:
    model = variant("no-attention").model
    assert expand(model, "*.head.0,*.mlp") == ("*.mlp",)
    assert expand(model, ["*.mlp, *.attn", "*.attn", "0.mlp"]) == ("*.mlp", "0.mlp")
    assert expand(variant("relu").model, ["*.head.0, *.mlp", "1.mlp"]) == ("*.head.0,*.mlp", "1.mlp")
    with pytest.raises(UsageError, match=r"without 1\.head\.0: there is nothing to switch off"):
        expand(model, "1.head.0,*.mlp")
    with pytest.raises(UsageError, match="there is nothing to switch off: give addresses"):
        expand(model, [])


@pytest.mark.parametrize(
    ("name", "by", "reason"),
    [("post-norm", "adds", "no exact attribution"), ("no-attention", "patch", "no attention")],
)
def test_behaviours_leave_out_what_a_model_has_no_answer_to(
    name: str, by: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole report ended there."""
    fields = {"clean": "Tom saw a cat", "corrupt": "Tom saw a dog", "target": " he", "foil": " she"}
    (tmp_path / "p.jsonl").write_text(json.dumps(fields) + "\n")
    monkeypatch.setattr(Accuracy, "present", property(lambda self: True))
    model = variant(name)
    monkeypatch.setattr("gpt2.explain.change.patching.LEAST_DIFFERENCE", 0.0)
    result = behaviours(model, [str(tmp_path / "p.jsonl")], reference(model, ["Tom saw a red ball."]))
    (one,) = result.sets
    assert one.left_out == {by: reason}
    assert (one.adds is None, one.off is None, one.patch is None) == (by == "adds", False, by == "patch")
    assert reason in str(result)
    assert "not above chance" not in str(result)
    assert result.to_dict()["p.jsonl"]["left_out"] == {by: reason}
    assert result.plot().axes


@pytest.mark.parametrize("name", VARIANTS)
def test_the_other_commands_open_every_variant(name: str, saved, run, tmp_path: Path) -> None:
    """They wanted a "builder" passed."""
    (tmp_path / "a.txt").write_text("Tom saw a cat.\n")
    model = ("--model", saved(name), "--json")
    found = json.loads(run("next", TEXT, "--top", "1", *model)[1])["next"][0]
    assert found["id"] == int(trace(variant(name), TEXT).logits[0, -1].argmax())
    assert len(json.loads(run("generate", TEXT, "--max-tokens", "3", *model)[1])["completions"][0]["ids"]) == 3
    code, out, err = run("eval", str(tmp_path / "a.txt"), *model)
    if name == "no-mask":
        assert (code, out) == (2, "")
        assert "sees the very tokens that it is to predict" in err
    else:
        assert json.loads(out)["bits_per_byte"] > 0
    code, out, err = run("walk", TEXT, *model)
    if name == "unscaled-init":
        assert json.loads(out)["next"][0]["id"] == found["id"]
    else:
        assert (code, out) == (2, "")
        assert f"this model is the variant '{name}': use gpt2 explain trace" in err


def test_what_opens_plain_models_alone_says_where_a_variant_opens(saved, run, tmp_path: Path) -> None:
    code, out, err = run("export", saved("relu"), str(tmp_path / "out"))
    assert (code, out) == (1, "")
    assert "holds the variant 'relu', no plain GPT-2: gpt2 next, generate, eval and explain open it" in err
    assert err.count("\n") == 1
