"""What cannot be read of a command line is one plain sentence, with the nearest option, and exit code 2."""

import pytest

from gpt2.cli.main import main

RECIPE = "recipes/storyteller.toml"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("next x --tpo 5", "there is no option --tpo: did you mean --top?"),
        ("next x --top", "--top has no value: give it a whole number."),
        ("next x --zzz", "there is no option --zzz: `gpt2 next --help` lists the options."),
        ("export", "MODEL and DIR are missing: `gpt2 export --help` shows an example."),
        ("export storyteller", "DIR is missing: `gpt2 export --help` shows an example."),
        ("info a b", "unrecognised: b; `gpt2 info --help` shows what belongs there."),
        (f"train {RECIPE} --trian.steps 5", "there is no option --trian.steps: did you mean --train.steps?"),
        (f"train {RECIPE} --steps=5", "there is no option --steps: did you mean --train.steps?"),
        (f"train {RECIPE} --train.parallel dpp", "--train.parallel is 'dpp': did you mean ddp?"),
        (f"train {RECIPE} --train.parallel x", "--train.parallel is 'x': choose ddp or fsdp."),
        ("explain off --kind mea", "--kind is 'mea': did you mean mean?"),
        ("prepare x.txt --out", "--out has no value: give it a directory."),
        ("ablate", "STUDY.toml is missing: `gpt2 ablate --help` shows an example."),
        ("finetune x.txt --overwite", "there is no option --overwite: did you mean --overwrite?"),
        ("walk x --seed -1", "--seed is -1: it must be at least 0."),
        ("info gpt2-small", "there is no model 'gpt2-small': did you mean gpt2?"),
        ("info GPT2_1.5B", "there is no model 'GPT2_1.5B': did you mean gpt2-xl?"),
    ],
)
def test_one_sentence(line: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"gpt2: {sentence}\n")
