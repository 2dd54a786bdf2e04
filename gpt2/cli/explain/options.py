"""What the analyses of `gpt2 explain` share: options, and how a result is shown, drawn and written.

In: a result of gpt2/explain. Out: a table for eyes, JSON for machines, a PNG.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gpt2.base.errors import UsageError
from gpt2.base.pictures import check_picture, save_picture
from gpt2.cli.common import WIDE, File, Flag, ModelOptions, print_json, wide_console
from gpt2.cli.console import progress

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint
    from gpt2.explain.run.reference import Reference

Token = Annotated[str | None, tyro.conf.arg(metavar="TOKEN", help_behavior_hint="")]
Foil = Annotated[str | None, tyro.conf.arg(metavar="TOKEN", aliases=("--vs",), help_behavior_hint="")]
Position = Annotated[int, tyro.conf.arg(aliases=("--at",))]
Text = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TEXT]", help_behavior_hint="")]


@dataclass
class Options(ModelOptions):
    """The options of every analysis."""

    json: Flag = False
    """Print JSON instead of a table."""
    png: File = None
    """Draw the result to this file too."""

    def load(self) -> "Checkpoint":
        """The model, after what can be wrong with the other options."""
        if self.png is not None and not self.png.lower().endswith(".png"):
            raise UsageError(f"--png is {self.png}: name a file that ends with .png.")
        if self.png is not None:
            check_picture(self.png)
        if (top := getattr(self, "top", None)) is not None and top < 1:
            raise UsageError(f"--top is {top}: it must be at least 1.")
        self.dtype = self.dtype or "float32"  # of a quantised model too: what is explained are floats
        return super().load()

    def show(
        self, checkpoint: "Checkpoint", result: Any, table: Any = None, plot: Callable[[], Any] | None = None
    ) -> None:
        """Print a result (or this `table` of it), or its JSON; draw it where --png asks for it."""
        if self.png is not None:
            draw = plot or getattr(result, "plot", None)
            if draw is None:
                raise UsageError("this analysis is only a table, which has no picture: leave out --png.")
            save_picture(draw(), self.png)
        if self.json:
            print_json({"model": checkpoint.name, **result.to_dict()})
        else:
            show_table(result if table is None else table)


def show_table(table: Any) -> None:
    """A rich table with title and caption unbroken; in a pipe nothing is clipped."""
    from rich.table import Table

    out = wide_console()
    if isinstance(table, Table):
        title, caption, table.title, table.caption = table.title, table.caption, None, None
        parts = [part for part in (title, table, caption) if part]
    else:
        parts = [table]
    for part in parts:
        out.print(part)


def widest(make: Callable[[int], Any], most: int) -> Any:
    """The table `make(n)` of the largest n up to `most` that fits the console."""
    from rich.measure import Measurement

    out = wide_console()
    for n in range(most, 1, -1):
        if Measurement.get(out, out.options.update(max_width=WIDE), made := make(n)).maximum <= out.width:
            return made
    return make(1)


def reference_text(checkpoint: "Checkpoint", text: str | None, option: str = "--text") -> "Reference | None":
    """The documents of `--text FILE`, or of another option; None for the bundled stories."""
    from pathlib import Path

    from gpt2.explain import reference

    if text is None:
        return None
    if not Path(text).is_file():
        raise UsageError(f"{option} is {text}, but there is no such file: name a .txt, .txt.gz or .jsonl file.")
    with progress("reading the documents"):
        return reference(checkpoint, Path(text))


def take_means(documents: "Reference") -> None:
    """Take the means over documents, before they are asked for, with a bar."""
    with progress("means of the documents") as tell:
        documents.compute(tell)
