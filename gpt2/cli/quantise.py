"""`gpt2 quantise`: write a model with int8 or int4 weights, and say what they cost in bits per byte.

In: a model's name and a directory, empty or not there yet. Out: the directory, whole; the cost, also in its
config.json, where `gpt2 info` reads it.
"""

from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.visible import quoted
from gpt2.cli.common import ActivationName, Count, File, Flag, TokenizerName, any_model, console, load_model, print_json
from gpt2.cli.console import progress
from gpt2.cli.eval import refuse_seeing
from gpt2.cli.eval_items import read_documents
from gpt2.cli.info import size
from gpt2.cli.info_weights import cost_line, quantised_line, stored

if TYPE_CHECKING:
    from gpt2.checkpoint.quantisation import Quantisation


@dataclass
class Command:
    """Write a model with weights of 8 or 4 bits: smaller, and faster to generate with.

    The model's bits per byte are measured on a text before and after, as `gpt2 eval` measures them.

    example: gpt2 quantise storyteller small --precision int4
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The bundled model, a directory, a Hugging Face id, an adapter, or a file of nanoGPT or llm.c."""
    directory: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Where to write; made when it does not exist."""
    precision: Literal["int8", "int4"] = "int8"
    """int8: a scale for each row; int4: a scale for each 32 numbers, and the token table stays int8."""
    text: File = None
    """Measure on this text, as `gpt2 eval` takes it (default: stories that come with the program)."""
    limit: Count = None
    """Measure on the first N documents of the text only."""
    tokenizer: TokenizerName = None
    """Read and write the tokenizer of this directory, prepared data set or model."""
    activation: ActivationName = None
    """Take this activation function, such as gelu_new, where the file does not say which."""
    overwrite: Flag = False
    """Replace a checkpoint that stands in DIR."""
    json: Flag = False
    """Print JSON: {"model", "directory", "kind", "bytes", "float_bytes", "cost"}."""

    def run(self) -> None:
        """Load, measure, quantise, measure again, save, and say what it came to."""
        from gpt2.checkpoint.hub import ASSETS
        from gpt2.checkpoint.target import check_target

        check_target(self.directory, self.overwrite)
        refuse_quantised(self.model)
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit is {self.limit}: it must be at least 1.")
        name = str(ASSETS / "stories.txt") if self.text is None else self.text
        if self.text is not None and self.text != "-" and not Path(self.text).exists():
            raise UsageError(f"--text is {self.text}, but there is no such file: name a text, or leave it out.")
        with progress("reading the text"):
            documents = [one.text for one in islice(read_documents([name], "text"), self.limit)]
        checkpoint = load_model(self.model, build=any_model, tokenizer=self.tokenizer, activation=self.activation)
        refuse_seeing(checkpoint)

        from gpt2.checkpoint.files import save
        from gpt2.evaluation.quantising import quantise_checkpoint

        with progress("measuring bits per byte, before and after") as tell:
            done = quantise_checkpoint(checkpoint, self.precision, documents, self._named(name), tell)
        with progress(f"writing {self.directory}"):
            target = save(checkpoint.model, checkpoint.tokenizer, self.directory, overwrite=self.overwrite)
        held = stored(target)
        print_json(facts(self.model, target, done, held)) if self.json else show(self, target, done, held)

    def _named(self, text: str) -> str:
        """The name of the text that is measured on."""
        name = "standard input" if text == "-" else Path(text).name
        return name if self.limit is None else f"the first {counted(self.limit, 'document')} of {name}"


def refuse_quantised(name: str) -> None:
    """UsageError for a model that is quantised already."""
    from gpt2.checkpoint.hf_config import read_quantisation
    from gpt2.checkpoint.hub import model_directory

    directory = model_directory(name)
    found = read_quantisation(directory)
    if found is not None:
        first = "the model that it was made of" if found.original is None else found.original.model
        raise UsageError(f"{name} is quantised already ({found.kind}): quantise {first}, or use {name} as it is.")


def facts(model: str, target: Path, done: "Quantisation", held: dict[str, Any]) -> dict[str, Any]:
    """What --json prints."""
    assert done.cost is not None
    assert done.original is not None
    return {
        "model": model,
        "directory": str(target),
        "kind": done.kind,
        "bytes": held["bytes"],
        "float_bytes": done.original.bytes,
        "cost": asdict(done.cost) | {"share": done.cost.share},
    }


def show(command: Command, target: Path, done: "Quantisation", held: dict[str, Any]) -> None:
    """Print what was written, what it cost, and how to use it."""
    from rich.text import Text

    assert done.original is not None
    out = console()
    floats, times = size(done.original.bytes), done.original.bytes / held["bytes"]
    lines = [
        f"wrote {command.model} in {done.kind} to {target}",
        f"{'weights':<11}{size(held['bytes'])}; in float32 they have {floats}, {times:.1f} times that",
        f"{'numbers':<11}{quantised_line(done.kind, held['numbers'])}",
        f"{'cost':<11}{cost_line(asdict(done)['cost'])}",
        "",
        "use it wherever a model is named:",
        f"  gpt2 generate --model {quoted(command.directory)} 'Once upon a time'",
        "for transformers and others, write it with float weights:",
        f"  gpt2 export {quoted(command.directory)} DIR",
    ]
    out.print(Text("\n".join(lines)), soft_wrap=True)
