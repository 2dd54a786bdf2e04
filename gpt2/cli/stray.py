"""Words that have no place on a command line: what each was probably meant to be, with the command to type instead.

In: the words that a command could make nothing of, in its command line. Out: one sentence. Read next: parsing.py.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2.base.visible import quoted
from gpt2.cli.spelling import opposite

if TYPE_CHECKING:
    from gpt2.cli.parsing import Known

NO_PLACE = {
    "gpt2 chat": "type the message at the prompt of `gpt2 chat`, or pipe it in: printf '%s\\n' {words} | {command}",
}
"""What to do with words that stand without an option where a command has no place for them."""

ADDRESS = re.compile(r"(\d+|\*|embed|final)\.[\w.*#@-]+")
FILE_NAME = re.compile(r"\S+\.[a-z][a-z\d]{0,7}")


def sentence(words: Sequence[str], argv: Sequence[str], known: "Known", prog: str) -> str:
    """What to type in place of a command line with words that have no place, all of which stand in `argv`."""
    line = Line(argv, known.options, prog)
    flagged = [word for word in line.places if line.flag_before(word) and FILE_NAME.fullmatch(word)]
    if flagged:
        return _of_a_flag(flagged[0], line)
    models = [word for word in words if names_model(word)]
    if prog in NO_PLACE and len(models) == 1 and "--model" not in line.rest:
        said = [word for word in words if word not in models]
        message = f"printf '%s\\n' {quoted(' '.join(said))} | " if said else ""
        chat = f"{message}{line.typed([], f'--model {model_of(models[0])}').strip('`')}"
        return f"a model is named with --model: type `{chat}`."
    if prog in NO_PLACE:
        mend = NO_PLACE[prog].replace("{command}", line.typed([]).strip("`"))
        return f"unrecognised: {' '.join(words)}; {mend.replace('{words}', quoted(' '.join(words)))}"
    if "text" in known.places and line.places:
        return _of_a_text(line.places, words, line, known)
    if "--data.train" in known.options and all(Path(word).is_dir() for word in words):
        return f"a data set is named by an option: type {line.typed([], f'--data.train {quoted(words[0])}')}."
    if len(known.places) == 1 and len(line.places) > 1:
        each = ", then ".join(line.typed([word]) for word in line.places[:2])
        return f"{prog} takes one {known.places[0].upper()}: type {each}."
    shape = " ".join([prog, *(name.upper() for name in known.places)])
    return (
        f"unrecognised: {' '.join(words)}; what stands without an option is `{shape}`, and `{prog} --help` says more."
    )


class Line:
    """A command line: what stands in it without an option, `places`, and the rest."""

    def __init__(self, argv: Sequence[str], options: Mapping[str, bool | None], prog: str) -> None:
        self.argv, self.options, self.prog = argv, options, prog
        self.places: list[str] = []
        self.rest: list[str] = []
        value = False
        for word in argv:
            named = word.startswith("-") and word != "-" and not re.match(r"-[\d.\s]", word)
            (self.rest if named or value else self.places).append(word)
            name = word.replace("_", "-")
            value = named and "=" not in word and name.startswith("-") and self._takes_value(name)

    def _takes_value(self, name: str) -> bool:
        return self.options.get(name, None) is None and opposite(name) not in self.options

    def after(self, option: str) -> str:
        """The word after an option that this command does not have: perhaps its value."""
        pairs = zip(self.argv, self.argv[1:])
        return next((b for a, b in pairs if a.replace("_", "-") == option and not b.startswith("-")), "")

    def without(self, option: str) -> str:
        """The command line without one option and its value, and without what stands in it without an option."""
        kept, value = [], ""
        for word, following in zip(self.rest, [*self.rest[1:], ""]):
            if word.partition("=")[0].replace("_", "-") == option:
                value = "" if "=" in word or following.startswith("-") else following
            elif word != value:
                kept.append(word)
        return " ".join([self.prog, *map(quoted, kept)])

    def flag_before(self, word: str) -> str:
        """The option without a value that stands before a word; "" where there is none."""
        before = self.argv[list(self.argv).index(word) - 1] if word in self.argv[1:] else ""
        return before if self.options.get(before.replace("_", "-")) is not None else ""

    def typed(self, places: Sequence[str], *more: str, prog: str = "") -> str:
        """The command to type: with these words in place of those without an option, and with more options."""
        return f"`{' '.join([prog or self.prog, *map(quoted, places), *map(quoted, self.rest), *more])}`"


def _of_a_flag(word: str, line: Line) -> str:
    """For `--csv out.csv`: the option prints, and > writes it to the file."""
    flag = line.flag_before(word)
    places = [place for place in line.places if place != word]
    if flag in ("--json", "--csv"):
        return f"{flag} takes no value; to write a file, type {line.typed(places, f'> {quoted(word)}')}."
    return f"{flag} takes no value: leave out {quoted(word)}, or type {line.typed([word])}."


def _of_a_text(every: Sequence[str], words: Sequence[str], line: Line, known: "Known") -> str:
    """For a command that takes one text: what the others are.

    every   all words without an option, the one that was taken for the text among them
    """
    prog, others = line.prog, [word for word in every if word not in words]
    for word in words:
        if prog.startswith("gpt2 explain") and (said := _of_an_analysis(word, others, line)):
            return said
    models = [word for word in every if names_model(word)]
    if len(every) == 2 and len(models) == 1 and "--model" not in line.rest:
        rest = [word for word in every if word not in models]
        return f"a model is named with --model: type {line.typed(rest, f'--model {model_of(models[0])}')}."
    spaced = [word for word in every if re.search(r"\S\s", word.strip())]
    if len(words) == 1 and others == spaced:
        (word,) = words
        count = next((one for one in ("--max-tokens", "--top") if one in known.options), "")
        if re.fullmatch(r"\d+", word) and count:
            return f"a number needs its option: type {line.typed(others, f'{count} {word}')}."
        if word.startswith(" ") and "--target" in known.options:
            return f"a token is named with --target: type {line.typed(others, f'--target {quoted(word)}')}."
    if len(spaced) > 1 or all(FILE_NAME.fullmatch(word) for word in every):
        each = ", then ".join(line.typed([word]) for word in every[:2])
        lines = "; or name a file with a text a line, --context-file FILE" if "--context-file" in known.options else ""
        return f"{prog} takes one text, and here are {len(every)}: type {each}{lines}."
    return f"unrecognised: {' '.join(words)}; put the whole text in quotation marks: {line.typed([' '.join(every)])}."


def _of_an_analysis(word: str, others: Sequence[str], line: Line) -> str:
    """For words of `gpt2 explain` that are an analysis or an address; "" for another word."""
    import difflib

    from gpt2.cli.explain.analyses import ANALYSES, NEED_NO_TEXT

    if ADDRESS.fullmatch(word):
        names = [one for one in ("--read", "--of", "--points") if one in line.options]
        name = "--head" if "--head" in line.options and ".head." in word else names[0] if names else ""
        if name:
            return f"an address is named with {name}: type {line.typed(others, f'{name} {quoted(word)}')}."
        if line.prog == "gpt2 explain":
            trace = line.typed(others, f"--read {quoted(word)}", prog="gpt2 explain trace")
            return f"a value is read by its address: type {trace}."
    near = difflib.get_close_matches(word.lower(), ANALYSES, n=1, cutoff=0.8)
    if not near:
        return ""
    typed = line.typed([] if near[0] in NEED_NO_TEXT else others, prog=f"gpt2 explain {near[0]}")
    return f"{near[0]!r} is an analysis, which stands before the text, alone: type {typed}."


def names_model(word: str) -> bool:
    """Whether a word is a model here: the bundled one, a size of GPT-2, or a directory that holds one."""
    from gpt2.checkpoint.hf_config import CONFIG_FILE
    from gpt2.checkpoint.layout import ADAPTER_CONFIG, BUNDLED, HUB_IDS

    if word == BUNDLED or word in HUB_IDS or word in HUB_IDS.values():
        return True
    places = (Path(word), Path(word) / "model") if word.strip() else ()
    return any((place / name).is_file() for place in places for name in (CONFIG_FILE, ADAPTER_CONFIG))


def model_of(word: str) -> str:
    """What to give to --model for a word that is a model, as it is typed: of a run the model in it."""
    inside = Path(word) / "model"
    return quoted(str(inside) if inside.is_dir() and names_model(str(inside)) else word)
