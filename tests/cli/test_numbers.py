"""Numbers that are typed as options."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
import tyro

from gpt2.base.errors import UsageError
from gpt2.cli.main import build, parsed


@dataclass(frozen=True)
class Section:
    """Settings of a recipe."""

    batch_size: int = 4
    repeat: tuple[float, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A recipe."""

    train: Section = field(default_factory=Section)


@dataclass
class Command:
    """A command for tests."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = field(default_factory=Recipe)
    count: int = 1
    top_k: int | None = None
    rate: float | None = 0.5
    heads: tuple[int, ...] = ()


def made(*words: str) -> Command:
    command: Command = build(Command, list(words), "gpt2 probe")
    return command


def test_numbers_are_read() -> None:
    words = ["--count", "-3", "--top-k", "7", "--rate", "1e-3", "--heads", "0", "2", "--train.repeat", "1", "0.5"]
    command = made(*words, "--train.batch-size", "1_000")
    assert (command.count, command.top_k, command.rate, command.heads) == (-3, 7, 1e-3, (0, 2))
    assert command.recipe.train == Section(1000, (1.0, 0.5))
    assert made("--top-k", "None", "--rate", "None") == Command(rate=None)


@pytest.mark.parametrize("words, said", [
    (["--count", "2.5"], "--count is '2.5': it must be a whole number."),
    (["--count", ""], "--count is '': it must be a whole number."),
    (["--top-k=many"], "--top-k is 'many': it must be a whole number."),
    (["--rate", "hot"], "--rate is 'hot': it must be a number."),
    (["--heads", "1", "x"], "--heads is 'x': it must be a whole number."),
    (["--train.batch-size", "1e3"], "--train.batch-size is '1e3': it must be a whole number."),
    (["--train.repeat", "1", "y"], "--train.repeat is 'y': it must be a number."),
])  # fmt: skip
def test_a_word_that_is_no_number_is_named_with_its_option(words: list[str], said: str, capfd: Any) -> None:
    with pytest.raises(UsageError) as error:
        made(*words)
    assert str(error.value) == said
    assert capfd.readouterr() == ("", "")


def test_help_shows_kinds_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(Command, ["--help"], "gpt2 probe")
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("--count N", "(default: 1)", "--top-k {None}|N", "--rate {None}|X", "--heads [N [N ...]]"):
        assert part in shown
