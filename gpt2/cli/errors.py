"""An error as the sentence that a command prints: arguments become options.

In: an exception, and the command that raised it. Out: one sentence. Read next: gpt2/base/errors.py, whose exceptions
keep the names of arguments apart from their text.

An argument `lora_alpha` is the option `--lora-alpha`; one that is typed without an option is its value alone. Where a
command calls it something else, its attribute `SPELLED` says how, as `{"optim.lr": "--lr"}`. A setting of a recipe,
which has a dot, keeps its name in a sentence and becomes an option (`--optim.lr 1e-4`) only where the sentence says
what to type.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_type_hints

from gpt2.base.disk import refusal
from gpt2.base.errors import Advice, Spelling
from gpt2.base.visible import quoted
from gpt2.cli.spelling import option


class Options(Spelling):
    """The spelling of one command. `command`: it, or None before it is built; `prog`: how it is called."""

    def __init__(self, command: object, prog: str) -> None:
        self.prog = prog
        self.spelled: Mapping[str, str] = getattr(command, "SPELLED", {})
        self.fields = {f.name for f in dataclasses.fields(command)} if dataclasses.is_dataclass(command) else set()
        self.positional = {name for name in self.fields if is_positional(type(command), name)}

    def has(self, name: str) -> bool:
        """Whether it is an option of this command; every setting of a recipe is one where there is a recipe."""
        return name in self.spelled or name in self.fields or ("." in name and "recipe" in self.fields)

    def name(self, name: str) -> str:
        """The option; a setting of a recipe as the recipe has it."""
        plain = name if "." in name else name.upper() if name in self.positional else option(name)
        return self.spelled.get(name, plain)

    def setting(self, name: str, value: Any) -> str:
        """The option with its value, as it is typed: --stride 4, --joined, --no-bos."""
        if value is False and name not in self.spelled:
            return option(f"no_{name}")
        spelled = self.spelled.get(name, "" if name in self.positional else option(name))
        return spelled if value is True else f"{spelled} {quoted(str(value))}".lstrip()

    def call(self, settings: Mapping[str, Any]) -> str:
        """The whole command line, without the options that this command does not have."""
        return " ".join([self.prog, *(self.setting(n, v) for n, v in settings.items() if self.has(n))])


def is_positional(command: type, name: str) -> bool:
    """Whether a field of a command is given without an option."""
    from tyro.conf import Positional

    hint = get_type_hints(command, include_extras=True)[name]
    return Positional in getattr(hint, "__metadata__", ())


def sentence(error: Exception, command: object = None, prog: str = "gpt2") -> str:
    """What a command prints of an error; an OSError of the system's own becomes a file and a reason."""
    if isinstance(error, Advice):
        return error.spelled(Options(command, prog))
    disk = refusal(error)
    if disk is not None:
        return f"{disk.file or 'the output'}: {disk.why}: {disk.mend}, then type the same command again."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror.lower()}"
    return str(error)
