"""Recipes: what a file may say, and which values are refused before anything starts."""

import math
from dataclasses import fields, replace
from pathlib import Path

import pytest

from gpt2.base.errors import UsageError
from gpt2.base.names import OTHER_MEANING, SETTINGS
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.recipe_file import load_recipe


def test_a_recipe_file(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[model]\nn_layer = 3\n[data]\ntrain = ["a"]\nrepeat = [2]\n[optim]\nname = "muon"\nlr = 1\n')
    recipe = load_recipe(path)
    assert (recipe.model.n_layer, recipe.data.train, recipe.data.repeat) == (3, ("a",), (2.0,))
    assert (recipe.optim.name, recipe.optim.lr) == ("muon", 1.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[optim]\nlearning_rat = 1", "no setting optim.learning_rat"),
        ("[optim]\nweight_deca = 1", "did you mean optim.weight_decay"),
        ("[train]\nlearning_rate = 1e-3", "there is no setting train.learning_rate: write lr in [optim]."),
        ("learning_rate = 1e-3", "there is no setting learning_rate: write lr in [optim]."),
        ("[train]\nweight_decay = 1", "train.weight_decay: write weight_decay in [optim]."),
        ("[optim]\nbetas = [0.9, 0.95]", "optim.betas: write beta1 and beta2 in [optim]."),
        ("[train]\ngrad_clip = 1", "train.grad_clip: write clip in [optim]."),
        ("[optim]\nbatch-size = 1", "optim.batch-size: write batch_size in [train]."),
        ("[train]\ndropout = 0.1", "train.dropout: write dropout in [model]."),
        ("[train]\nnum_layers = 2", "train.num_layers: write n_layer in [model]."),
        ("[train]\nblock_size = 2", "train.block_size: write context in [train]."),
        ("[model]\nblock_size = 2", "model.block_size: write n_positions in [model]."),
        ("[train]\nmax_iters = 2", "train.max_iters: write steps in [train], a number of steps."),
        ('[train]\ndevice = "cuda"', "train.device: a recipe names no device, so leave it out here"),
        ("[optimizer]\nlr = 2", "there is no setting optimizer: did you mean optim?"),
        ("[modle]\nn_layer = 1", "did you mean model"),
        ('[train]\nsteps = "many"', "train.steps is 'many': it must be a whole number"),
        ("[train]\nsteps = true", "train.steps is True"),
        ('[optim]\nname = "sgd"', "choose 'adamw' or 'muon'"),
        ('[data]\ntrain = "a"', "write a list"),
        ("model = 3", "write it as a table"),
        ("[optim", "is not a TOML file"),
    ],
)
def test_a_recipe_with_a_mistake(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load_recipe(path)
    assert sentence in str(error.value)


def test_the_names_of_other_programs_are_of_settings_that_there_are() -> None:
    every = {f"{section}.{one.name}" for section, kind in vars(Recipe()).items() for one in fields(kind)}
    assert {*SETTINGS, *OTHER_MEANING} <= every


@pytest.mark.parametrize(
    "change",
    [
        {"data": DataRecipe()},
        {"data": DataRecipe(train=("a",), repeat=(1.0, 2.0))},
        {"train": TrainRecipe(steps=0)},
        {"train": TrainRecipe(micro_batch_size=64)},
        {"train": TrainRecipe(context=2048)},
        {"optim": OptimRecipe(lr=0.0)},
        {"optim": OptimRecipe(clip=math.nan)},
        {"data": DataRecipe(train=("a",), repeat=(math.inf,))},
        {"model": ModelRecipe(dropout=1.5)},
        {"model": ModelRecipe(n_embd=30)},
        {"optim": OptimRecipe(floor=2.0)},
        {"optim": OptimRecipe(beta2=1.0)},
        {"optim": OptimRecipe(decay=1.5)},
        {"train": TrainRecipe(save_every=0)},
        {"train": TrainRecipe(skip_outliers=-1.0)},
        {"train": TrainRecipe(dtype="float16", parallel="fsdp")},
    ],
)
def test_values_that_cannot_be_trained(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(Recipe(data=DataRecipe(train=("a",))), **change).check()


def test_a_path_that_cannot_be_one_is_cut_in_the_sentence() -> None:
    for data in (DataRecipe(train=("x" * 5000,)), DataRecipe(train=("a",), val=("x" * 5000,))):
        with pytest.raises(UsageError, match="no path has more than 1024 characters") as caught:
            Recipe(data=data).check()
        assert len(str(caught.value)) < 200
