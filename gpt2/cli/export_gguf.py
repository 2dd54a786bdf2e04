"""`gpt2 export` to GGUF: the file's name and type of numbers, and how llama.cpp runs it.

In: the command as it was typed. Out: a file, and lines or JSON about it. Read next: checkpoint/gguf.py, which writes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.visible import quoted
from gpt2.cli.common import console, print_json
from gpt2.cli.console import progress
from gpt2.cli.export_off import check_off, load, show_off
from gpt2.cli.info import size

if TYPE_CHECKING:
    from gpt2.checkpoint.gguf import GGUF
    from gpt2.cli.export import Command

OF_TORCH = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def export_gguf(command: "Command") -> None:
    """Load, save, and say what was written."""
    from gpt2.checkpoint.gguf import check_gguf_target, save_gguf
    from gpt2.checkpoint.hub import model_directory
    from gpt2.checkpoint.off_note import off_entries
    from gpt2.checkpoint.stored_type import stored_dtype
    from gpt2.text.chat_template import templates_of

    kind = None if command.dtype is None else kind_of(command.dtype)
    name = Path(command.model).resolve().name
    file = None if kind is None else file_of(command.directory, name, kind)
    if file is not None:
        check_gguf_target(file, command.overwrite)
    check_off(command)
    stored = stored_dtype(model_directory(command.model))
    if kind is None or file is None:
        kind = OF_TORCH.get(stored, "f32")
        file = file_of(command.directory, name, kind)
        check_gguf_target(file, command.overwrite)
    checkpoint = load(command, "float64" if stored == "float64" else "float32")
    with progress(f"writing {file}") as tell:
        made = save_gguf(checkpoint.model, checkpoint.tokenizer, file, kind, command.overwrite, name, tell)
    off = off_entries(checkpoint.model)
    if command.json:
        facts = {"model": command.model, "format": "gguf", "file": str(made.path), "dtype": kind}
        print_json(facts | {"bytes": made.path.stat().st_size, "off": off, "tensors": made.tensors})
        return
    show(made, file, kind, "default" in templates_of(checkpoint.tokenizer), off)


def kind_of(dtype: str) -> str:
    """The type of a GGUF file by its own name, or by that of torch's numbers."""
    from gpt2.base.device import DTYPES
    from gpt2.checkpoint.gguf import KINDS

    if dtype.lower() in KINDS:
        return dtype.lower()
    kind = OF_TORCH.get(str(DTYPES.get(dtype)).removeprefix("torch."))
    if kind is None:
        raise UsageError(argument="dtype", value=dtype, mend=f"a GGUF file has one of {', '.join(KINDS)}.")
    return kind


def file_of(typed: str, name: str, kind: str) -> Path:
    """The file that is meant: the one that is typed, or one in the directory that is."""
    path = Path(typed).expanduser()
    if path.name.lower().endswith(".gguf") and not path.is_dir():
        return path
    if path.is_file():
        raise UsageError(f"{path} is a file: name a directory, or a file that ends with .gguf.")
    return path / f"{name}-{kind}.gguf"


def show(made: "GGUF", typed: Path, kind: str, chats: bool, off: list[dict[str, Any]]) -> None:
    """Print what was written and how llama.cpp runs it."""
    from rich.text import Text

    out = console()
    out.print(Text(f"wrote {made.path}, {size(made.path.stat().st_size)}, type {kind}"), soft_wrap=True)
    kinds = ", ".join(f"{n} in {name.lower()}" for name, n in made.tensors.items())
    wide = (
        "; f16 are those whose rows are no multiple of 32 numbers" if kind[0] == "q" and "F16" in made.tensors else ""
    )
    out.print(Text(f"  {counted(sum(made.tensors.values()), 'tensor')}: {kinds}{wide}"), soft_wrap=True)
    show_off(off)
    path = quoted(str(typed))
    lines = [
        "",
        "with llama.cpp:",
        f"  llama-cli -m {path}" if chats else f"  llama-completion -m {path} -p 'Once upon a time' -n 100",
        f"  llama-server -m {path}",
    ]
    out.print(Text("\n".join(lines)), soft_wrap=True)
