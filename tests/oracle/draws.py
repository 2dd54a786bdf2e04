"""A case: a directory of random files, and what was drawn for it. A function of (seed, number) alone."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROMPTS = ["The cat sat on the mat.", " the dog didn't mind", "Once upon a time there", "hello, world! and the", "x"]
WILD = 0.72  # of the cases hold fields outside the family, which may be refused
ODDS = 2  # so many in each of them


@dataclass
class Case:
    """What is in `load_from`, and why it may be refused.

    drawn        every field that stands in a file of the case, as "config.n_inner": its value
    odd          those outside the family: a refusal must name one of them
    generation   those of generation_config.json for which a refusal when generating is fair
    hints        other words by which a refusal may name its cause, such as a tensor's name
    """

    seed: int
    number: int
    directory: Path
    drawn: dict[str, Any] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    generation: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    base: Path = Path()
    adapter: Path | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed}:{self.number}")
        self.base = self.directory / "base"
        self.prompt = self.pick(PROMPTS)
        self.base.mkdir(parents=True, exist_ok=True)

    @property
    def load_from(self) -> Path:
        return self.base if self.adapter is None else self.adapter

    @property
    def family(self) -> bool:
        return not self.odd

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, values: Sequence[Any]) -> Any:
        return values[self.random.randrange(len(values))]

    def draw(self, file: str, fields: Mapping[str, Callable[["Case"], Any]], probability: float) -> dict[str, Any]:
        """Each field with this probability: name -> drawn value."""
        values = {name: make(self) for name, make in fields.items() if self.chance(probability)}
        for name, value in values.items():
            self.note(file, name, value)
        return values

    def note(self, file: str, name: str, value: Any) -> None:
        self.drawn[f"{file}.{name}"] = value

    def write(self, name: str, value: Any, directory: Path | None = None) -> None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
        (directory or self.base).joinpath(name).write_text(text, encoding="utf-8")


def take_turns(deck: Sequence[str], turn: int, count: int) -> list[str]:
    """`count` cards of the deck; all cards come equally often over the turns, in ever new company."""
    chosen: list[str] = []
    for position in range(turn * count, turn * count + count):
        round_number, index = divmod(position, len(deck))
        shuffled = list(deck)
        random.Random(round_number).shuffle(shuffled)
        chosen.append(shuffled[index])
    return list(dict.fromkeys(chosen))
