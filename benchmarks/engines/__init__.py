"""One module for each software: how a checkpoint becomes its format, how it generates, how it takes a training step.

Each module has some of these, and the worker asks for nothing else:

    prepare(place, precision) -> None     convert `place.checkpoint` into the software's own format
    versions() -> dict[str, str]          what was measured
    Decoder(place, precision)             .generate(prompts, new) -> the new ids of each prompt, greedy, EOS ignored
    Trainer(place, precision)             .step(ids, targets) -> loss; .compile() where that is measured too

A software that cannot do something raises `NotRun` with the reason, which the report shows. Modules are named after
the software, but not exactly, since they import it.
"""

from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol


class NotRun(Exception):
    """This software cannot do this case, and why, as one sentence."""


@dataclass(frozen=True)
class Place:
    """Where things lie while a benchmark runs, and how many threads everything may use."""

    work: Path
    threads: int
    nanogpt: Path | None = None

    @property
    def checkpoint(self) -> Path:
        """The random model in Hugging Face's format, which everything else is converted from."""
        return self.work / "checkpoint"

    def converted(self, software: str, precision: str) -> Path:
        """Where a software's own format of it lies."""
        return self.work / f"{software}-{precision}"


class Decoder(Protocol):
    """Generates, greedily."""

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        """The `new` ids that follow each prompt; prompts are equally long."""
        ...


class Trainer(Protocol):
    """Trains with AdamW."""

    def step(self, ids: list[list[int]], targets: list[list[int]]) -> float:
        """Forward, backward, optimiser step: the mean loss [B, T] -> a number."""
        ...


def engine(name: str) -> Any:
    """The module of a software. NotRun, naming the package, when it is not installed."""
    try:
        return import_module(f"benchmarks.engines.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("benchmarks"):
            raise
        raise NotRun(f"the package {error.name} is not installed (see benchmarks/README.md)") from None


def package_versions(*packages: str) -> dict[str, str]:
    """Installed versions by package name."""
    return {package: metadata.version(package) for package in packages}
