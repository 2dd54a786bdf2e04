"""The exceptions whose sentences name arguments of the caller.

Goes in: what is wrong, and what to do next, with each argument's name apart from the text. Comes out: one sentence.
`str(error)` spells the arguments as Python does (`overwrite=True`); a command spells the same fields as its options
(`--overwrite`) and prints the sentence: see `gpt2/cli/errors.py`. Wrong use ends a command with exit code 2; every
other `ValueError` and `OSError` of the package is a failure of what was asked (a corrupt file, say): exit code 1.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from gpt2.base.visible import visible


def to_utf8(error: UnicodeDecodeError) -> str:
    """What to do with a text in another encoding, by the bytes that are none of UTF-8."""
    if error.start == 0 and error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "convert it with `iconv -f UTF-16 -t UTF-8`."
    if b"\0" in error.object:
        return "it does not look like text, so give something that is."
    return "convert it, for example with `iconv -f WINDOWS-1252 -t UTF-8`."


class Spelling:
    """How arguments are written in a sentence: here as Python writes them."""

    def has(self, name: str) -> bool:
        """Whether the caller can give this argument at all."""
        return True

    def name(self, name: str) -> str:
        """The name of an argument."""
        return name

    def setting(self, name: str, value: Any) -> str:
        """An argument with a value to give it."""
        plain = str(value) if isinstance(value, PurePath) else value
        return f"{name}={plain!r}"

    def call(self, settings: Mapping[str, Any]) -> str:
        """Everything to give in a new call."""
        return ", ".join(self.setting(name, value) for name, value in settings.items())


class Advice(Exception):
    """An error that says what is wrong and what to do next, and may name arguments in both.

    Attributes:
        problem: what is wrong, as plain text; empty where `argument` and `value` say it.
        mend: what to do next, as text with `{name}` for each argument of `named`; or a dict of such texts, any of which
            would do, by the argument that each is about ("" for none).
        argument, value: the argument that is wrong, and what was given for it.
        named: what stands for each `{name}` of the mend: None for the argument's name alone; a value, for the argument
            with this value; a dict of arguments and values, for a call with them.
    """

    def __init__(
        self,
        problem: str = "",
        mend: str | Mapping[str, str] = "",
        *,
        argument: str = "",
        value: Any = None,
        **named: Any,
    ) -> None:
        super().__init__(problem)
        self.problem, self.mend, self.argument, self.value, self.named = problem, mend, argument, value, named

    def __str__(self) -> str:
        return self.spelled(Spelling())

    def spelled(self, spelling: Spelling) -> str:
        """The sentence, with the arguments spelled for one kind of caller; names and values in it are made visible."""
        problem = self.problem or f"{spelling.name(self.argument)} is {shown(self.value)}"
        mend = self.mend
        if not isinstance(mend, str):
            mend = ", or ".join(text for name, text in mend.items() if not name or spelling.has(name)) + "."
        for name, value in self.named.items():
            mend = mend.replace(f"{{{name}}}", _spell(spelling, name, value))
        return visible(f"{problem}{' ' if problem.endswith('.') else ': '}{mend}" if mend else problem)


class UsageError(Advice, ValueError):
    """Wrong use of a function, or of the command that calls it; `str(error)` is a sentence with what to do next.

        except gpt2.UsageError as error: print(error)

    It is made of a problem and a mend, or of an argument, its value and a mend: see `gpt2.base.errors.Advice`.
    """


class Failure(Advice, ValueError):
    """What was asked for cannot be done, and an argument would help."""


class DiskFailure(Advice, OSError):
    """The disk refused."""


def shown(value: Any) -> str:
    """A value in a sentence: 0.5, 3, 'text', [1, 2]."""
    if isinstance(value, int) and abs(value) >= 10**40:  # past 4,300 digits Python writes none
        return "a number of more than 40 digits"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value) if isinstance(value, PurePath) else repr(value)


def _spell(spelling: Spelling, name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return spelling.call(value)
    return spelling.name(name) if value is None else spelling.setting(name, value)
