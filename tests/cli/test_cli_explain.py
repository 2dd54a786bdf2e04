"""`gpt2 explain`: its grammar, what it prints, and what it refuses."""

import io
import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpt2 import load
from gpt2.ablation.models import build
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import save
from gpt2.cli.explain.analyses import ANALYSES, NEED_NO_TEXT
from gpt2.cli.explain.command import Overview, parse
from gpt2.cli.explain.switch import Patch
from gpt2.cli.main import main
from gpt2.explain.run.reference import STORIES
from gpt2.server.live import Brings
from tests.explained import BLOCKS, HEADS, WIDTH

TEXT = "The cat sat on the"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["explain", *argv])
    out, err = capsys.readouterr()
    return code, out, err


def answer(capsys: pytest.CaptureFixture[str], *argv: str) -> dict:
    code, out, err = run(capsys, *argv, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize("name", ANALYSES)
def test_a_text_is_never_taken_for_an_analysis(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = parse(["--", name])
    assert isinstance(command, Overview)
    assert command.text_is == name
    monkeypatch.setattr(sys, "stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())
    if name not in NEED_NO_TEXT:
        with pytest.raises(UsageError, match=f"gpt2 explain -- {name}"):
            parse([name])
    assert parse([f"{name} is a word"]).text == f"{name} is a word"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["atribution", TEXT], "attribution"),
        (["atribution", TEXT, "--of", "4.mlp"], "attribution"),
        (["lense", TEXT, "--json"], "lens"),
        (["lense", "--json", TEXT], "lens"),
        (["atribution", "--help"], "attribution"),
        (["of", "3.head.1"], "off"),
        (["Heads", "--no-causal"], "heads"),
        (["behaviors"], "behaviours"),
        (["tracing", TEXT], "trace"),
    ],
)
def test_a_misspelt_analysis_is_named_and_not_taken_for_a_text(
    words: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert re.search(rf"there is no analysis {words[0]!r}: did you mean ['`]gpt2 explain {near}\b.*\?", err)
    assert err.count("\n") == 1


def test_a_lone_word_that_is_nearly_an_analysis_is_a_text_behind_two_dashes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = run(capsys, "head")
    assert code == 2
    assert "did you mean 'gpt2 explain heads'? To explain the text 'head' itself: gpt2 explain -- head" in err
    assert answer(capsys, "--", "head")["tokens"] == ["head"]
    assert "".join(answer(capsys, "--", "--json=3")["tokens"]) == "--json=3"  # it read like an option
    for word in ("Once", "Hello", "head and tail", "lenses!", "the"):
        assert parse([word]).text == word


def test_one_default_foil_for_every_analysis_of_one_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    """The overview compared with the runner-up, attribution and effects with the mean logit."""
    main(["next", TEXT, "--json"])
    first, second = [row["logit"] for row in json.loads(capsys.readouterr().out)["next"][:2]]
    overview, parts = answer(capsys, TEXT)["attribution"], answer(capsys, "attribution", TEXT)
    moved = answer(capsys, "effects", TEXT)
    assert parts == {"model": "storyteller", **overview}
    assert parts["whole"] == pytest.approx(first - second, abs=1e-4)
    assert (moved["target"], moved["foil"]) == (parts["target"], parts["foil"]) == ("·grass", "·tree")
    for words in (["attribution", TEXT], [TEXT]):
        assert "its lead over ·tree" in run(capsys, *words)[1]
        assert "its logit above the mean logit" in run(capsys, *words, "--foil", "mean")[1]
        # another target than the likeliest: the likeliest is its foil
        shown = answer(capsys, *words, "--target", " ground")
        assert shown.get("attribution", shown)["foil"] == "·grass"
    attribution = ["attribution", TEXT]
    assert run(capsys, *attribution, "--vs", "mean") == run(capsys, *attribution, "--foil", "mean")
    for words in (["attribution", "--help"], ["effects", "--help"], ["--help"]):
        shown = " ".join(run(capsys, *words)[1].replace("│", " ").split())
        assert "default: the runner-up, the likeliest other token" in shown, words
        assert '"mean"' in shown, words


def test_the_overview_agrees_with_next_and_sums_to_the_lead(capsys: pytest.CaptureFixture[str]) -> None:
    shown = answer(capsys, TEXT)
    main(["next", TEXT, "--json"])
    rows = json.loads(capsys.readouterr().out)["next"]
    assert [one["probability"] for one in shown["next"]] == pytest.approx(
        [r["probability"] for r in rows[:5]], rel=1e-4
    )
    assert shown["attribution"]["whole"] == pytest.approx(rows[0]["logit"] - rows[1]["logit"], abs=1e-4)
    assert sum(p["value"] for p in shown["attribution"]["parts"]) == pytest.approx(
        shown["attribution"]["whole"], abs=1e-4
    )
    assert [one["head"].split(".")[1] for one in shown["heads"]] == ["head"] * 8


def test_every_analysis_of_a_text_prints_a_table_in_a_pipe_that_nothing_clips(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words, expected in [
        (["trace", TEXT], "next's rank"),
        (["lens", TEXT], f"{BLOCKS - 1}.resid_post"),
        (["attribution", TEXT, "--top", "3"], " more"),
        (["attention", TEXT], f"{BLOCKS - 1}.head.{HEADS - 1}"),
        (["stream", TEXT], f"{BLOCKS - 1}.resid_post"),
        (["stream", TEXT, "--gradients"], f"{BLOCKS - 1}.resid_post"),
        (["effects", TEXT, "--top", "3"], "indirect"),
        (["leave-one-out", TEXT, "--zero", "--top", "3"], "likeliest then"),
        (["neighbours", " cat", "--k", "3"], "cosine"),
        (["positions"], "mean cosine"),
        (["points"], "l.head.h.out"),
    ]:
        code, out, err = run(capsys, *words)
        assert code == 0, err
        assert expected in out, words
        assert "…" not in out, words


def test_values_by_address(capsys: pytest.CaptureFixture[str]) -> None:
    values = answer(capsys, "trace", TEXT, "--read", "3.head.1", "1.attn.pattern")["values"]
    assert values["3.head.1"]["shape"] == [5, WIDTH // HEADS]
    assert values["1.attn.pattern"]["shape"] == [HEADS, 5, 5]
    assert sum(values["1.attn.pattern"]["values"][2][3]) == pytest.approx(1)
    code, out, _ = run(capsys, "trace", TEXT, "--read", "0.ln_1.scale")
    assert (code, out.splitlines()[0].split("  ")[:2]) == (0, ["0.ln_1.scale", "[5]"])


def test_attention_rows_sum_to_one_and_weighted_ones_do_not_exceed_the_pattern_times_the_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    heads = answer(capsys, "attention", TEXT, "--head", "2.head.*")["heads"]
    assert list(heads) == [f"2.head.{h}" for h in range(HEADS)]
    for head in heads.values():
        assert [sum(row) for row in head["pattern"]] == pytest.approx([1] * 5, abs=1e-5)
        assert all((w > 0) == (p > 0) for a, b in zip(head["pattern"], head["written"]) for p, w in zip(a, b))


def test_off_gives_the_loss_change_and_the_text_before_and_after(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("Tom had a red ball. He was happy.\n<|endoftext|>\nLily saw a cat. The cat ran.\n")
    shown = answer(capsys, "off", "0.mlp", "3.head.1,4.mlp", "--text", str(tmp_path / "a.txt"))
    first, second = shown["components"]
    assert (first["off"], second["off"]) == ("0.mlp", "3.head.1,4.mlp")
    assert first["loss_change"]["low"] > 0.3 > second["loss_change"]["value"]
    assert shown["generation"]["before"] != shown["generation"]["after"]
    main(["generate", "Once upon a time", "--max-tokens", "60", "--seed", "0", "--json"])
    assert shown["generation"]["before"] == json.loads(capsys.readouterr().out)["completions"][0]["text"]


def test_off_in_a_pipe_is_readable_and_loses_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The two generations stood in columns as wide as themselves, some 350 characters."""
    (tmp_path / "a.txt").write_text("Tom had a red ball. He was happy.\n<|endoftext|>\nLily saw a cat. The cat ran.\n")
    text = ("--text", str(tmp_path / "a.txt"), "--means", str(tmp_path / "a.txt"))
    words = ["off", "0.mlp", *text, "--prompt", " ".join(["Once upon a time"] * 20)]
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert max(len(line) for line in out.splitlines()) <= 100
    assert "…" not in out
    rows = [line.split("│")[1:3] for line in out.splitlines() if line.startswith("│")]
    texts = answer(capsys, *words)["generation"]
    for shown, text in zip(zip(*rows), (texts["before"], texts["after"])):
        assert "".join("".join(shown).split()) == "".join(text.split())


def test_one_document_and_one_pair_have_no_interval(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Tom had a red ball. He was happy.\n")
    fields = {"clean": "Tom ran. Then", "corrupt": "Amy ran. Then", "target": " he", "foil": " she"}
    (tmp_path / "p.jsonl").write_text(json.dumps(fields) + "\n")
    text, pairs = ("--text", str(tmp_path / "a.txt")), ("--pairs", str(tmp_path / "p.jsonl"))
    means = ("--means", str(tmp_path / "a.txt"))  # the bundled stories take most of the time
    document = "one document: no interval; separate documents with a line <|endoftext|>"
    for words, sentences in (
        (["off", "3.head.*", *text, *means], (document, "1 beginning of up to 128 tokens")),  # many: nothing is written
        (["off", "3.head.1", *pairs, *means], ("one pair: no interval", "p.jsonl, 1 pair: target")),
        (["attribution", *pairs, "--top", "2"], ("one pair: no interval",)),
        (["patch", *pairs], ("p.jsonl: denoise, 1 pair (0 left out)", "head 0")),
        (["behaviours", pairs[1]], ("not above chance",)),
        (["neurons", "2.mlp.post#3", *text], (document,)),
    ):
        code, out, err = run(capsys, *words)
        assert code == 0, err
        assert all(sentence in out for sentence in sentences)
        assert "nan" not in out
        code, out, err = run(capsys, *words, "--json")
        assert '"low": null' in out or '"low": [' in out
        json.loads(out, parse_constant=pytest.fail)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_explained_too(dtype: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It took its rounding for other weights or for a variant; `off` ended in a RuntimeError."""
    (tmp_path / "a.txt").write_text("Tom had a red ball.\n")
    text = ("--text", str(tmp_path / "a.txt"), "--means", str(tmp_path / "a.txt"))
    for words in ([TEXT], ["attention", TEXT], ["attribution", TEXT, "--of", "*.mlp"], ["off", "3.head.1", *text]):
        code, out, err = run(capsys, *words, "--dtype", dtype)
        assert code == 0, err
        assert "nan" not in out
    half, whole = (answer(capsys, "off", "4.mlp", "3.head.*", *text, "--dtype", name) for name in (dtype, "float32"))
    for ours, theirs in zip(half["components"], whole["components"], strict=True):
        for name in ("loss_change", "kl", "logit_change"):
            assert ours[name]["value"] == pytest.approx(theirs[name]["value"], abs=0.05)


def test_the_example_of_patch_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Its prompts were less than 0.5 apart, and the command refused them."""
    example = re.search(r"gpt2 explain (patch \".*)", Patch.__doc__ or "")
    assert example is not None
    code, out, err = run(capsys, *shlex.split(example[1]))
    assert (code, err) == (0, "")
    assert "lead of ·him: " in out


def test_patch_gives_a_grid_and_its_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    prompts = ("Tom was a boy. Everyone liked", "Amy was a girl. Everyone liked", "--target", " him", "--foil", " her")
    grid = answer(capsys, "patch", *prompts)
    assert grid["model"] == "storyteller"
    both = answer(capsys, "patch", *prompts, "--grid", "head", "--gradient")
    assert -1 <= both["correlation"] <= 1
    assert both["exact"] != both["estimate"]


def test_no_json_holds_what_json_has_not(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The correlation of a constant grid is nan."""
    monkeypatch.setattr("gpt2.explain.change.patching.PatchGrid.correlation", lambda self, other: float("nan"))
    prompts = ("Tom was a boy. Everyone liked", "Amy was a girl. Everyone liked", "--gradient", "--grid", "head")
    code, out, _ = run(capsys, "patch", *prompts, "--json")
    assert code == 0
    assert json.loads(out, parse_constant=pytest.fail)["correlation"] is None
    code, out, _ = run(capsys, "patch", *prompts)
    assert out.splitlines()[-1] == "correlation with the exact grid: none, since one of the two is the same everywhere"


def test_a_model_whose_stream_is_no_sum(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Post-norm: no exact attribution, and one sentence says what there is in its place, which works."""
    own = load("storyteller")
    sizes = replace(own.model.config, n_layer=2, n_embd=16, n_head=2)
    save(build(sizes, {"name": "post-norm"}), own.tokenizer, tmp_path / "m")
    model = ("--model", str(tmp_path / "m"))
    for words in ([TEXT], ["attribution", TEXT], ["attribution", TEXT, "--of", "1.mlp"], ["effects", TEXT]):
        code, out, err = run(capsys, *words, *model)
        assert (code, out) == (2, "")
        assert "exact attribution has no counterpart in this model" in err
        assert "use gpt2 explain off" in err
        assert err.count("\n") == 1
    (tmp_path / "a.txt").write_text("Tom had a red ball. He was happy.\n")
    text = ("--text", str(tmp_path / "a.txt"), "--means", str(tmp_path / "a.txt"))
    code, out, err = run(capsys, "off", "1.mlp", *model, *text)
    assert code == 0, err
    assert "1.mlp" in out
    (block,) = answer(capsys, "off", "1.block", *model, *text)["components"]  # the loop over blocks switches it
    assert block["loss_change"]["value"] != 0
    code, out, err = run(capsys, "off", "final.scale", *model, *text)  # a change of 0 would be no measurement
    assert (code, out) == (2, "")
    assert "this model is without final.scale" in err


def test_a_component_that_a_variant_lacks_is_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`off` and `effects` ended in a KeyError there."""
    own = load("storyteller")
    sizes = replace(own.model.config, n_layer=2, n_embd=16, n_head=2)
    save(build(sizes, {"name": "no-attention"}), own.tokenizer, tmp_path / "m")
    (tmp_path / "a.txt").write_text("Tom had a red ball. He was happy.\n")
    model = ("--model", str(tmp_path / "m"))
    text = ("--text", str(tmp_path / "a.txt"), "--means", str(tmp_path / "a.txt"))
    assert [one["off"] for one in answer(capsys, "off", *model, *text)["components"]] == ["0.mlp", "1.mlp"]
    assert [one["name"] for one in answer(capsys, "effects", TEXT, *model)["components"]] == ["0.mlp", "1.mlp"]
    assert "this model is without 1.head.0" in run(capsys, "off", "1.head.0", *model)[2]


def test_leave_one_out_takes_components_a_position_and_a_replacement(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("leave-one-out", TEXT, "--components", "*.block", "embed.pos", "--position", "1")
    for more, replacement in (([], "mean(stories.txt "), (["--zero"], "zero")):
        shown = answer(capsys, *asked, *more)
        assert shown["replacement"].startswith(replacement)
        assert [one["name"] for one in shown["components"]] == [*(f"{l}.block" for l in range(BLOCKS)), "embed.pos"]
        assert (shown["position"], len(shown["first"])) == (1, 5)
    losses = [row["loss"] for row in answer(capsys, "trace", TEXT)["predictions"][:-1]]
    assert shown["loss"] == pytest.approx(sum(losses) / 4, abs=1e-5)


def test_a_picture_is_written_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words in (["lens", TEXT], ["attention", TEXT], ["attention", TEXT, "--head", "1.head.2"], [TEXT]):
        assert run(capsys, *words, "--png", str(tmp_path / "a.png"))[0] == 0
        assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["trace", TEXT, "--read", "3.heed.1"], 1, "3.heed.1"),
        (["trace", TEXT, "--read", f"3.head.{HEADS}"], 1, f"this model has 0 to {HEADS - 1}"),
        (["attribution", TEXT, "--target", " elephantine"], 2, "choose a word of one token"),
        (["attribution", TEXT, "--at", "7"], 2, "positions 0 to 4"),
        (["attribution", TEXT, "--pairs", "pronoun"], 2, "not both"),
        (["leave-one-out", TEXT, "--zero", "--components", "3.heed.1"], 1, "3.heed.1"),
        (["attention", TEXT, "--head", "3.mlp"], 2, "is not a head"),
        (["off", "3.heed.1"], 1, "3.heed.1"),
        (["off", "--text", "nothing.txt"], 2, "no such file"),
        (["patch", "one"], 2, "two prompts"),
        (["patch", "Tom was sad", "Tom was very sad"], 2, "tokens"),
        (["Once", "upon", "a", "time"], 2, "unrecognised: upon a time; put the whole text in quotation marks: `gpt2"),
        (["lens", "Once", "upon"], 2, "put the whole text in quotation marks: `gpt2"),
        (["neurons"], 2, "name a neuron"),
        (["neurons", "2.mlp"], 2, "2.mlp"),
        (["neighbours", " elephantine"], 2, "one token"),
        (["behaviours", "nothing"], 2, "choose pronoun"),
        (["points", "--png", "a.jpg"], 2, "ends with .png"),
        (["lens", TEXT, "--colour", "red"], 2, "red"),
    ],
)
def test_mistakes_get_one_sentence(words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    got, out, err = run(capsys, *words, *(["--png", "a.png"] if "--colour" in words else []))
    assert (got, out) == (code, "")
    assert says in err
    assert err.count("\n") == 1
    assert not Path("a.png").exists()


def test_an_exported_page_keeps_the_other_outputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(checkpoint: object, text: str, path: Path, tell: object, brings: object = None) -> Path:
        path.write_bytes(bytes(1_234_567))
        return path

    monkeypatch.setattr("gpt2.server.live.write_live", write)
    monkeypatch.setattr("gpt2.server.export.export_html", write)
    page, picture = str(tmp_path / "a.html"), tmp_path / "new" / "a.png"
    code, out, err = run(capsys, TEXT, "--html", page, "--json", "--png", str(picture))
    assert (code, err) == (0, f"written: {page} (1.2 MB)\n")
    assert json.loads(out)["model"] == "storyteller"
    assert picture.read_bytes()[1:4] == b"PNG"
    for more in ([], ["--still"]):
        assert run(capsys, TEXT, "--html", page, *more) == (0, f"written: {page} (1.2 MB)\n", "")
    code, out, err = run(capsys, TEXT, "--still")
    assert (code, out) == (2, "")
    assert "name one, such as --html page.html" in err
    asked: list[object] = []
    monkeypatch.setattr("gpt2.server.live.write_live", lambda *a, brings, **named: asked.append(brings) or Path(page))
    assert run(capsys, TEXT, "--html", page, "--weights", "int8", "--measure", "stories")[0] == 0
    assert asked == [Brings("int8", STORIES)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--weights", "int8"], "--weights int8 is for the live page in a file: name one, such as --html page.html"),
        (["--measure", "stories", "--page"], "--measure is for the live page in a file: name one, such as --html"),
        (["--weights", "int8", "--html", "a.html", "--still"], "--weights int8 is for the live page, and a still page"),
        (["--measure", "none.txt", "--html", "a.html"], "--measure is none.txt, but there is no such file: name"),
        (["--weights", "int4", "--html", "a.html"], "--weights"),
    ],
)
def test_options_of_a_page_in_a_file_that_do_not_go_together(
    more: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, TEXT, *more)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert not Path("a.html").exists()


@pytest.mark.parametrize("analysis", ["attribution", "effects"])
def test_a_list_of_less_than_one_part_is_refused(analysis: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, analysis, TEXT, "--top", "-1") == (2, "", "gpt2: --top is -1: it must be at least 1.\n")
