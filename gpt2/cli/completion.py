"""`gpt2 completion`: the script by which a shell completes commands and options. tyro writes it."""

import dataclasses
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal, Union

import tyro

Shell = Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional, tyro.conf.arg(metavar="SHELL")]


@dataclass
class Command:
    """Print the script that makes the tab key complete commands and options.

    Write it to where your shell looks for it, and open a new terminal:

      bash   mkdir -p ~/.local/share/bash-completion/completions
             gpt2 completion bash > ~/.local/share/bash-completion/completions/gpt2
      zsh    mkdir -p ~/.zfunc && gpt2 completion zsh > ~/.zfunc/_gpt2
             and in ~/.zshrc: fpath+=~/.zfunc; autoload -Uz compinit && compinit
      fish   gpt2 completion fish > ~/.config/fish/completions/gpt2.fish

    Write it again after an update of gpt2.

    examples:
      gpt2 completion bash > gpt2.bash && source gpt2.bash
    """

    shell: Shell
    """bash, zsh or fish."""

    def run(self) -> None:
        """Print it."""
        from gpt2.cli.common import NUMBERS

        with suppress(SystemExit):  # tyro ends the program when it has printed
            tyro.cli(everything(), prog="gpt2", args=["--tyro-write-completion", self.shell, "-"], registry=NUMBERS)


def everything() -> Any:
    """All commands as one type, those that have commands of their own with these."""
    from gpt2.cli.ablate.command import OTHERS
    from gpt2.cli.commands import COMMANDS
    from gpt2.cli.explain.analyses import ANALYSES

    inner = {
        "explain": {name: (module, kind) for name, (module, kind, _) in ANALYSES.items()},
        "ablate": {name: ("gpt2.cli.ablate.report", kind) for name, kind in OTHERS.items()},
    }
    commands = {}
    for name, (module, _) in COMMANDS.items():
        command: Any = import_module(module).Command
        if name in inner:
            parts = {n: getattr(import_module(home), kind) for n, (home, kind) in inner[name].items()}
            field = ("part", Annotated[_any_of(parts), tyro.conf.arg(name="")])
            command = dataclasses.make_dataclass(command.__name__, [field], bases=(command,), kw_only=True)
        commands[name] = command
    return _any_of(commands)


def _any_of(kinds: dict[str, Any]) -> Any:
    """One type for several commands, each under its name."""
    named = [Annotated[kind, tyro.conf.subcommand(name, prefix_name=False)] for name, kind in kinds.items()]
    return Union[tuple(named)]  # noqa: UP007
