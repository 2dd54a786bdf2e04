"""What other programs call a command, an analysis or a format, and other slips: the command to type is named."""

import json
import shlex
from pathlib import Path

import pytest

from gpt2.cli.explain.analyses import ANALYSES, OTHER_NAMES
from gpt2.cli.main import COMMANDS, main
from gpt2.cli.other_names import INSTEAD, OTHER_COMMANDS

ROWS = {
    "pairs.jsonl": {"sentence_good": "a b.", "sentence_bad": "b a."},
    "endings.jsonl": {"ctx": "a b", "endings": ["c", "d", "e", "f"], "label": 0},
    "one.jsonl": {"text": "word"},
}


def test_a_name_stands_once() -> None:
    for table, known in ((OTHER_NAMES, ANALYSES), (OTHER_COMMANDS, COMMANDS)):
        names = [name for words in table.values() for name in words.split()]
        assert len(names) == len({*names})
        assert not {*names} & {*known}
        assert {*table} <= {*known}
    assert not {name for names in INSTEAD for name in names.split()} & {*COMMANDS, *ANALYSES}


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_typed_as_a_command_is_answered(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "The cat"]) == 2
    assert f"type `gpt2 explain {name} 'The cat'`." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("lens 'A b' --top 3", "type `gpt2 explain lens 'A b' --top 3`."),
        ("activation-patching a b", "did you mean `gpt2 explain patch a b`?"),
        ("download gpt2", "did you mean 'gpt2 fetch'?"),
        ("server", "type `gpt2 serve`"),
        ("gui", '`gpt2 explain "Once upon a time" --page`'),
        ("explain logit-lens 'A b'", "did you mean `gpt2 explain lens 'A b'`?"),
        ("explain ablation 3.head.1", "did you mean `gpt2 explain off 3.head.1`?"),
        ("explain 'A b' logit-lens", "type `gpt2 explain lens 'A b'`."),
        ("explain 'A b' L3H1", "type `gpt2 explain trace 'A b' --read 3.head.1`."),
        ("explain attribution 'A b' mlp.3", "type `gpt2 explain attribution 'A b' --of 3.mlp`."),
        ("score x --word", "did you mean --words?"),
        ("walk x --head 2", "did you mean --heads?"),
        ("eval x --tasks y", "did you mean --task?"),
        ("generate x --rep 2", "did you mean --repetition-penalty?"),
        ("generate x --top 2", "did you mean --top-k or --top-p?"),
        ("walk x --layer 3", "write --block 3."),
        ("explain heads --layer 2", "this analysis is about every block or about none, so leave it out."),
        ("explain stream x --layer 2", "every block is shown, so leave it out."),
        ("next x -n 5", "write --top N."),
        ("eval x -n 5", "write --limit N."),
        ("tokenize x --decode", "tokenizer.decode("),
        ("tokenize --ids 442 809", "tokenizer.decode("),
        ("score x --base 2", "surprisal and entropy are in bits, log p is in nats, so leave it out."),
        ("export a b --push-to-hub", "nothing is uploaded here"),
        ("export a b --format onnx", "leave --format out"),
        ("export a b --format pytorch", "write --format hf"),
        ("ablate --no-attention", "`gpt2 ablate recipes/ablation/minute.toml --plan`"),
        ("export there/is/none storyteller", "the model stands first: type `gpt2 export storyteller there/is/none`."),
        ("export storyteller m.onnx", "a .onnx file, which is not written: name a directory"),
        ("export storyteller out/m.tar.gz", "`gpt2 export storyteller out/m`"),
        ("score pairs.jsonl", "holds minimal pairs: type `gpt2 score --pairs pairs.jsonl`."),
        ("eval pairs.jsonl", "holds minimal pairs: type `gpt2 score --pairs pairs.jsonl`."),
        ("eval endings.jsonl", "holds items of HellaSwag: type `gpt2 eval --task hellaswag endings.jsonl`."),
        ("eval --task hellaswag endings.jsonl --field ctx", "--field is for texts: leave it out"),
    ],
)
def test_one_sentence(
    line: str, sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, row in ROWS.items():
        (tmp_path / name).write_text(f"{json.dumps(row)}\n")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert sentence in shown.err
    assert shown.err.count("\n") == 1


def test_a_passage_of_one_word_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.jsonl").write_text(f"{json.dumps(ROWS['one.jsonl'])}\n")
    assert main(["eval", "--task", "lambada", str(tmp_path / "one.jsonl")]) == 1
    assert "line 1, is one word, with nothing before it" in capsys.readouterr().err
