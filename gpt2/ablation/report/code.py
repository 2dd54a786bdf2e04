"""The code of each variant, taken from the source by name, so that a document cannot show another than what ran.

In: a `Study`. Out: Markdown. Read next: document.py.
"""

import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from gpt2.ablation.models import read_variants
from gpt2.ablation.report.markdown import table
from gpt2.ablation.study import Study


def code(study: Study) -> str:
    """Every variant of the study: the function that puts it in, what it puts in; then the settings."""
    variants = read_variants(study.variants)
    shown: set[str] = set()
    sections = []
    for name in dict.fromkeys(c.variant for c in study.contestants.values() if c.variant is not None):
        users = [c.title for c in study.contestants.values() if c.variant == name]
        new = [thing for thing in (variants[name], *stand_ins(variants[name])) if thing.__name__ not in shown]
        shown |= {thing.__name__ for thing in new}
        source = "\n\n\n".join(inspect.getsource(thing).rstrip() for thing in new)
        sections.append(f"### {name}\n\nTrained as: {', '.join(users)}.\n\n```py\n{source}\n```\n")
    rows = [[c.title, ", ".join(f"`{s}`" for s in settings(c.set))] for c in study.contestants.values() if c.set]
    differing = table(["contestant", "settings"], rows)
    sizes = f"### Settings\n\nThese settings differ from the baseline's recipe:\n\n{differing}"
    return "\n".join([*sections, *([sizes] if rows else [])])


def stand_ins(change: Callable[..., Any]) -> list[Any]:
    """What stands beside a variant's function in its file and is named by it: classes and functions, as named."""
    found = []
    for name in dict.fromkeys(_names(change.__code__) if inspect.isfunction(change) else ()):
        thing = vars(inspect.getmodule(change)).get(name)
        if getattr(thing, "__module__", None) == change.__module__:
            found.append(thing)
    return found


def _names(code: CodeType) -> Iterator[str]:
    """The names that some code uses, also inside its comprehensions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def settings(tables: Any, prefix: str = "") -> Iterator[str]:
    """Settings of a recipe that differ, as `model.n_embd = 48`."""
    for key, value in tables.items():
        if hasattr(value, "items"):
            yield from settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {value}"
