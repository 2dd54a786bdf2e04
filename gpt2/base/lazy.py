"""Public names that load when they are asked for.

In: a table of names and the modules that hold them. Out: a package's `__getattr__` and `__dir__` (PEP 562), so that
importing the package imports nothing. Read next: gpt2/__init__.py.
"""

import sys
from collections.abc import Callable, Mapping
from dis import opname
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Any

from gpt2.base.habits import of_package


def lazily(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package: `homes` gives, for each module, the public names that it holds."""
    home_of = {name: module for module, names in homes.items() for name in names.split()}

    def load(name: str) -> Any:
        if name in home_of:
            return getattr(import_module(home_of[name]), name)
        said = of_package(package, name)
        if not name.startswith("_") and find_spec(f"{package}.{name}"):
            said = f": write import {package}.{name} first."
        elif said and _is_import(sys._getframe(1)):  # the statement leaves out what an AttributeError says
            raise ImportError(f"cannot import name {name!r} from {package!r}{said}", name=package)
        raise AttributeError(f"module {package!r} has no attribute {name!r}{said}")

    def names() -> list[str]:
        return sorted({*home_of, *(name for name in vars(sys.modules[package]) if name.startswith("__"))})

    return load, names


def _is_import(frame: FrameType) -> bool:
    """Whether a frame is at the part of `from package import name` that asks the package for the name."""
    return opname[frame.f_code.co_code[frame.f_lasti]] == "IMPORT_FROM"
