"""The command `gpt2`: finds the sub-command, parses its options, turns mistakes into one sentence.

In: the words typed. Out: an exit code (0 done, 1 failed, 2 wrong use, 130 interrupted).
A sub-command is a dataclass `Command` in the module that stands beside its name here; nothing is imported
before it is asked for, so that `gpt2 --help` needs neither torch nor tyro.
"""

import contextlib
import difflib
import inspect
import io
import os
import re
import sys
import textwrap
from importlib import import_module
from typing import Any, get_type_hints

from gpt2.base.errors import UsageError

COMMANDS = {
    "next": ("gpt2.cli.next", "the next-token table for a text"),
    "generate": ("gpt2.cli.generate", "continue a text"),
    "walk": ("gpt2.cli.walk.command", "every step from text to prediction, with the real numbers"),
    "tokenize": ("gpt2.cli.tokenize", "the tokens of a text"),
    "info": ("gpt2.cli.info", "configuration, parameters, memory and FLOPs of a model"),
    "export": ("gpt2.cli.export", "write a model in Hugging Face's format"),
    "fetch": ("gpt2.cli.fetch", "download a model from the Hugging Face hub"),
    "prepare": ("gpt2.cli.prepare", "turn text files into token shards"),
    "train": ("gpt2.cli.train", "train a model from a recipe"),
    "finetune": ("gpt2.cli.finetune", "go on training a model on a text of yours"),
    "runs": ("gpt2.cli.runs", "compare training runs, draw their curves"),
    "explain": ("gpt2.cli.explain.command", "see, measure and switch off what makes a prediction"),
    "ablate": ("gpt2.cli.ablate.command", "train without one component after another"),
    "eval": ("gpt2.cli.eval", "bits per byte and perplexity on a text file"),
}


def usage() -> str:
    """The text of `gpt2 --help`."""
    rows = "\n".join(f"  {name:<10}{summary}" for name, (_, summary) in COMMANDS.items())
    return f"""Glassbox GPT-2: predict, generate, train, and see how each prediction is made.

usage: gpt2 COMMAND [options]

{rows}

  gpt2 COMMAND --help   the options of a command
  gpt2 --version        the version

--model takes the bundled model (storyteller, the default), a directory, or a
Hugging Face id such as openai-community/gpt2.

try: gpt2 next "Once upon a time"
"""


def parse_and_run(name: str, argv: list[str]) -> None:
    """Build the sub-command `name` from its options and run it."""
    module = import_module(COMMANDS[name][0])
    if hasattr(module, "parse"):  # a command whose options depend on a file that it names
        command = module.parse(argv)
    else:
        command = build(module.Command, argv, f"gpt2 {name}")
    command.run()


def build(command: type[Any], argv: list[str], prog: str) -> Any:
    """A command from its options. UsageError for a text without quotation marks; tyro says what else is wrong."""
    if "--help" in argv or "-h" in argv:
        print(describe(command), end="\n\n")  # tyro would not break its lines
    elif argv and _takes_text(command):
        made, unknown = parsed(command, argv, prog, description="", return_unknown_args=True)
        if not unknown:
            return made
        if not any(word.startswith("-") for word in unknown):
            raise UsageError(f"unrecognised: {' '.join(unknown)}; put the text in quotation marks.")
    return parsed(command, argv, prog, description="")


def parsed(command: type[Any], argv: list[str], prog: str, **more: Any) -> Any:
    """What tyro makes of the words. UsageError, one sentence, for a number that is none."""
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(command, args=argv, prog=prog, **more)
    except SystemExit:
        words = " ".join(re.sub("[│╭╮╰╯─]", " ", said.getvalue()).split())
        wrong = re.search(r"Error parsing (\S+): .*(int\(\) with base 10|string to float): '(.*?)'", words)
        if wrong:
            meant = "a whole number" if wrong[2].startswith("int") else "a number"
            raise UsageError(f"{wrong[1]} is {wrong[3]!r}: it must be {meant}.") from None
        print(said.getvalue(), end="", file=sys.stderr)
        raise


def _takes_text(command: type[Any]) -> bool:
    """Whether its one positional argument is a text: the metavar says so."""
    hint = get_type_hints(command, include_extras=True).get("text")
    return any(getattr(mark, "metavar", None) == "[TEXT]" for mark in getattr(hint, "__metadata__", ()))


def describe(command: type) -> str:
    """The docstring of a command, filled to 80 columns; a paragraph with an indented line stays as it is."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(p if "\n " in f"\n{p}" else textwrap.fill(p, 79) for p in paragraphs)


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code.

    A mistake or a failure becomes one sentence on stderr; GPT2_TRACEBACK=1 shows where it arose instead.
    """
    if sys.stdout is None:  # closed, as a service may have it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # where é cannot be written, \xe9 is better than a traceback
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()  # here, where a reader that has gone is still caught
        return code
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:  # `gpt2 ... | head`: the reader has gone, and that is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        if os.environ.get("GPT2_TRACEBACK"):
            raise
        return _fail(_sentence(error), 2 if isinstance(error, UsageError) else 1)


def _dispatch(argv: list[str]) -> int:
    """Answer --help and --version, or run the command that the first word names."""
    if argv[:1] == ["help"] and len(argv) > 1:  # gpt2 help next
        argv = [*argv[1:], "--help"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if argv[0] in ("-V", "--version"):
        from gpt2 import __version__

        print(f"gpt2 {__version__}")
        return 0
    name = argv[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean 'gpt2 {near[0]}'?" if near else "'gpt2 --help' lists the commands."
        return _fail(f"there is no command {name!r}: {hint}", 2)
    try:
        parse_and_run(name, argv[1:])
    except SystemExit as stop:  # tyro: --help is 0, wrong options 2
        return stop.code if isinstance(stop.code, int) else 2
    return 0


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror.lower()}"
    return str(error)


def _fail(sentence: str, code: int) -> int:
    print(f"gpt2: {sentence}", file=sys.stderr)
    return code
