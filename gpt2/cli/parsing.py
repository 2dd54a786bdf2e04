"""What was typed wrong, in one plain sentence: an option that does not exist, a value that is missing or no choice.

In: what tyro says of the words that it cannot read. Out: a UsageError. Nothing here runs for words that are right:
main.py asks where something is wrong.
"""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from gpt2.base.errors import UsageError
from gpt2.base.visible import quoted
from gpt2.cli.spelling import opposite, option


class Known(NamedTuple):
    """What may be typed: the options of a command, as `options_of` gives them, its positional arguments by the names of
    their fields, and the names of all commands."""

    options: Mapping[str, bool | None]
    places: Sequence[str] = ()
    commands: Collection[str] = ()

    def other(self, command: type) -> "Known":
        """What may be typed for another command."""
        return Known.of(command, self.commands)

    @classmethod
    def of(cls, command: type, commands: Collection[str]) -> "Known":
        """What may be typed for a command."""
        from typing import get_type_hints

        from tyro.conf import Positional

        hints = get_type_hints(command, include_extras=True).items()
        places = [name for name, hint in hints if Positional in getattr(hint, "__metadata__", ())]
        return cls(options_of(command), places, commands)

    def has(self, word: str) -> bool:
        """Whether a word that begins with a hyphen is an option of the command, or nothing but a text or a number."""
        name = word.partition("=")[0].replace("_", "-")
        return name in {*self.options, "-", "--", "-h", "--help"} or bool(self.options.get(opposite(name)))


def refuse(event: Any, argv: Sequence[str], known: "Known") -> None:
    """Raise UsageError for what was typed wrong: `event`, what tyro says of `argv`; None before tyro has read it."""
    refuse_values(argv, known.options, getattr(event, "tokens", ()))
    if event is None:
        return
    strange = [word for word in argv if word.startswith("-") and not known.has(word)]
    lacking = type(event).__name__ == "BadValue" and event.argument.is_positional()
    sentence = unknown(strange, known, event.prog, argv) if lacking and strange else describe(event, known, argv)
    if sentence:
        raise UsageError(sentence)


def describe(event: Any, known: "Known", argv: Sequence[str]) -> str:
    """The sentence for one of tyro's events of `argv`; empty for one that is not known here."""
    prog, kind = event.prog, type(event).__name__
    if kind == "UnrecognizedArgs":
        return unknown(event.tokens, known, prog, argv)
    if kind == "MissingArgs":
        names = [name_of(context.arg) for context in event.missing_arguments]
        wrong = [token for token in event.unrecognized_tokens if token.startswith("-")]
        if wrong:
            return unknown(wrong, known, prog, argv)
        return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing: `{prog} --help` shows an example."
    if kind == "BadValue":
        name = name_of(event.argument)
        if event.reason == "too_few_values":
            return f"{name} has no value: give it {article(event.argument)}."
        return f"{name} takes no value: leave out {event.offending_value!r}."
    if kind == "InvalidChoice":
        from gpt2.cli.elsewhere import VALUES_ELSEWHERE
        from gpt2.cli.stray import Line

        name = name_of(event.argument)
        if said := VALUES_ELSEWHERE.get(name, {}).get(event.value.lower(), ""):
            first = next((quoted(word) for word in Line(argv, known.options, prog).places), "FILE")
            return f"{name} is {event.value!r}: {said.replace('{first}', first)}."
        near = difflib.get_close_matches(event.value, event.choices, n=2)
        mend = f"did you mean {near[0]}?" if len(near) == 1 else f"choose {listed(event.choices)}."
        return f"{name_of(event.argument)} is {event.value!r}: {mend}"
    if kind == "InstantiationFailure" and event.argument is not None:
        return f"{name_of(event.argument)} cannot be read: {str(event.message).rstrip('.')}."
    return ""


def unknown(tokens: Sequence[str], known: "Known", prog: str, argv: Sequence[str]) -> str:
    """A line for the words before the first option, which have no place, and one for each option that does not exist.

    What follows the first option may be its value, so nothing is said of it.
    """
    options = [word for word in tokens if word.startswith("-") and not re.match(r"-[\d.]", word)] or [
        word for word in tokens if word.startswith("-")
    ]
    words = list(takewhile(lambda word: word not in options, tokens))
    lines = _misplaced(words, known, prog, [word for word in argv if word not in options])
    lines += [_no_option(word, known, prog, argv) for word in options]
    return "\n".join(dict.fromkeys(lines))


def _misplaced(words: Sequence[str], known: "Known", prog: str, argv: Sequence[str]) -> list[str]:
    """A sentence for each NAME=VALUE that is an option without its hyphens, and one for all other words."""
    from gpt2.cli import stray

    split = {word: word.partition("=") for word in words if "=" in word}
    meant = {word: nearest(f"--{name}", value, known, prog) for word, (name, _, value) in split.items()}
    lines = [f"unrecognised: {word}; {mend}" for word, mend in meant.items() if mend]
    others = [word for word in words if not meant.get(word)]
    if others:
        lines.append(stray.sentence(others, [word for word in argv if not meant.get(word)], known, prog))
    return lines


