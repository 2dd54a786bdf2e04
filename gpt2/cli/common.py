"""What the commands share: numbers among options, the text argument, the model and where it computes, output."""

import dataclasses
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from gpt2.base.errors import UsageError, to_utf8
from gpt2.base.plain import plain
from gpt2.base.visible import visible_json
from gpt2.cli.spelling import option

if TYPE_CHECKING:
    from rich.console import Console

    from gpt2.checkpoint.files import Builder, Checkpoint
    from gpt2.config import GPT2Config
    from gpt2.model import GPT2

File = Annotated[str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
"""An option that may name a file; its help says what holds without one."""
Count = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")]
"""An option that may be a whole number; its help says what holds without one."""
TokenizerName = Annotated[str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: the model's own)")]
ActivationName = Annotated[
    str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: as the model has it)")
]
Flag = Annotated[tyro.conf.FlagCreatePairsOff[bool], tyro.conf.arg(help_behavior_hint="")]
"""An option without a value, off unless it is given."""
Device = Annotated[str, tyro.conf.arg(metavar="WHERE")]
"""Where a command trains."""
StudyFile = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY.toml", help_behavior_hint="")]

LONGEST = 1 << 28  # bytes of a text on standard input: what never ends must not fill the memory
MEANT = {int: "a whole number", float: "a number"}
METAVARS = {int: "N", float: "X"}
NUMBERS = ConstructorRegistry()


@dataclass(frozen=True)
class NotANumber:
    """A word that was typed where a number belongs, and what it should be."""

    word: str
    meant: str


def _read(kind: type[int] | type[float], word: str) -> int | float | NotANumber:
    """The number that a word is."""
    try:
        return kind(word)
    except ValueError:
        return NotANumber(word, MEANT[kind])


@NUMBERS.primitive_rule
def number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How tyro reads an option of type int or float, alone, optional or in a tuple."""
    kind: Any = info.type
    if kind not in MEANT:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=METAVARS[kind],
        instance_from_str=lambda words: _read(kind, words[0]),
        is_instance=lambda value: isinstance(value, int | kind) and not isinstance(value, bool),
        str_from_instance=lambda value: [str(value)],
    )


def check_numbers(command: Any, prefix: str = "") -> None:
    """Raise UsageError, naming the option, where a field of the command holds a word that is not a number."""
    hints = get_type_hints(type(command), include_extras=True)
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, NotANumber):
            marks = getattr(hints[field.name], "__metadata__", ())
            nameless = any(getattr(mark, "name", None) == "" for mark in marks)  # its fields are options of their own
            check_numbers(value, prefix if nameless else f"{prefix}{field.name}.")
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, NotANumber):
                more = getattr(command, "NO_NUMBER", {}).get(field.name, "")
                raise UsageError(f"{option(prefix + field.name)} is {part.word!r}: it must be {part.meant}{more}.")


@dataclass(kw_only=True)
class ModelOptions:
    """The options of every command that reads or explains a model: which, in which numbers, and where."""

    model: Annotated[str, tyro.conf.arg(metavar="MODEL")] = "storyteller"
    """The bundled model, a directory, a Hugging Face id, or a file of nanoGPT or llm.c."""
    tokenizer: TokenizerName = None
    """Read text with the tokenizer in this directory, prepared data set or model."""
    activation: ActivationName = None
    """Take this activation function, such as gelu_new, where the file does not say which."""
    dtype: Annotated[str | None, tyro.conf.arg(metavar="TYPE", help_behavior_hint="(default: float32)")] = None
    """float32, bfloat16, float16 or float64; without it a quantised model stays as it is."""
    device: Annotated[str, tyro.conf.arg(metavar="WHERE")] = "cpu"
    """cpu, cuda (a GPU; cuda:N for one of several), mps (Apple's GPU), or auto: cuda where there is one."""

    def load(self) -> "Checkpoint":
        """The model that the options name; a variant of `gpt2 ablate` is as good."""
        return load_model(self.model, self.dtype, self.device, any_model, self.tokenizer, self.activation)


def any_model(config: "GPT2Config", variant: dict[str, Any] | None = None) -> "GPT2":
    """The empty model of a checkpoint; the parts of `gpt2 ablate` are loaded for a variant alone."""
    if variant is None:
        from gpt2.model import GPT2

        return GPT2(config)
    from gpt2.ablation.models import build

    return build(config, variant)


def read_text(text: str | None) -> str:
    """The text typed, or standard input when none was typed or it is `-`.

    Raises UsageError when there is none: no argument and a terminal as standard input, an empty text, or bytes
    that are not UTF-8.
    """
    if text is None or text == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("no text: type it in quotes after the command, or pipe it in.")
        try:
            content = sys.stdin.buffer.read(LONGEST + 1)
            if len(content) > LONGEST:
                raise UsageError(f"standard input is longer than {LONGEST >> 20} MiB: pipe in a shorter text.")
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"standard input is not UTF-8 (byte {error.start}): {to_utf8(error)}") from None
        text = text.removesuffix("\n")
        if not text:
            raise UsageError("no text: standard input is empty. Type the text in quotes after the command.")
    if not text:
        raise UsageError('the text is empty: give at least one character, for example "Once upon a time".')
    return text


def load_model(
    name: str,
    dtype: str | None = None,
    device: str = "cpu",
    build: "Builder | None" = None,
    tokenizer: str | None = None,
    activation: str | None = None,
) -> "Checkpoint":
    """Load `--model name` in `--dtype dtype` (None: float32, or quantised as it is) on `--device device`; the others as
    in `load`."""
    from gpt2.base.device import pick_device
    from gpt2.checkpoint.files import load
    from gpt2.cli.console import progress

    with progress(f"loading {name}"):
        return load(name, dtype, pick_device(device), build=build, tokenizer=tokenizer, activation=activation)


def variant_of(checkpoint: "Checkpoint") -> str | None:
    """The name of the variant that this model is, None for a plain GPT-2."""
    variant: dict[str, Any] | None = getattr(checkpoint.model, "variant", None)
    return None if variant is None else str(variant.get("name"))


WIDE = 10_000  # columns


def console() -> "Console":
    """A console for tables: coloured in a terminal; in a pipe plain text that never wraps or clips."""
    from gpt2.cli.console import VisibleConsole

    return VisibleConsole(soft_wrap=not sys.stdout.isatty())


def wide_console() -> "Console":
    """The same, and in a pipe wide enough for any table: rich makes none wider than its console."""
    from gpt2.cli.console import VisibleConsole

    return console() if sys.stdout.isatty() else VisibleConsole(width=WIDE)


def print_json(value: Any) -> None:
    """One JSON document on standard output (see `plain`), in ASCII where that is all it can write. Characters that
    cannot be seen are escaped, also in a pipe: the document says the same."""
    unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    document = json.dumps(plain(value), ensure_ascii=not unicode, allow_nan=False)
    sys.stdout.write(f"{visible_json(document)}\n")
