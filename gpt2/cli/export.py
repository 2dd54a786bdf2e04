"""`gpt2 export`: write a model as a directory in Hugging Face's format, for transformers, vLLM and others.

In: a model's name and a directory, empty or not there yet. Out: the directory, whole, and how to load it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gpt2.base.counted import counted
from gpt2.base.visible import quoted
from gpt2.cli.common import ActivationName, Flag, TokenizerName, console, load_model, print_json
from gpt2.cli.console import progress
from gpt2.cli.info import size


@dataclass
class Command:
    """Write a model in Hugging Face's format: configuration, weights (safetensors), tokenizer.

    example: gpt2 export storyteller my-model
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The bundled model, a directory, a Hugging Face id, or a file of nanoGPT or llm.c."""
    directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Where to write; made when it does not exist."""
    tokenizer: TokenizerName = None
    """Write the tokenizer of this directory, prepared data set or model beside the weights."""
    activation: ActivationName = None
    """Write this activation function, such as gelu_new, where the file does not say which."""
    dtype: Annotated[str | None, tyro.conf.arg(metavar="TYPE", help_behavior_hint="(default: as the model has it)")] = (
        None
    )
    """float32, bfloat16, float16 or float64."""
    overwrite: Flag = False
    """Replace a checkpoint that stands in DIR."""
    json: Flag = False
    """Print JSON: {"model", "directory", "dtype", "bytes", "files"}."""

    def run(self) -> None:
        """Load, save, and say what was written."""
        from gpt2.checkpoint.files import save
        from gpt2.checkpoint.hub import model_directory
        from gpt2.checkpoint.stored_type import stored_dtype
        from gpt2.checkpoint.target import check_target

        check_target(self.directory, self.overwrite)
        dtype = self.dtype
        if dtype is None:
            dtype = stored_dtype(model_directory(self.model))
        checkpoint = load_model(self.model, dtype, tokenizer=self.tokenizer, activation=self.activation)
        with progress(f"writing {self.directory}"):
            target = save(checkpoint.model, checkpoint.tokenizer, self.directory, overwrite=self.overwrite)

        name = str(checkpoint.model.transformer.wte.weight.dtype).removeprefix("torch.")
        files = {path.name: path.stat().st_size for path in sorted(target.iterdir())}
        if self.json:
            facts = {"model": self.model, "directory": str(target), "dtype": name}
            print_json(facts | {"bytes": sum(files.values()), "files": files})
        else:
            show(target, self.directory, name, files)


def show(target: Path, typed: str, dtype: str, files: dict[str, int]) -> None:
    """Print what was written and how others load it."""
    from rich.text import Text

    out = console()
    total = size(sum(files.values()))
    out.print(Text(f"wrote {counted(len(files), 'file')}, {total}, weights in {dtype}, to {target}"), soft_wrap=True)
    for name, n in files.items():
        out.print(Text(f"  {name:<26}{size(n):>10}"))
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
