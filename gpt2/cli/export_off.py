"""What `gpt2 export` does with `--off`: the options checked, the model loaded with components off, a line about them.

In: the command as it was typed. Out: a checkpoint, whose weights are edited. Read next: explain/change/folded.py.
"""

from typing import TYPE_CHECKING, Any

from gpt2.base.errors import UsageError
from gpt2.cli.common import console, load_model

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint
    from gpt2.cli.export import Command


def check_off(command: "Command") -> None:
    """Raise UsageError for options that go with --off where it is missing, before anything is read."""
    for option, given in (("--kind", command.kind is not None), ("--means", command.means is not None)):
        if given and not command.off:
            raise UsageError(f"{option} is about what is switched off: name that with --off, or leave {option} out.")
    if command.means is not None and command.kind == "zero":
        raise UsageError("--kind zero takes no means: leave --means out.")


def load(command: "Command", dtype: str) -> "Checkpoint":
    """The model in these numbers; with components off in float32 or wider, so that the constants are exact."""
    if not command.off:
        return load_model(command.model, dtype, tokenizer=command.tokenizer, activation=command.activation)
    from gpt2.cli.explain.options import reference_text, take_means
    from gpt2.explain import reference
    from gpt2.explain.change.folded import fold, foldable

    wide = "float64" if dtype == "float64" else "float32"
    checkpoint = load_model(command.model, wide, tokenizer=command.tokenizer, activation=command.activation)
    foldable(checkpoint.model, command.off)  # refuses before means are taken
    means = None
    if command.kind != "zero":
        means = reference_text(checkpoint, command.means, "--means") or reference(checkpoint)
        take_means(means)
    return checkpoint._replace(model=fold(checkpoint, command.off, command.kind or "mean", means))


def show_off(off: list[dict[str, Any]]) -> None:
    """Print what is switched off in the weights, where anything is."""
    from rich.text import Text

    from gpt2.checkpoint.off_note import off_sentence

    if off:
        console().print(Text(f"switched off in the weights: {off_sentence(off)}"), soft_wrap=True)
