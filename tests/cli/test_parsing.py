"""What cannot be read of a command line is one plain sentence, with the nearest option, and exit code 2."""

import re

import pytest

from gpt2.cli.explain.analyses import ANALYSES
from gpt2.cli.main import COMMANDS, main

RECIPE = "recipes/storyteller.toml"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("next x --tpo 5", "there is no option --tpo: did you mean --top?"),
        ("next x --top", "--top has no value: give it a whole number."),
        ("next x --zzz", "there is no option --zzz: `gpt2 next --help` lists the options."),
        ("export", "MODEL and DIR|FILE.gguf are missing: `gpt2 export --help` shows an example."),
        ("export storyteller", "DIR|FILE.gguf is missing: `gpt2 export --help` shows an example."),
        ("info a b", "gpt2 info takes one MODEL: type `gpt2 info a`, then `gpt2 info b`."),
        (f"train {RECIPE} --trian.steps 5", "there is no option --trian.steps: did you mean --train.steps?"),
        (f"train {RECIPE} --steps=5", "there is no option --steps: did you mean --train.steps?"),
        (f"train {RECIPE} --train.parallel dpp", "--train.parallel is 'dpp': did you mean ddp?"),
        (f"train {RECIPE} --train.parallel x", "--train.parallel is 'x': choose ddp or fsdp."),
        ("explain off --kind mea", "--kind is 'mea': did you mean mean?"),
        ("prepare x.txt --out", "--out has no value: give it a directory."),
        ("ablate", "STUDY.toml is missing: `gpt2 ablate --help` shows an example."),
        ("finetune x.txt --overwite", "there is no option --overwite: did you mean --overwrite?"),
        ("walk x --seed -1", "--seed is -1: it must be at least 0."),
        ("generate x --no-slide=3", "--no-slide takes no value: write --slide or --no-slide."),
        ("generate x --slide True", "--slide takes no value: write --slide or --no-slide."),
        ("next --json=3", "--json takes no value: write --json alone, or leave it out."),
        ("next x --allow_special=yes", "--allow-special takes no value: write --allow-special alone, or leave it out."),
        ("walk x --train 1", "--train takes no value: write --train alone, or leave it out."),
        ("info --json=yes", "--json takes no value: write --json alone, or leave it out."),
        ("explain off --json=1", "--json takes no value: write --json alone, or leave it out."),
        ("explain heads --no-causal=1", "--no-causal takes no value: write --no-causal alone, or leave it out."),
        (
            f"train {RECIPE} --train.compile true",
            "--train.compile takes no value: write --train.compile or --train.no-compile.",
        ),
        (f"train {RECIPE} --overwrite=1", "--overwrite takes no value: write --overwrite alone, or leave it out."),
        ("next x --no-json", "there is no option --no-json: leave out --json."),
        ("next x y --json", "unrecognised: y; put the whole text in quotation marks: `gpt2 next 'x y' --json`."),
        ("next x --json y", "unrecognised: y; put the whole text in quotation marks: `gpt2 next 'x y' --json`."),
        ("info gpt2-small", "there is no model 'gpt2-small': did you mean gpt2?"),
        ("info GPT2_1.5B", "there is no model 'GPT2_1.5B': did you mean gpt2-xl?"),
    ],
)
def test_one_sentence(line: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"gpt2: {sentence}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_nothing_empty_or_twice(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`gpt2 explain off --help` had an empty second default, and every flag the default False."""
    analyses = list(ANALYSES) if name == "explain" else []
    named = {"train": [[RECIPE]], "explain": [[a] for a in [*analyses, "a text"]], "ablate": [[], ["off"], ["report"]]}
    for words in named.get(name, [[]]):
        assert main([name, *words, "--help"]) == 0
        shown = " ".join(line.strip("│ ") for line in capsys.readouterr().out.splitlines())
        assert not re.search(r"\(default: \)|\bINT\b|\bFLOAT\b|\(default: [^)]*\)[ .]*\(default", shown)
        assert name == "train" or not re.search(r"\bSTR\b|\bNone\b|\bFalse\b", shown)
