"""Sentences that name arguments, spelled as Python does and as a command does."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
import tyro

from gpt2.base.errors import Advice, DiskFailure, Failure, UsageError, shown, to_utf8
from gpt2.cli.errors import Options, sentence


@dataclass
class Command:
    """A command for tests."""

    model: Annotated[str, tyro.conf.Positional] = "m"
    lora_alpha: float = 1.0
    overwrite: bool = False
    resume: str | None = None

    SPELLED: ClassVar[dict[str, str]] = {"optim.lr": "--lr"}


@dataclass
class WithRecipe:
    """A command that takes the settings of a recipe."""

    recipe: int = 0
    resume: str | None = None


AGAIN = {"resume": Path("runs/my run"), "override": True, "optim.lr": 1e-4}
LESS = {"optim.lr": "lower {optim.lr}", "train.dtype": "set {train.dtype} to bfloat16", "": "use less"}


@pytest.mark.parametrize("error, python, typed", [
    (UsageError("the text is empty."), "the text is empty.", "the text is empty."),
    (UsageError(argument="lora_alpha", value=0.0, mend="it must be above 0."),
     "lora_alpha is 0: it must be above 0.", "--lora-alpha is 0: it must be above 0."),
    (UsageError("{out} is not empty", "replace it with {overwrite}.", overwrite=True),
     "{out} is not empty: replace it with overwrite=True.", "{out} is not empty: replace it with --overwrite."),
    (Failure("It fails.", "Give another {field} or {model}.", field=None, model=None),
     "It fails. Give another field or model.", "It fails. Give another --field or MODEL."),
    (UsageError("it holds a model", "try {model}", model=Path("a b")),
     "it holds a model: try model='a b'", "it holds a model: try 'a b'"),
    (UsageError("it stopped", "go on with {again}", again=AGAIN),
     "it stopped: go on with resume='runs/my run', override=True, optim.lr=0.0001",
     "it stopped: go on with gpt2 tune --resume 'runs/my run' --lr 0.0001"),
    (Failure("memory ran out", LESS, **dict.fromkeys(("optim.lr", "train.dtype"))),
     "memory ran out: lower optim.lr, or set train.dtype to bfloat16, or use less.",
     "memory ran out: lower --lr, or use less."),
])  # fmt: skip
def test_one_error_two_spellings(error: Advice, python: str, typed: str) -> None:
    assert str(error) == python
    assert sentence(error, Command(), "gpt2 tune") == typed


def test_a_recipe_keeps_its_names_but_in_what_is_typed() -> None:
    options = Options(WithRecipe(), "gpt2 train")
    assert options.has("train.batch_size")
    assert options.name("train.batch_size") == "train.batch_size"
    assert options.call({"resume": "a", "train.batch_size": 4, "other": 1}) == (
        "gpt2 train --resume a --train.batch-size 4"
    )


@pytest.mark.parametrize("kind, base", [(UsageError, ValueError), (Failure, ValueError), (DiskFailure, OSError)])
def test_an_error_survives_the_way_to_another_process(kind: type[Advice], base: type[Exception]) -> None:
    error = kind("full", "go on with {again}", again=AGAIN)
    assert isinstance(error, base)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (kind, str(error))
    assert sentence(copy, Command(), "gpt2 tune") == sentence(error, Command(), "gpt2 tune")


@pytest.mark.parametrize("value, text", [
    (0.0, "0"), (1e-5, "1e-05"), (1.0000001, "1.0000001"), (float("nan"), "nan"), (3, "3"), ("a", "'a'"),
    (True, "True"), ([1.5], "[1.5]"), (Path("a"), "a"),
])  # fmt: skip
def test_values_in_sentences(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("data", "mend"),
    [
        ("é und".encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
        ("é".encode("cp1252"), "iconv -f WINDOWS-1252 -t UTF-8"),
        (b"\x89PNG\0\0", "does not look like text"),
    ],
)
def test_another_encoding_is_named_where_the_bytes_tell(data, mend):
    """UTF-16 converted as WINDOWS-1252 is text of every second character, which nothing refuses."""
    with pytest.raises(UnicodeDecodeError) as caught:
        data.decode("utf-8")
    assert mend in to_utf8(caught.value)