def _no_option(word: str, known: "Known", prog: str, argv: Sequence[str]) -> str:
    """The sentence for an option that the command does not have."""
    typed, _, value = word.partition("=")
    name = typed.replace("_", "-")
    if opposite(name) in known.options:
        return f"there is no option {typed}: leave out {opposite(name)}."
    mend = nearest(name, value, known, prog, argv)
    if not mend:
        is_text = "text" in known.places and (" " in word or word == argv[0])
        text = f"; if it is the text, type `{prog} -- {quoted(word)}`" if is_text else ""
        mend = f"`{prog} --help` lists the options{text}."
    return f"there is no option {typed}: {mend}"


def nearest(name: str, value: str, known: "Known", prog: str, argv: Sequence[str] = ()) -> str:
    """What was meant by an option that does not exist: another section's, another program's, another command's of ours,
    a misspelt one; or "".
    """
    from gpt2.cli.elsewhere import LEAVE_OUT, VALUES_ELSEWHERE, another, answer
    from gpt2.cli.stray import Line

    options = known.options
    name = name.replace("_", "-")
    every = [*options, *(opposite(option) for option, pair in options.items() if pair)]
    short = {option.rpartition(".")[2].removeprefix("--"): option for option in every}  # --steps is --train.steps
    within = name.rpartition(".")[2].removeprefix("--")  # of --train.lr, which stands in another section
    found = name if name in options else short.get(within, "") if name.startswith("--") else ""
    found = found or next((one for one in (f"{name}s", name.removesuffix("s")) if len(name) > 4 and one in every), "")
    line = Line(argv, options, prog)
    if not found:
        given = value or line.after(name)
        first = quoted(line.places[0]) if line.places and line.places[0] != given else ""
        typed = quoted(given) if given else ""
        retyped = line.without(name)
        if said := answer(
            within if "." in name else name, options, known.places, known.commands, prog, first, typed, retyped
        ):
            return f"{said.rstrip('.')}."
    found = found or _begun(name, short) or _misspelt(name, options)
    if not found and name.startswith("--") and (other := another(name, known.places, prog, known.other)):
        command, theirs = other
        options_typed = [word for word in line.rest if word.startswith("--")]
        if "text" in {*known.places} & {*theirs.places} and all(map(theirs.has, options_typed)):
            return f"`{command}` has it: type {line.typed(line.places, prog=command)}."
        if command.startswith("gpt2 explain ") and [*theirs.places] == ["text"]:  # nothing else is needed
            given = "" if theirs.options[name] is not None else f" {quoted(value or line.after(name) or 'VALUE')}"
            leave = LEAVE_OUT.get((prog, name), f"`{prog}` does without it, so leave it out")
            return f"{leave}, or type `{command} TEXT {name}{given}`, which has it."
        return f"`{command}` has it; `{prog} --help` lists the options here."
    theirs_said = VALUES_ELSEWHERE.get(found, {}).get((value or line.after(name)).lower(), "")
    if theirs_said:
        return f"{theirs_said.replace('{first}', next(map(quoted, line.places), 'FILE'))}."
    if options.get(found) and value.lower() in ("false", "0", "no", "off"):
        found = opposite(found)
    return f"did you mean {found}?" if found else ""


def _begun(name: str, short: Mapping[str, str]) -> str:
    """The options, three at most, that begin with one of three letters or more: `--top-k or --top-p` of --top."""
    begun = [option for last, option in short.items() if len(name) > 4 and last.startswith(name.lstrip("-"))]
    return listed(tuple(begun)) if 0 < len(begun) <= 3 else ""


def _misspelt(name: str, options: Collection[str]) -> str:
    """The option that is nearly this one, or has its letters in another order; "" where none is."""
    plain = {option.lstrip("-"): option for option in options}
    near = difflib.get_close_matches(name.lstrip("-"), plain, n=1, cutoff=0.72)
    swapped = [option for option in plain if sorted(option) == sorted(name.lstrip("-"))]
    return plain[(near or swapped)[0]] if near or swapped else ""


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


def options_of(command: type, prefix: str = "") -> dict[str, bool | None]:
    """The options of a command, by the names of its fields: None for one with a value, True for a flag with --no-."""
    import dataclasses
    from typing import get_type_hints

    from tyro.conf import FlagCreatePairsOff, Positional

    fields = {field.name for field in dataclasses.fields(command)}
    found: dict[str, bool | None] = {}
    for name, hint in get_type_hints(command, include_extras=True).items():
        marks = getattr(hint, "__metadata__", ())
        kind = hint.__origin__ if marks else hint
        if Positional in marks or name not in fields:
            continue
        if dataclasses.is_dataclass(kind):
            nameless = any(getattr(mark, "name", None) == "" for mark in marks)
            found |= options_of(kind, prefix if nameless else f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            others = [alias for mark in marks for alias in getattr(mark, "aliases", None) or ()]
            for spelled in (option(prefix + name), *others):
                found[spelled] = FlagCreatePairsOff not in marks if kind is bool else None
    return found
