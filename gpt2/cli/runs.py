"""`gpt2 runs`: training runs side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gpt2.base.errors import UsageError
from gpt2.base.pictures import check_picture
from gpt2.cli.common import File, Flag, print_json, wide_console
from gpt2.cli.console import progress

if TYPE_CHECKING:
    from rich.table import Table

    from gpt2.training.run.history import History


@dataclass
class Command:
    """Compare training runs: size, steps, losses, speed, and whether they are over.

    A directory of runs stands for all of them; a metrics.jsonl stands for a run whose directory is gone.
    """

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="DIR ...", help_behavior_hint="")]
    """Directories that gpt2 train wrote."""
    png: File = None
    """Draw training and validation loss over tokens to this file."""
    join: Flag = False
    """Take the runs as parts of one run: each went on from the weights of the one before."""
    json: Flag = False
    """Print one JSON document."""

    def run(self) -> None:
        """Read the runs, draw, print."""
        if not self.runs:
            raise UsageError("name at least one run: gpt2 runs DIR, a directory that gpt2 train wrote.")
        if self.png is not None and not Path(self.png).suffix:
            raise UsageError(f"--png is {self.png}: name a picture that ends with .png, .svg or .pdf.")
        if self.png is not None:
            check_picture(self.png)
        from gpt2.training.run.history import find_runs, join, read_histories

        with progress("reading runs"):
            histories = read_histories(find_runs(list(self.runs)))
        if self.join:
            histories = [join(histories)]
        if self.json:
            print_json({"runs": [history.to_dict() for history in histories]})
        else:
            show(histories)
        if self.png is not None:
            from gpt2.training.run.curves import draw

            draw(histories, Path(self.png))
            if not self.json:
                print(f"\nsaved {self.png}")


def show(histories: list["History"]) -> None:
    """Print the table of runs, and their validation losses below it."""
    out = wide_console()
    table = _table("run", "parameters", "steps", "tokens", "loss", "tokens/s", "time", "state")
    for run in histories:
        steps = f"{run.steps:,}" if run.of_steps in (None, run.steps) else f"{run.steps:,}/{run.of_steps:,}"
        table.add_row(
            run.name, _short(run.parameters), steps, _short(run.tokens), f"{run.training[-1][1]:.4f}",
            _short(run.tokens_per_s), _time(run.seconds), run.ending,
        )  # fmt: skip
    out.print(table)
    sets = list(dict.fromkeys(name for run in histories for name in run.validation))
    if not sets:
        return
    table = _table("validation loss", *sets)
    for run in histories:
        found = run.to_dict()["validation"]
        table.add_row(run.name, *(_loss(found[name]) if name in found else "-" for name in sets))
    out.print()
    out.print(table)


def _table(first: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    return table


def _loss(found: dict[str, float]) -> str:
    """The final loss, and the best one where that was another."""
    best = "" if found["best"] == found["final"] else f" (best {found['best']:.4f} at {found['best_step']:,})"
    return f"{found['final']:.4f}{best}"


def _short(number: float | None) -> str:
    """Three digits and a unit: 8.95M."""
    if number is None:
        return "-"
    power = 0
    while number >= 999.5 and power < 4:
        number, power = number / 1000, power + 1
    digits = 0 if number >= 99.95 or power == 0 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f}{('', 'k', 'M', 'B', 'T')[power]}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 99.5 else f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"
