"""The code of each variant, taken from the source by name, so that a document cannot show another than what ran.

In: a `Study`. Out: Markdown. Read next: document.py.
"""

import inspect
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from gpt2.ablation import parts
from gpt2.ablation.report.markdown import table
from gpt2.ablation.study import Study
from gpt2.ablation.variants import VARIANTS


def code(study: Study) -> str:
    """Every variant of the study: the function that puts it in, the class that stands in; then the settings."""
    shown: set[str] = set()
    sections = []
    for name in dict.fromkeys(c.variant for c in study.contestants.values() if c.variant is not None):
        users = [c.title for c in study.contestants.values() if c.variant == name]
        blocks = [inspect.getsource(VARIANTS[name])]
        for kind in stand_ins(VARIANTS[name], parts):
            if kind.__name__ not in shown:
                shown.add(kind.__name__)
                blocks.append(inspect.getsource(kind))
        source = "\n\n\n".join(textwrap.dedent(b).rstrip() for b in blocks)
        sections.append(f"### {name}\n\nTrained as: {', '.join(users)}.\n\n```py\n{source}\n```\n")
    rows = [[c.title, ", ".join(f"`{s}`" for s in settings(c.set))] for c in study.contestants.values() if c.set]
    differing = table(["contestant", "settings"], rows)
    sizes = f"### Settings\n\nThese settings differ from the baseline's recipe:\n\n{differing}"
    return "\n".join([*sections, *([sizes] if rows else [])])


def stand_ins(change: Any, module: ModuleType) -> list[type]:
    """The classes of `module` that a function names, each behind those of the module that it is derived from."""
    found: list[type] = []
    for name in change.__code__.co_names:
        kind = getattr(module, name, None)
        if isinstance(kind, type) and kind.__module__ == module.__name__:
            found += [k for k in reversed(kind.__mro__) if k.__module__ == module.__name__ and k not in found]
    return found


def settings(tables: Any, prefix: str = "") -> Iterator[str]:
    """Settings of a recipe that differ, as `model.n_embd = 48`."""
    for key, value in tables.items():
        if hasattr(value, "items"):
            yield from settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {value}"
