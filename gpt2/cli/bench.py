"""`gpt2 bench`: how fast a model generates on this machine, in each precision, and which one to choose.

In: a model's name. Out: rates, for eyes or as JSON.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from gpt2.base.cores import cores
from gpt2.base.errors import UsageError
from gpt2.cli.common import ActivationName, Flag, any_model, load_model, print_json, wide_console
from gpt2.cli.console import progress
from gpt2.cli.info import size

if TYPE_CHECKING:
    from gpt2.inference.bench import Bench

Precision = Literal["float32", "bfloat16", "int8", "int4"]
BUSY = 0.5  # load per core, before anything is measured, from which on the machine is called busy


@dataclass
class Command:
    """Measure how fast a model generates here: tokens per second, time to the first token, and memory.

    Every precision is made in memory of the same model, and nothing is written.

    example: gpt2 bench --precision float32 int8
    """

    model: Annotated[str, tyro.conf.arg(metavar="MODEL")] = "storyteller"
    """The bundled model, a directory, a Hugging Face id, or a file of nanoGPT or llm.c."""
    precision: tuple[Precision, ...] = ("float32", "bfloat16", "int8", "int4")
    """Which to measure: float32, bfloat16, int8, int4."""
    tokens: Annotated[int, tyro.conf.arg(metavar="N")] = 64
    """How many new tokens per text."""
    activation: ActivationName = None
    """Take this activation function, such as gelu_new, where the file does not say which."""
    json: Flag = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Load, measure, and print."""
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        precisions = list(dict.fromkeys(self.precision))
        if not precisions:
            raise UsageError("--precision has no value: give one or more of float32, bfloat16, int8 and int4.")
        checkpoint = load_model(self.model, "float32", build=any_model, activation=self.activation)

        import torch

        from gpt2.inference.bench import bench
        from gpt2.kernels.library import instructions
        from gpt2.training.run.environment import processor

        with progress("measuring") as tell:
            found = bench(checkpoint.model, checkpoint.tokenizer, precisions, self.tokens, progress=tell)
        machine = {
            "processor": processor(),
            "cores": cores(),
            "threads": torch.get_num_threads(),
            "load": load,
            "busy": load > BUSY * cores(),
            "bandwidth": found.bandwidth,
            "kernel": instructions(),
        }
        if self.json:
            facts = {"model": self.model, "machine": machine, "tokens": found.tokens, "long_prompt": found.long}
            rates = [asdict(rate) for rate in found.rates]
            print_json(facts | {"rates": rates, "choose": found.advised.precision})
        else:
            show(self.model, machine, found)


def show(model: str, machine: dict[str, Any], found: "Bench") -> None:
    """Print the machine, a row per precision, and what to choose."""
    from rich.table import Table
    from rich.text import Text

    out = wide_console()
    threads = f"{machine['threads']} of {machine['cores']} cores"
    out.print(Text.assemble((model, "bold"), f" on {machine['processor']}, {threads}"), soft_wrap=True)
    out.print(Text(f"memory is read at {size(found.bandwidth)} per second"), soft_wrap=True)
    if machine["busy"]:
        said = f"this machine was busy (a load of {machine['load']:.1f}): figures are lower than on a quiet one"
        out.print(Text(said, "yellow"), soft_wrap=True)
    out.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "tokens/s", "of memory", "8 texts", "first token", "prefill", "weights", "way"):
        table.add_column(name, justify="left" if name in ("", "way") else "right", no_wrap=True)
    for rate in found.rates:
        table.add_row(
            rate.precision,
            number(rate.decode),
            f"{rate.share:.0%}",
            number(rate.batch),
            f"{1000 * rate.first:.3g} ms",
            number(rate.prefill),
            size(rate.memory),
            rate.way,
        )
    out.print(table)
    out.print()
    for line in legend(machine, found):
        out.print(Text(line, "dim"), soft_wrap=True)
    out.print(Text(advice(model, found)), soft_wrap=True)


def number(x: float) -> str:
    """A rate in three digits."""
    return f"{x:,.0f}" if x >= 99.5 else f"{x:.3g}"


def legend(machine: dict[str, Any], found: "Bench") -> Sequence[str]:
    """What the columns are."""
    lines = [
        f"tokens/s: new tokens per second of one text, {found.tokens} after a short prompt; 8 texts: of all together",
        "of memory: the bytes that a step reads, as a share of what the memory gives",
        f"prefill: tokens per second of a prompt of {found.long}",
    ]
    if any(rate.way == "kernel" for rate in found.rates):
        lines.append(f"way: the kernel is this package's own, here with {machine['kernel']}; torch is PyTorch")
    else:
        lines.append("way: how a linear map is computed for one token")
    if any(rate.share > 1 for rate in found.rates):
        lines.append("above 100% of memory, the weights stay in the processor's caches, as those of small models do")
    return lines


def advice(model: str, found: "Bench") -> str:
    """Which precision to choose here, and how."""
    best = found.advised
    how = {
        "float32": "every command takes it where no --dtype is given",
        "bfloat16": "give --dtype bfloat16",
    }.get(best.precision, f"`gpt2 quantise {model} DIR --precision {best.precision}` writes it and measures its cost")
    others = [rate for rate in found.rates if rate.precision == "float32" and rate is not best]
    times = f", {best.decode / others[0].decode:.1f} times the rate of float32" if others else ""
    return f"choose {best.precision}{times}: {how}."
