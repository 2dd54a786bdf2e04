"""Reading a recipe: TOML or a run's recipe.json into frozen dataclasses, with the nearest match for a wrong key.

In: a file. Out: a `Recipe`, whose values `Recipe.check` then judges.
"""

import dataclasses
import difflib
import functools
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from gpt2.base.errors import UsageError, to_utf8
from gpt2.base.foreign import parse_toml, plain_name, shortened
from gpt2.base.given import read_given
from gpt2.base.names import setting_in_place_of
from gpt2.training.recipe import Recipe


def load_recipe(path: str | Path) -> Recipe:
    """Read a TOML recipe. Raises UsageError for a missing file, bad TOML, an unknown key or a wrong type."""
    return build_table(read_toml(Path(path), "recipe", "recipes/"), str(path))


def read_toml(path: Path, what: str, examples: str) -> dict[str, Any]:
    """The tables of a TOML file, a "recipe", say. UsageError for one that is not there, or is none.

    examples   where in the repository others lie
    """
    try:
        return parse_toml(read_given(path).decode("utf-8"))
    except FileNotFoundError:
        mend = f"name a .toml file of yours, or one from {examples} in the repository."
        raise UsageError(f"there is no {what} {path}: {mend}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory: name a {what}, a .toml file.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name a {what}, a .toml file.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a TOML file (byte {error.start} is not UTF-8): {to_utf8(error)}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file that can be read ({error}): mend it.") from None


def build_table(table: Any, source: str) -> Recipe:
    """A recipe from tables as TOML gives them. Raises UsageError, naming `source`, as `load_recipe` does."""
    recipe: Recipe = build(Recipe, table, source)
    return recipe


def build(kind: Any, table: Any, source: str, prefix: str = "", every: Collection[str] = ()) -> Any:
    """A dataclass of settings from a table, each value of the kind that its field says.

    prefix   of the names in sentences, such as "train."
    every    all settings by section and name, for a name that stands in another section

    Raises UsageError, naming `source`, for a name that is none of its fields, and for a value of another kind.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{source} is {shortened(table)}: write it as tables of settings.")
    hints = _hints(kind)
    sections = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    every = every or [f"{name}.{one}" for name, hint in sections.items() for one in typing.get_type_hints(hint)]
    values = {}
    for key, value in table.items():
        if key not in hints:
            near = difflib.get_close_matches(key[:100], hints, n=1)
            mend = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(hints)}."
            if every and not isinstance(value, dict):
                mend = setting_in_place_of(key, prefix.rstrip("."), every) or mend
            raise UsageError(f"{source}: there is no setting {prefix}{plain_name(key)}: {mend}")
        values[key] = _value(hints[key], value, source, f"{prefix}{key}", every)
    return kind(**values)


_hints = functools.cache(typing.get_type_hints)


def _value(hint: Any, value: Any, source: str, name: str, every: Collection[str] = ()) -> Any:
    said = f"{source}: {name} is {shortened(value)}:"
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UsageError(f"{said} write it as a table, [{name}].")
        return build(hint, value, source, f"{name}.", every)
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        if value not in choices:
            raise UsageError(f"{said} choose {' or '.join(map(repr, choices))}.")
        return value
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{said} write a list, such as [{shortened(value, 40)}].")
        return tuple(_value(choices[0], item, source, name) for item in value)
    kinds = choices or (hint,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise UsageError(f"{said} it must be {CALLED[kinds[0]]}.")
    return value


CALLED = {int: "a whole number", float: "a number", str: 'a text, such as "a"', bool: "true or false"}
