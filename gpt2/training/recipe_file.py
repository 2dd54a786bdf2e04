"""Reading a recipe: TOML or a run's recipe.json into frozen dataclasses, with the nearest match for a wrong key.

In: a file. Out: a `Recipe`, whose values `Recipe.check` then judges.
"""

import dataclasses
import difflib
import tomllib
import typing
from pathlib import Path
from typing import Any, Literal

from gpt2.base.errors import UsageError
from gpt2.training.recipe import Recipe


def load_recipe(path: str | Path) -> Recipe:
    """Read a TOML recipe. Raises UsageError for a missing file, bad TOML, an unknown key or a wrong type."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"there is no recipe {path}: name a .toml file of yours, or one from recipes/ in the repository."
        ) from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory: name a recipe, a .toml file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}.") from None
    return build_table(table, str(path))


def build_table(table: dict[str, Any], source: str) -> Recipe:
    """A recipe from tables as TOML gives them. Raises UsageError, naming `source`, as `load_recipe` does."""
    return _build(Recipe, table, source, "")


def _build(kind: Any, table: dict[str, Any], source: str, prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            mend = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(hints)}."
            raise UsageError(f"{source}: there is no setting {prefix}{key}: {mend}")
        values[key] = _value(hints[key], value, source, f"{prefix}{key}")
    return kind(**values)


def _value(hint: Any, value: Any, source: str, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UsageError(f"{source}: {name} is {value!r}: write it as a table, [{name}].")
        return _build(hint, value, source, f"{name}.")
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        if value not in choices:
            raise UsageError(f"{source}: {name} is {value!r}: choose {' or '.join(map(repr, choices))}.")
        return value
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{source}: {name} is {value!r}: write a list, [{value!r}].")
        return tuple(_value(choices[0], item, source, name) for item in value)
    kinds = choices or (hint,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise UsageError(f"{source}: {name} is {value!r}: it must be a {kinds[0].__name__}.")
    return value
