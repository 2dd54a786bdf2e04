"""What is typed for `gpt2 train` in place of a recipe or of prepared data: a text, a data set, a model.

In: the names that a user typed. Out: UsageError with the commands to type instead, or nothing. Read next: train.py.
"""

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from gpt2.base.errors import UsageError
from gpt2.base.visible import quoted
from gpt2.cli.stray import names_model
from gpt2.data.files import has_kind
from gpt2.data.shards import MANIFEST, read_manifest
from gpt2.training.recipe import Recipe

PASSES = re.compile(r"--(num[-_](train[-_])?|n[-_]|max[-_])?epochs?")
NO_TEXT = (".json",)  # of the kinds of files with texts, one that may hold a recipe too


def refuse_no_recipe(name: str) -> None:
    """UsageError for the first word where it is a text, a data set, a model, or a recipe without its ending."""
    path = Path(name)
    if path.with_name(path.name + ".toml").is_file() and not path.is_file():
        raise UsageError(f"there is no recipe {name}: did you mean `gpt2 train {quoted(name + '.toml')}`?")
    if has_kind(name) and not has_kind(name, *NO_TEXT):
        raise UsageError(
            f"{name} is a text, and a recipe is a .toml file: type `gpt2 finetune {quoted(name)}` to train the bundled "
            f"model on the text; or, for a model of your own, {prepared(path)}, and then "
            f"`gpt2 train RECIPE.toml --data.train {data_of(path)}`."
        )
    if (path / MANIFEST).is_file():
        raise UsageError(
            f"{name} is a prepared data set: name the recipe first, `gpt2 train RECIPE.toml --data.train "
            f"{quoted(name)}`."
        )
    if not path.is_file() and names_model(name):
        raise UsageError(
            f"{name} is a model: `gpt2 finetune FILE --model {quoted(name)}` trains it on a text; with a recipe, "
            f"`gpt2 train RECIPE.toml --train.init {quoted(name)}`."
        )


def refuse_epochs(argv: list[str], read: Callable[[list[str]], Recipe]) -> None:
    """UsageError for passes over the data, with the steps that they are; nothing where that cannot be told.

    read   the recipe with the options of a command line
    """
    place = next((n for n, word in enumerate(argv) if PASSES.fullmatch(word.partition("=")[0])), None)
    if place is None:
        return
    name, equals, value = argv[place].partition("=")
    value = value if equals else "".join(argv[place + 1 : place + 2])
    if not re.match(r"[\d.]", value):
        return
    recipe = read([*argv[:place], *argv[place + (1 if equals else 2) :]])
    try:
        context = recipe.train.context or recipe.model.n_positions
        repeats = recipe.data.repeat or (1.0,) * len(recipe.data.train)
        windows = [(read_manifest(Path(one))["tokens"] - 1) // context for one in recipe.data.train]
        rows = sum(round(n * repeat) for n, repeat in zip(windows, repeats, strict=True))
        steps = max(1, math.ceil(float(value) * rows / recipe.train.batch_size))
    except (ValueError, OverflowError):
        return
    what = f"{value} passes over the data are so many steps of {recipe.train.batch_size} rows of {context} tokens"
    raise UsageError(f"there is no option {name}: write --train.steps {steps}: {what}.")


def refuse_texts(names: Iterable[str], option: str) -> None:
    """UsageError for data that is no prepared data set but a text, or a directory of texts."""
    for name in names:
        path = Path(name)
        if path.is_file() or (path.is_dir() and not (path / MANIFEST).exists() and any(map(is_text, path.iterdir()))):
            raise UsageError(
                f"{name} is text, not a prepared data set: {prepared(path)}, and then give {option} {data_of(path)}."
            )


def is_text(path: Path) -> bool:
    """Whether it is a file that `gpt2 prepare` reads."""
    return path.is_file() and has_kind(path.name)


def prepared(path: Path) -> str:
    """The command that prepares a text."""
    return f"type `gpt2 prepare {quoted(str(path))} --out {data_of(path)}`"


def data_of(path: Path) -> str:
    """Where its data set goes: data/poems for poems.txt."""
    return quoted(f"data/{path.name.partition('.')[0] or 'train'}")
