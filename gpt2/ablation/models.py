"""A model by the name of its variant: one of variants.py, or one in a Python file of the user's.

In: a configuration, the variant that a study or a config.json names, the file. Out: a `GPT2` whose `variant` names it.
Read next: study.py.
"""

import difflib
import hashlib
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from gpt2.ablation import variants
from gpt2.ablation.variants import NAME, Change
from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.model import GPT2


def _named(module: ModuleType) -> dict[str, Change]:
    """What stands under `@variant` in a module, by the name given there. UsageError for two of one name."""
    found: dict[str, Change] = {}
    for value in vars(module).values():
        own = getattr(value, "__dict__", {})  # of a class its own entries, and none that it inherits
        if NAME in own and value.__module__ == module.__name__:
            if own[NAME] in found:
                raise UsageError(f"{module.__file__} holds two variants called {own[NAME]!r}: rename one of them.")
            found[own[NAME]] = value
    return found


VARIANTS = _named(variants)


def build(
    config: GPT2Config, variant: Mapping[str, Any] | None = None, seed: int = 0, file: Path | str | None = None
) -> GPT2:
    """The plain model, or the one that `variant` {"name", "arguments"} names (no variant takes arguments yet).

    file   a Python file with variants of the user's own, which is run

    With `file` bound by `functools.partial`, this is the builder that `gpt2.load` takes. Raises UsageError for an
    unknown name, the nearest one given, and what `read_variants` raises.
    """
    if variant is None:
        return GPT2(config, seed)
    known = read_variants(file)
    name = variant.get("name")
    if name not in known:
        raise UsageError(f"there is no variant {name!r}: {_mend(str(name), known)}")
    change = known[name]
    if isinstance(change, type):
        model = change(config, seed)
    else:
        model = GPT2(config, seed)
        change(model)
        model.init_weights(seed)  # of the new components too
    model.variant = {"name": name, "arguments": {}}
    return model


def read_variants(file: Path | str | None = None) -> dict[str, Change]:
    """All variants by name: the project's own, and those of a Python file, which is run for that.

    Raises UsageError for a file that is not there, fails, holds no variant or gives one a name that is taken.
    """
    if file is None:
        return VARIANTS
    path = Path(file).resolve()
    try:
        own = _run(path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"there is no Python file {file}: name the file that holds the variants.") from None
    if not own:
        raise UsageError(f"{file} holds no variant: write @variant(NAME) above a function in it.")
    for name in own.keys() & VARIANTS.keys():
        raise UsageError(f"{file}: {name!r} is a variant of the project's: give it another name.")
    return VARIANTS | own


@cache
def _run(path: Path, source: str) -> dict[str, Change]:
    """The variants of a file that says `source`; run once, until it says something else."""
    module = ModuleType(f"variants_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where inspect and dataclasses look for the module of a class
    try:
        exec(compile(source, path, "exec"), vars(module))
    except Exception as error:
        raise UsageError(f"{path} cannot be run: {type(error).__name__}: {error}. Mend it first.") from error
    return _named(module)


def _mend(name: str, known: Mapping[str, Change]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return (
        f"choose among {', '.join(known)}. If it is one of your own, name its file in Python: "
        "load(name, build=partial(build, file='FILE.py')), with build of gpt2.ablation.models."
    )
