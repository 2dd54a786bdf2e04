"""The command `gpt2`: finds the sub-command, parses its options, turns mistakes into one sentence.

In: the words typed. Out: an exit code: 0 done, 1 failed, 2 wrong use; 130, 143 or 129 where Ctrl-C, SIGTERM or SIGHUP
ended the command (terminal.py).
A sub-command is a dataclass `Command` in the module that stands beside its name in commands.py; nothing is imported
before it is asked for, so that `gpt2 --help` needs neither torch nor tyro.
"""

import inspect
import io
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, get_type_hints

from gpt2.base.errors import UsageError
from gpt2.base.notes import Note
from gpt2.cli.commands import COMMANDS
from gpt2.cli.terminal import Ended, EndingSignals, forget


def usage() -> str:
    """The text of `gpt2 --help`."""
    rows = "\n".join(f"  {name:<12}{summary}" for name, (_, summary) in COMMANDS.items())
    return f"""Glassbox GPT-2: predict, generate, train, and see how each prediction is made.

usage: gpt2 COMMAND [options]

{rows}

  gpt2 COMMAND --help   the options of a command
  gpt2 --version        the version

--model takes the bundled model (storyteller, the default), a directory, or a
Hugging Face id such as openai-community/gpt2.

try: gpt2 next "Once upon a time"
"""


def parsed_command(name: str, argv: list[str]) -> Any:
    """The sub-command `name`, built from its options."""
    module = import_module(COMMANDS[name][0])
    if hasattr(module, "parse"):  # a command whose options depend on a file that it names
        return module.parse(argv)
    return build(module.Command, argv, f"gpt2 {name}")


def build(command: type[Any], argv: list[str], prog: str) -> Any:
    """A command from its options. UsageError for a text without quotation marks; `parsed` says what else is wrong."""
    if "--help" in argv or "-h" in argv:
        print(describe(command), end="\n\n")  # tyro would not break its lines
    elif argv and _takes_text(command):
        made, unread = parsed(command, argv, prog, description="", return_unknown_args=True)
        if not unread:
            return made
        from gpt2.cli.parsing import Known, refuse_values, unknown

        if not any(word.startswith("-") for word in unread):
            known = Known.of(command, COMMANDS)
            refuse_values(argv, known.options, unread)
            raise UsageError(unknown(unread, known, prog, argv))
    return parsed(command, argv, prog, description="")


def parsed(command: type[Any], argv: list[str], prog: str, **more: Any) -> Any:
    """What tyro makes of the words. UsageError, one sentence, for what it cannot read."""
    import tyro

    from gpt2.cli import common
    from gpt2.cli.terminal import coloured

    with _plain_refusals(argv, command), coloured():
        made = tyro.cli(command, args=argv, prog=prog, registry=common.NUMBERS, **more)
    common.check_numbers(made[0] if more.get("return_unknown_args") else made)
    return made


@contextmanager
def _plain_refusals(argv: list[str], command: type[Any]) -> Iterator[None]:
    """Raise UsageError for what tyro refuses of `argv` inside the block; parsing.py is asked where something is wrong.

    tyro draws a box by itself; it asks `on_parse_error` first, which its own documentation calls unstable: where a
    release lacks it, the box is shown.
    """

    def refuse(event: Any = None) -> None:
        from gpt2.cli import parsing

        parsing.refuse(event, argv, parsing.Known.of(command, COMMANDS))

    if any(word.startswith("-") and "=" in word for word in argv):  # perhaps --flag=value, which tyro would take
        refuse()
    try:
        from tyro._errors import on_parse_error
    except ImportError:
        yield
        return
    with on_parse_error(refuse):
        yield


def _takes_text(command: type[Any]) -> bool:
    """Whether its one positional argument is a text: the metavar says so."""
    hint = get_type_hints(command, include_extras=True).get("text")
    marks = getattr(hint, "__metadata__", ())
    return any(getattr(mark, "metavar", None) in ("[TEXT]", "[TEXT|FILE]") for mark in marks)


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
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # where é cannot be written, \xe9 is better than a traceback
            stream.reconfigure(errors="backslashreplace")
    from gpt2.cli.terminal import shown_streams

    with shown_streams(), EndingSignals() as signals:
        code = _answered(sys.argv[1:] if argv is None else argv, signals)
    return code if signals.code is None else signals.code


def _answered(argv: list[str], signals: EndingSignals) -> int:
    """Run one command line; the exit code, also where it is interrupted or nobody reads what it prints."""
    try:
        with _notes_as_lines():
            code = _dispatch(argv)
        sys.stdout.flush()  # here, where a reader that has gone is still caught
        return code
    except (KeyboardInterrupt, Ended) as stop:
        return _stopped(stop)
    except BrokenPipeError:  # `gpt2 ... | head`: the reader has gone, and that is no failure
        forget(sys.stdout)
        return 0
    except OSError as error:  # what was printed could not be written
        return _failed(error)
    except Exception:  # a library in C or Rust may make another exception of the one that a signal raised
        if signals.raised is None or os.environ.get("GPT2_TRACEBACK"):
            raise
        return _stopped(signals.raised)


def _stopped(stop: KeyboardInterrupt | Ended) -> int:
    """Say what the user should know of a command that a signal ended; the exit code."""
    said = " ".join(getattr(stop, "__notes__", []))
    with suppress(OSError):  # the terminal may be gone
        if isinstance(stop, KeyboardInterrupt):
            print(file=sys.stderr)  # it has written ^C
        elif not said:
            said = f"ended by {stop.name}."
        if said:
            _fail(said, 1)
    try:
        sys.stdout.flush()
    except OSError:
        forget(sys.stdout)
    return stop.number if isinstance(stop, Ended) else 130


@contextmanager
def _notes_as_lines() -> Iterator[None]:
    """Print each note of ours as one line of the command's, options for arguments; other warnings as Python does."""
    from gpt2.cli.errors import sentence

    with warnings.catch_warnings():
        otherwise = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if isinstance(message, Note):
                print(f"gpt2: {sentence(message.advice)}", file=sys.stderr)
            else:
                otherwise(message, category, *where, **more)

        warnings.showwarning = show
        yield


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
        from gpt2.cli.other_names import sentence

        return _fail(sentence(argv), 2)
    return _run(name, argv[1:])


def _run(name: str, argv: list[str]) -> int:
    """Build and run a command; a mistake or a failure of its becomes one sentence, with its own options."""
    from gpt2.base.cores import respect_limit

    respect_limit()
    command: Any = None
    try:
        command = parsed_command(name, argv)
        command.run()
    except Ended:
        raise
    except SystemExit as stop:  # tyro: --help is 0, wrong options 2
        return stop.code if isinstance(stop.code, int) else 2
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        return _failed(error, command, f"gpt2 {name}")
    return 0


def _failed(error: Exception, command: Any = None, prog: str = "gpt2") -> int:
    """Say in one sentence what was wrong; the exit code. With GPT2_TRACEBACK the error itself."""
    if os.environ.get("GPT2_TRACEBACK"):
        raise error
    from gpt2.cli.errors import sentence

    code = 2 if isinstance(error, UsageError) else 1
    with suppress(OSError):  # standard error may be gone
        _fail(sentence(error, command, prog), code)
    return code


def _fail(words: str, code: int) -> int:
    for line in words.split("\n"):
        print(f"gpt2: {line}", file=sys.stderr)
    return code
