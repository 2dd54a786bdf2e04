"""A word that has no place is named for what it is, with the user's own words in the command to type instead."""

import shlex

import pytest

from gpt2.cli.main import main


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("score 'A b.' 'C d.'", "takes one text, and here are 2: type `gpt2 score 'A b.'`, then `gpt2 score 'C d.'`; "),
        ("next 'A b' 'C d' --top 3", "type `gpt2 next 'A b' --top 3`, then `gpt2 next 'C d' --top 3`."),
        ("score a.txt b.txt", "type `gpt2 score a.txt`, then `gpt2 score b.txt`; or name a file with a text a line"),
        ("score 'A b.' --words --csv o.csv", "--csv takes no value; to write a file, type `gpt2 score 'A b.' --words"),
        ("next --json o.json 'A b'", "--json takes no value; to write a file, type `gpt2 next 'A b' --json > o.json`."),
        ("generate Once upon --max-tokens 5", "quotation marks: `gpt2 generate 'Once upon' --max-tokens 5`."),
        ("generate --seed 5 Once upon", "quotation marks: `gpt2 generate 'Once upon' --seed 5`."),
        ("generate 'Once upon' 50", "a number needs its option: type `gpt2 generate 'Once upon' --max-tokens 50`."),
        ("next 'Once upon' 5", "a number needs its option: type `gpt2 next 'Once upon' --top 5`."),
        (
            "generate storyteller 'Once upon'",
            "named with --model: type `gpt2 generate 'Once upon' --model storyteller`",
        ),
        ("next 'Once upon' gpt2-medium", "named with --model: type `gpt2 next 'Once upon' --model gpt2-medium`."),
        ("chat storyteller", "a model is named with --model: type `gpt2 chat --model storyteller`."),
        ("chat gpt2 'Hi you' --seed 3", "type `printf '%s\\n' 'Hi you' | gpt2 chat --seed 3 --model gpt2`."),
        ("explain 'A b' attention", "'attention' is an analysis, which stands before the text, alone: type `gpt2 exp"),
        ("explain 'A b' atention --json", "type `gpt2 explain attention 'A b' --json`."),
        ("explain 'A b' heads", "type `gpt2 explain heads`."),
        ("explain attention 'A b' 3.head.1", "with --head: type `gpt2 explain attention 'A b' --head 3.head.1`."),
        ("explain trace 'A b' 3.mlp.post", "with --read: type `gpt2 explain trace 'A b' --read 3.mlp.post`."),
        ("explain 'A b' 3.mlp.post", "read by its address: type `gpt2 explain trace 'A b' --read 3.mlp.post`."),
        ("explain 'A b' ' c'", "a token is named with --target: type `gpt2 explain 'A b' --target ' c'`."),
        ("export a b c", "unrecognised: c; what stands without an option is `gpt2 export MODEL DIRECTORY`, and `gpt2"),
        ("train recipes/storyteller.toml recipes", "type `gpt2 train recipes/storyteller.toml --data.train recipes`."),
    ],
)
def test_one_sentence(line: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(line)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert sentence in shown.err
    assert shown.err.count("\n") == 1
