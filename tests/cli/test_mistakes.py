"""What is typed in place of a checkpoint, an adapter or a number of steps: the sentence holds what to type instead."""

from pathlib import Path
from typing import Any

import pytest

from gpt2.checkpoint.hub import own_directory
from gpt2.cli import train_inputs
from gpt2.training.recipe import DataRecipe, Recipe, TrainRecipe
from gpt2.training.run.going_on import run_of


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "--epochs 3 --out x",
            "there is no option --epochs: write --train.steps 30: 3 passes over the data are",
        ),
        ("--num_train_epochs=0.5", "there is no option --num_train_epochs: write --train.steps 5: 0.5 passes"),
    ],
)
def test_passes_are_given_as_steps(words: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_inputs, "read_manifest", lambda path: {"tokens": 10 * 8 * 16 + 1})
    recipe = Recipe(data=DataRecipe(train=("data",)), train=TrainRecipe(batch_size=8, context=16))
    rest: list[Any] = []
    with pytest.raises(ValueError, match=sentence):
        train_inputs.refuse_epochs(words.split(), lambda others: rest.append(others) or recipe)
    assert rest == [["--out", "x"] if "--out" in words else []]
    train_inputs.refuse_epochs(["--out", "x"], lambda others: recipe)
    train_inputs.refuse_epochs(["--epochs", "--out", "x"], lambda others: recipe)


def test_a_checkpoint_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    for step in (4, 5):
        (tmp_path / "run" / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
    last = tmp_path / "run" / "checkpoints" / "step-000005"
    for name in ("step-999", "step-000999", "last"):
        with pytest.raises(ValueError, match=rf"\(there are step-000004, step-000005\): go on .*resume='{last}'"):
            run_of(last.with_name(name))
    assert run_of(last) == (tmp_path / "run", last)


@pytest.mark.parametrize(
    ("weights", "lacking"),
    [("adapter_model.safetensors", "adapter_config.json"), ("model.safetensors", "config.json")],
)
def test_weights_without_their_configuration(weights: str, lacking: str, tmp_path: Path) -> None:
    (tmp_path / weights).touch()
    with pytest.raises(ValueError, match=rf"holds {weights} and no {lacking}: copy its {lacking} into "):
        own_directory(str(tmp_path))
