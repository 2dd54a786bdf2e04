"""`gpt2 export`: write a model for other programs: a directory for transformers and vLLM, a GGUF file for llama.cpp.

In: a model's name, and a directory, empty or not there yet, or a file. Out: it, whole, and how to load it. With `--off`
components are switched off in the weights first. Read next: export_off.py, export_gguf.py.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.visible import quoted
from gpt2.cli.common import ActivationName, File, Flag, TokenizerName, console, print_json
from gpt2.cli.console import progress
from gpt2.cli.export_off import check_off, load, show_off
from gpt2.cli.info import size

OTHER_FILES = re.compile(
    r"(.*[^/])(\.(?:onnx|bin|pt|pth|ckpt|safetensors|ggml|h5|msgpack|tflite|mlmodel|mlpackage|npz|pkl|zip|tar|tar\.gz|tgz))",
    re.IGNORECASE,
)
"""Names of files in which other programs keep a model."""


@dataclass
class Command:
    """Write a model for other programs: configuration, weights and tokenizer.

    Hugging Face's format is a directory with safetensors, for transformers and vLLM. GGUF is one file, for llama.cpp.

    examples:
      gpt2 export storyteller my-model
      gpt2 export storyteller story.gguf --dtype q8_0
      gpt2 export storyteller without --off 4.head.3,5.mlp
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The bundled model, a directory, a Hugging Face id, an adapter, or a file of nanoGPT or llm.c."""
    directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIR|FILE.gguf")]
    """Where to write; a directory is made when it does not exist."""
    format: Literal["auto", "hf", "gguf"] = "auto"
    """hf: Hugging Face's; gguf: llama.cpp's, of which a directory gets one file; auto: as the name ends."""
    tokenizer: TokenizerName = None
    """Write the tokenizer of this directory, prepared data set or model beside the weights."""
    activation: ActivationName = None
    """Write this activation function, such as gelu_new, where the file does not say which."""
    dtype: Annotated[
        str | None,
        tyro.conf.arg(metavar="TYPE", aliases=("--type",), help_behavior_hint="(default: as the model has it)"),
    ] = None
    """float32, bfloat16, float16 or float64; of gguf f32, bf16, f16, q8_0 or q4_0."""
    off: Annotated[
        tuple[str, ...],
        tyro.conf.UseAppendAction,
        tyro.conf.arg(metavar="ADDRESSES", help_behavior_hint="(default: all stay on)"),
    ] = ()
    """Switch these off in the weights, such as 3.head.7,5.mlp or "2.head.*"; may be given several times."""
    kind: Annotated[
        Literal["mean", "zero"] | None, tyro.conf.arg(metavar="{mean,zero}", help_behavior_hint="(default: mean)")
    ] = None
    """What stands in the place of what is off."""
    means: File = None
    """Documents that the means are taken over (default: the bundled stories)."""
    overwrite: Flag = False
    """Replace a checkpoint that stands in DIR, or the GGUF file."""
    json: Flag = False
    """Print JSON: {"model", "format", "directory" or "file", "dtype", "bytes", "off"}, and "files" or "tensors"."""

    def run(self) -> None:
        """Load, switch off, save, and say what was written."""
        check_places(self)
        if self.to_gguf:
            from gpt2.cli.export_gguf import export_gguf

            export_gguf(self)
            return
        from gpt2.base.device import pick_dtype
        from gpt2.checkpoint.files import save
        from gpt2.checkpoint.hub import model_directory
        from gpt2.checkpoint.off_note import off_entries
        from gpt2.checkpoint.stored_type import stored_dtype
        from gpt2.checkpoint.target import check_target

        if (self.dtype or "").lower() in ("q8_0", "q4_0"):
            mend = "name a file that ends with .gguf, or add --format gguf."
            raise UsageError(f"{self.dtype} is a type of GGUF files: {mend}")
        check_target(self.directory, self.overwrite)
        check_off(self)
        dtype = str(pick_dtype(self.dtype or stored_dtype(model_directory(self.model)))).removeprefix("torch.")
        checkpoint = load(self, dtype)
        with progress(f"writing {self.directory}"):
            target = save(checkpoint.model, checkpoint.tokenizer, self.directory, dtype, self.overwrite)

        off = off_entries(checkpoint.model)
        files = {path.name: path.stat().st_size for path in sorted(target.iterdir())}
        if self.json:
            facts = {"model": self.model, "format": "hf", "directory": str(target), "dtype": dtype}
            print_json(facts | {"bytes": sum(files.values()), "off": off, "files": files})
        else:
            show(target, self.directory, dtype, files, off)

    @property
    def to_gguf(self) -> bool:
        """Whether a GGUF file is meant."""
        return self.format == "gguf" or (self.format == "auto" and self.directory.lower().endswith(".gguf"))


def check_places(command: Command) -> None:
    """Raise UsageError, with the command to type, where DIR is the model, or is called as a file of another format."""
    from gpt2.checkpoint.foreign import foreign_file
    from gpt2.checkpoint.hub import HUB_ID
    from gpt2.cli.stray import names_model

    model, directory = command.model, command.directory
    path = Path(model).expanduser()
    of_the_hub = HUB_ID.fullmatch(model) and not path.parent.is_dir()
    if names_model(directory) and not (names_model(model) or of_the_hub or foreign_file(path)):
        right = f"`gpt2 export {quoted(directory)} {quoted(model)}`"
        raise UsageError(f"there is no model {model!r}, and {directory} is one: the model stands first: type {right}.")
    if command.format == "auto" and (found := OTHER_FILES.fullmatch(directory)) and not Path(directory).is_dir():
        raise UsageError(
            f"{directory} is called as a {found[2]} file, which is not written: name a directory for Hugging Face's "
            f"format, as in `gpt2 export {quoted(model)} {quoted(found[1])}`, or a file that ends with .gguf."
        )


def show(target: Path, typed: str, dtype: str, files: dict[str, int], off: list[dict[str, object]]) -> None:
    """Print what was written and how others load it."""
    from rich.text import Text

    out = console()
    total = size(sum(files.values()))
    out.print(Text(f"wrote {counted(len(files), 'file')}, {total}, weights in {dtype}, to {target}"), soft_wrap=True)
    for name, n in files.items():
        out.print(Text(f"  {name:<26}{size(n):>10}"))
    show_off(off)
    lines = [
        "",
        "in Python:",
        "  from transformers import AutoModelForCausalLM, AutoTokenizer",
        f"  model = AutoModelForCausalLM.from_pretrained({str(target)!r})",
        f"  tokenizer = AutoTokenizer.from_pretrained({str(target)!r})",
        "here:",
        f"  gpt2 generate --model {quoted(typed)} 'Once upon a time'",
    ]
    out.print(Text("\n".join(lines)), soft_wrap=True)
