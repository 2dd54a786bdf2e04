"""What the commands share: the text argument, the model option, plain or rich output."""

import json
import sys
from typing import TYPE_CHECKING, Any

from gpt2.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from gpt2.checkpoint import Checkpoint


def read_text(text: str | None) -> str:
    """The text typed, or standard input when none was typed or it is `-`.

    Raises UsageError when there is none: no argument and a terminal as standard input, an empty text, or bytes
    that are not UTF-8.
    """
    if text is None or text == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("no text: type it in quotes after the command, or pipe it in.")
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"standard input is not UTF-8 (byte {error.start}): convert it first.") from None
        text = text.removesuffix("\n")
    if not text:
        raise UsageError('the text is empty: give at least one character, for example "Once upon a time".')
    return text


def load_model(name: str, dtype: str = "float32") -> "Checkpoint":
    """Load `--model name` in `--dtype dtype` for inference, quietly."""
    import torch

    from gpt2.checkpoint import load

    dtypes = {"float32": torch.float32, "fp32": torch.float32, "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
              "float16": torch.float16, "fp16": torch.float16, "float64": torch.float64}  # fmt: skip
    if dtype not in dtypes:
        raise UsageError(f"--dtype {dtype} is unknown: choose float32, bfloat16, float16 or float64.")
    return load(name, dtype=dtypes[dtype])


def console() -> "Console":
    """A console for tables and progress: coloured in a terminal; in a pipe plain text that never wraps or clips."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal)


def print_json(value: Any) -> None:
    """One JSON document on standard output, in ASCII where that is all it can write."""
    unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    json.dump(value, sys.stdout, ensure_ascii=not unicode)
    sys.stdout.write("\n")
