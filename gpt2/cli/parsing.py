"""What was typed wrong, in one plain sentence: an option that does not exist, a value that is missing or no choice.

In: what tyro says of the words that it cannot read. Out: a UsageError. tyro draws a box by itself; it asks
`on_parse_error` first, which its own documentation calls unstable: where a release lacks it, the box is shown.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gpt2.base.errors import UsageError


@contextmanager
def plain_refusals(argv: Sequence[str], options: Mapping[str, bool | None]) -> Iterator[None]:
    """Raise UsageError for what tyro refuses of `argv` inside the block. `options` are those of `options_of`."""
    refuse_values(argv, options)
    try:
        from tyro._errors import on_parse_error
    except ImportError:
        yield
        return

    def refuse(event: Any) -> None:
        refuse_values(argv, options, getattr(event, "tokens", ()))
        sentence = describe(event, options)
        if sentence:
            raise UsageError(sentence)

    with on_parse_error(refuse):
        yield


def describe(event: Any, options: Iterable[str]) -> str:
    """The sentence for one of tyro's events; empty for one that is not known here."""
    prog, kind = event.prog, type(event).__name__
    if kind == "UnrecognizedArgs":
        return unknown(event.tokens, options, prog)
    if kind == "MissingArgs":
        names = [name_of(context.arg) for context in event.missing_arguments]
        wrong = [token for token in event.unrecognized_tokens if token.startswith("-")]
        if wrong:
            return unknown(wrong, options, prog)
        return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing: `{prog} --help` shows an example."
    if kind == "BadValue":
        name = name_of(event.argument)
        if event.reason == "too_few_values":
            return f"{name} has no value: give it {article(event.argument)}."
        return f"{name} takes no value: leave out {event.offending_value!r}."
    if kind == "InvalidChoice":
        near = difflib.get_close_matches(event.value, event.choices, n=1)
        mend = f"did you mean {near[0]}?" if near else f"choose {listed(event.choices)}."
        return f"{name_of(event.argument)} is {event.value!r}: {mend}"
    if kind == "InstantiationFailure" and event.argument is not None:
        return f"{name_of(event.argument)} cannot be read: {str(event.message).rstrip('.')}."
    return ""


def unknown(tokens: list[str], options: Iterable[str], prog: str) -> str:
    """The sentence for words that the command does not know; the first option among them, or the first word."""
    token = next((word for word in tokens if word.startswith("-")), tokens[0])
    if not token.startswith("-"):
        return f"unrecognised: {' '.join(tokens)}; `{prog} --help` shows what belongs there."
    typed = token.partition("=")[0]
    name = typed.replace("_", "-")
    if opposite(name) in options:
        return f"there is no option {typed}: leave out {opposite(name)}."
    short = {option.rpartition(".")[2]: option for option in options}  # --steps is --train.steps
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.65) or [short.get(name.removeprefix("--"), "")]
    mend = f"did you mean {near[0]}?" if near[0] else f"`{prog} --help` lists the options."
    return f"there is no option {typed}: {mend}"


VALUES = r"true|false|yes|no|on|off|none|\d+"  # what stands behind a flag by mistake


def refuse_values(argv: Sequence[str], options: Mapping[str, bool | None], unread: Sequence[str] = ()) -> None:
    """Raise UsageError for `--flag=value`: tyro would read the value as an argument of its own.

    unread   words that tyro could make nothing of: one of them behind a flag was meant as its value
    """
    flags = {flag for flag, pair in options.items() if pair is not None}
    flags |= {opposite(flag) for flag, pair in options.items() if pair}
    for word, following in zip(argv, (*argv[1:], "")):
        name, equals, _ = word.partition("=")
        name = name.replace("_", "-")
        if name in flags and (equals or (following in unread and re.fullmatch(VALUES, following.lower()))):
            positive = name if name in options else opposite(name)
            mend = f"{positive} or {opposite(positive)}" if options[positive] else f"{name} alone, or leave it out"
            raise UsageError(f"{name} takes no value: write {mend}.")


def opposite(flag: str) -> str:
    """--no-x of --x, --section.no-x of --section.x, and the reverse."""
    start, dot, name = flag.removeprefix("--").rpartition(".")
    return f"--{start}{dot}{name.removeprefix('no-') if name.startswith('no-') else f'no-{name}'}"


def name_of(argument: Any) -> str:
    """An option as it is typed; a positional argument as the help calls it."""
    if argument.is_positional():
        return str(argument.lowered.metavar).partition(" ")[0].strip("[]{}")
    return str(argument.lowered.name_or_flags[-1])


def article(argument: Any) -> str:
    """What stands behind an option, in words: a number, a file."""
    words = {"N": "a whole number", "K": "a whole number", "RANK": "a whole number", "FILE": "a file"}
    words |= {"X": "a number", "P": "a number", "A": "a number", "RATE": "a number"}
    words |= {"DIR": "a directory", "RUN": "a directory", "TEXT": "a text in quotation marks"}
    metavar = str(argument.lowered.metavar or "").partition(" ")[0]
    return words.get(metavar, f"one, as in `{name_of(argument)} {metavar or 'VALUE'}`")


def listed(choices: tuple[str, ...]) -> str:
    """a, b or c."""
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def option(name: str) -> str:
    """The option of an argument or setting: --lora-alpha, --train.batch-size."""
    return f"--{name.replace('_', '-')}"


def options_of(command: type, prefix: str = "") -> dict[str, bool | None]:
    """The options of a command, by the names of its fields: None for one with a value, True for a flag with --no-."""
    import dataclasses
    from typing import get_type_hints

    from tyro.conf import FlagCreatePairsOff, Positional

    found: dict[str, bool | None] = {}
    for name, hint in get_type_hints(command, include_extras=True).items():
        marks = getattr(hint, "__metadata__", ())
        kind = hint.__origin__ if marks else hint
        if Positional in marks or name not in getattr(command, "__dataclass_fields__", {}):
            continue
        if dataclasses.is_dataclass(kind):
            nameless = any(getattr(mark, "name", None) == "" for mark in marks)
            found |= options_of(kind, prefix if nameless else f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            found[option(prefix + name)] = FlagCreatePairsOff not in marks if kind is bool else None
    return found
