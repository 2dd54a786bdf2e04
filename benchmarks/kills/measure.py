"""One sequence: a command that is sent signals, typed again each time, and compared in the end.

In: a command of commands.py, how many signals. Out: a record of each, and what differs from the undisturbed sequence.
"""

import random
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.kills.commands import Place
from benchmarks.kills.process import Command, outlived

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CODES = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130, -2}, signal.SIGHUP: {129, -1}}
"""What is documented; negative: it came before the command could catch it."""


COMPLETE = ("is a complete data set", "is finished: its result is")  # a signal came when all was done: code 2 says so


class Case(Protocol):
    """A command that can be killed: see commands.py."""

    name: str

    def words(self, place: Place) -> list[str]:
        """What a user types now."""

    def writes(self, place: Place) -> bool:
        """Whether it is writing right now."""

    def done(self, place: Place) -> set[str]:
        """What must never be lost."""

    def result(self, place: Place) -> Any:
        """What must be equal."""


@dataclass
class Kill:
    """One signal.

    moment      "random", or "write": while something was being written
    code        with which the command ended
    lost        of what was done before the signal, what was not after it
    outlived    seconds until the last of its processes had ended; `left`: how many had to be killed
    traceback   whether it printed one
    """

    signal: str
    moment: str
    code: int
    as_documented: bool
    lost: int
    outlived: float
    left: int
    traceback: bool
    said: str = ""


@dataclass
class Sequence:
    """A command, killed some times and then left alone.

    wrong   sentences on what is not as it must be
    """

    command: str
    kills: list[Kill] = field(default_factory=list)
    equal: bool = False
    litter: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values; what the command said only where something is wrong."""
        found = asdict(self)
        for kill, plain in zip(self.kills, found["kills"], strict=True):
            if kill.as_documented and not (kill.lost or kill.left or kill.traceback):
                del plain["said"]
        return found


def undisturbed(case: Case, folder: Path) -> tuple[Any, float]:
    """The result of the command that nobody disturbs, and its seconds. RuntimeError where it fails."""
    folder.mkdir()
    place, began = Place(folder / "out"), time.monotonic()
    command = Command(case.words(place), folder.with_suffix(".log"))
    if command.wait() != 0:
        raise RuntimeError(f"{case.name} fails undisturbed: {command.said}")
    seconds = time.monotonic() - began
    if outlived()[1] or place.left():
        raise RuntimeError(f"{case.name} leaves something undisturbed: {place.left()}")
    return case.result(place), seconds


def killed(
    case: Case, folder: Path, expected: Any, seconds: float, n: int, draw: random.Random, real: bool
) -> Sequence:
    """The command with up to `n` signals, fewer where it ends before the next one."""
    folder.mkdir()
    place, found = Place(folder / "out"), Sequence(case.name)
    log = folder.with_suffix(".log")
    for _ in range(n):
        command = Command(case.words(place), log, real)
        number, moment = draw.choice(SIGNALS), draw.choice(("random", "write"))
        wait_until(command, time.monotonic() + draw.uniform(0, seconds * (1.0 if moment == "random" else 0.5)))
        if moment == "write":
            while not command.is_over() and not case.writes(place):
                time.sleep(0.0002)
            time.sleep(draw.uniform(0, 0.004))
        before = case.done(place)
        if command.is_over():
            command.wait()
            break
        command.send(number)
        code = command.wait()
        if code == 0:  # it was at its end
            break
        after, left = outlived()
        kill = Kill(
            number.name, moment, code, code in CODES[number], len(before - case.done(place)), after, left,
            "Traceback" in command.said or "Exception ignored" in command.said, command.said[-2000:],
        )  # fmt: skip
        found.kills.append(kill)
        found.wrong += [f"{number.name} gave exit code {code}"] * (not kill.as_documented)
        found.wrong += [f"{number.name} lost {kill.lost}"] * bool(kill.lost)
        found.wrong += [f"{number.name} left {left} running"] * bool(left)
        found.wrong += [f"{number.name} printed a traceback"] * kill.traceback
    command = Command(case.words(place), log, real)
    if (code := command.wait()) != 0 and not any(words in command.said for words in COMPLETE):
        found.wrong.append(f"typed again it gave exit code {code}: {command.said[-1000:]}")
        return found
    result = case.result(place)
    found.equal = result == expected
    found.litter = place.left()
    found.wrong += [f"the result differs: {difference(result, expected)}"] * (not found.equal)
    found.wrong += [f"left: {', '.join(found.litter)}"] * bool(found.litter)
    found.wrong += ["something was left running at the end"] * bool(outlived()[1])
    return found


def difference(one: Any, other: Any, where: str = "") -> str:
    """The first place in which two results differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next((difference(one[k], other[k], f"{where}.{k}") for k in one if one[k] != other[k]), "")
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next((difference(a, b, f"{where}[{i}]") for i, (a, b) in pairs if a != b), "")
    if isinstance(one, dict) and isinstance(other, dict):
        return f"{where} has {sorted(one.keys() ^ other.keys())} on one side only"
    return f"{where} is {str(one)[:200]}, and was {str(other)[:200]}"


def wait_until(command: Command, end: float) -> None:
    """Wait, at most until the command is over."""
    while time.monotonic() < end and not command.is_over():
        time.sleep(0.0005)
