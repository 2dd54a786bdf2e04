"""`gpt2 explain`: its grammar, what it prints, and what it refuses."""

import io
import json
import sys
from pathlib import Path

import pytest

from gpt2.cli.explain import ANALYSES, NEED_NO_TEXT, Overview, parse
from gpt2.cli.main import main
from gpt2.errors import UsageError
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


def test_one_document_and_one_pair_have_no_interval(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Tom had a red ball. He was happy.\n")
    fields = {"clean": "Tom had a ball. Then", "corrupt": "Amy had a ball. Then", "target": " he", "foil": " she"}
    (tmp_path / "p.jsonl").write_text(json.dumps(fields) + "\n")
    text, pairs = ("--text", str(tmp_path / "a.txt")), ("--pairs", str(tmp_path / "p.jsonl"))
    document = "one document: no interval; separate documents with a line <|endoftext|>"
    for words, sentence in (
        (["off", "3.head.1", *text], document),
        (["off", "3.head.1", *pairs], "one pair: no interval"),
        (["attribution", *pairs, "--top", "2"], "one pair: no interval"),
        (["patch", *pairs], "head 0"),
        (["behaviours", pairs[1]], "not above chance"),
        (["neurons", "2.mlp.post#3", *text], document),
    ):
        code, out, err = run(capsys, *words)
        assert code == 0, err
        assert sentence in out
        assert "nan" not in out
        code, out, err = run(capsys, *words, "--json")
        assert '"low": null' in out or '"low": [' in out
        json.loads(out, parse_constant=pytest.fail)


def test_patch_gives_a_grid_and_its_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    prompts = ("Tom was a boy. Everyone liked", "Amy was a girl. Everyone liked", "--target", " him", "--foil", " her")
    grid = answer(capsys, "patch", *prompts)
    assert grid["model"] == "storyteller"
    both = answer(capsys, "patch", *prompts, "--grid", "head", "--gradient")
    assert -1 <= both["correlation"] <= 1
    assert both["exact"] != both["estimate"]


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
        (["attention", TEXT, "--head", "3.mlp"], 2, "is no head"),
        (["off", "3.heed.1"], 1, "3.heed.1"),
        (["off", "--text", "nothing.txt"], 2, "no such file"),
        (["patch", "one"], 2, "two prompts"),
        (["patch", "Tom was sad", "Tom was very sad"], 2, "tokens"),
        (["Once", "upon", "a", "time"], 2, "unrecognised: upon a time; put the text in quotation marks."),
        (["lens", "Once", "upon"], 2, "put the text in quotation marks."),
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
