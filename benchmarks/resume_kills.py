"""Runs of `gpt2 train` that are killed by `kill -9` and resumed: do they lose or change anything?

In: how many runs to kill. Out: one line per run, and an exit code of 1 when any number of any log differs from the run
that never stopped.

    python -m benchmarks.resume_kills --eager 20 --compiled 10 --out kills.json

A tiny model (2 blocks, width 64, dropout 0.1, two micro-batches per step) learns the stories of gpt2/assets. For each
mode two runs go through undisturbed, and must agree to the bit. Every other run is killed: one at a random moment
within a random step, the next one while a checkpoint is being written, which its temporary directory gives away. Then
it is resumed to the end, and its whole metrics.jsonl is compared: every step once, and every loss, gradient norm, rate
and validation loss equal to the bit.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from gpt2.data.prepare import prepare
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.run.directory import CHECKPOINTS, checkpoints
from gpt2.training.run.metrics import METRICS, Event, read_metrics

ROOT = Path(__file__).resolve().parents[1]
COMPARED = ("step", "tokens", "loss", "grad_norm", "lr", "val")
RECIPE = """
[model]
n_layer = 2
n_head = 2
n_embd = {width}
n_positions = 32
dropout = 0.1

[data]
train = ["{data}"]
val = ["{data}"]

[optim]
name = "muon"
lr = 3e-3
warmup_steps = 5

[train]
steps = {steps}
batch_size = 8
micro_batch_size = 5
compile = {compile}
eval_every = {eval_every}
eval_tokens = 1024
save_every = {save_every}
seed = 3
"""


class Process(Protocol):
    """A running `gpt2` command."""

    def kill(self) -> None:
        """Send SIGKILL."""
        ...

    def wait(self) -> int:
        """Wait for its end: its exit code, negative for a signal."""
        ...

    def is_over(self) -> bool:
        """Whether it has ended."""
        ...


class Command:
    """`gpt2 WORDS` as a process of its own."""

    def __init__(self, words: list[str]) -> None:
        command = [sys.executable, "-m", "gpt2", *words]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def wait(self) -> int:
        """Wait for its end; what it said to stderr is passed on when it failed of itself."""
        _, said = self._process.communicate()
        if self._process.returncode > 0:
            sys.stderr.buffer.write(said)
        return self._process.returncode

    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None


Launch = Callable[[list[str]], Process]


@dataclass(frozen=True)
class Kill:
    """One kill: of which moment it was, how many steps were logged then, and from which checkpoint the run went on."""

    moment: str
    steps_logged: int
    half_written: bool
    resumed_from: int

    def __str__(self) -> str:
        left = ", half a checkpoint left" if self.half_written else ""
        return f"killed in a {self.moment} at line {self.steps_logged}{left}, resumed from step {self.resumed_from}"


def write_recipe(folder: Path, compile: bool, steps: int, eval_every: int, save_every: int) -> Path:
    """Prepare the stories (once) and write a recipe that learns them."""
    data = folder / "stories"
    if not data.exists():
        prepare([ROOT / "gpt2" / "assets" / "stories.txt"], data, Tokenizer.bytes())
    path = folder / f"{'compiled' if compile else 'eager'}.toml"
    path.write_text(
        RECIPE.format(
            data=data, compile=str(compile).lower(), steps=steps, eval_every=eval_every, save_every=save_every, width=64
        )
    )
    return path


def run_through(launch: Launch, recipe: Path, run: Path) -> list[Event]:
    """A run that nobody disturbs: what is compared of its log."""
    _finish(launch(["train", str(recipe), "--out", str(run), "--json"]))
    return compared(run)


def run_with_kills(launch: Launch, recipe: Path, run: Path, moments: list[str], seed: int) -> list[Kill]:
    """A run that is killed at these moments ("step" or "save"), each later than the one before, and resumed."""
    draw = random.Random(seed)
    steps = int(next(line for line in recipe.read_text().splitlines() if line.startswith("steps")).split()[-1])
    process = launch(["train", str(recipe), "--out", str(run), "--json"])
    kills: list[Kill] = []
    before = 0
    for number, moment in enumerate(moments):
        room = (steps - before) // (len(moments) - number)
        after = before + draw.randrange(1, max(2, room))
        _wait_for(process, partial(_has_come_to, run, after))
        if moment == "save":
            _wait_for(process, lambda: _half_written(run))
            time.sleep(draw.uniform(0, 0.004))
        else:
            time.sleep(draw.uniform(0, 0.03))
        process.kill()
        code = process.wait()
        if code != -9:
            raise RuntimeError(f"the run ended with exit code {code} before it was killed: give it more steps.")
        before = _logged(run)
        kills.append(Kill(moment, before, _half_written(run), max(checkpoints(run))))
        process = launch(["train", "--resume", str(run), "--json"])
    _finish(process)
    return kills


def compared(run: Path) -> list[Event]:
    """The lines of a run's log, in order, without what depends on the clock."""
    return [{key: event[key] for key in COMPARED if key in event} for event in read_metrics(run / METRICS)]


def _finish(process: Process) -> None:
    code = process.wait()
    if code != 0:
        raise RuntimeError(f"gpt2 train ended with exit code {code}.")


def _logged(run: Path) -> int:
    """Lines in the log so far."""
    log = run / METRICS
    return log.read_bytes().count(b"\n") if log.exists() else 0


def _has_come_to(run: Path, lines: int) -> bool:
    return bool(checkpoints(run)) and _logged(run) >= lines


def _half_written(run: Path) -> bool:
    return any((run / CHECKPOINTS).glob(".step-*.partial"))


def _wait_for(process: Process, condition: Callable[[], bool]) -> None:
    while not condition() and not process.is_over():
        time.sleep(0.0002)


def measure(launch: Launch, eager: int, compiled: int, seed: int, folder: Path, say: Callable[[str], None]) -> Any:
    """All runs of both modes: the kills and whether each log was that of the undisturbed run."""
    result: dict[str, Any] = {}
    for mode, count in (("eager", eager), ("compiled", compiled)):
        if not count:
            continue
        recipe = write_recipe(folder, mode == "compiled", steps=60, eval_every=20, save_every=5)
        expected, again = (run_through(launch, recipe, folder / f"{mode}-{name}") for name in ("a", "b"))
        result[mode] = {"two_undisturbed_runs_equal": expected == again, "lines": len(expected), "runs": []}
        say(f"{mode}: two undisturbed runs of {len(expected)} lines {'agree' if expected == again else 'DIFFER'}")
        for number in range(count):
            run = folder / f"{mode}-{number}"
            began = time.monotonic()
            kills = run_with_kills(launch, recipe, run, [("step", "save")[number % 2]], seed + number)
            equal = compared(run) == expected
            result[mode]["runs"].append({"kills": [asdict(kill) for kill in kills], "equal": equal})
            verdict, seconds = "equal" if equal else "DIFFERENT", time.monotonic() - began
            say(f"{mode} {number + 1}/{count}: {'; '.join(map(str, kills))}: {verdict}, {seconds:.0f} s")
    return result


def main() -> int:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume_kills")
    parser.add_argument("--eager", type=int, default=20, help="runs to kill without torch.compile")
    parser.add_argument("--compiled", type=int, default=10, help="runs to kill with torch.compile")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", help="write the figures to this JSON file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(
            Command, chosen.eager, chosen.compiled, chosen.seed, Path(folder), lambda line: print(line, flush=True)
        )
    runs = [run for mode in result.values() for run in mode["runs"]]
    kills = [kill for run in runs for kill in run["kills"]]
    equal = sum(run["equal"] for run in runs)
    print(
        f"{equal} of {len(runs)} runs equal; {len(kills)} kills, {sum(k['moment'] == 'save' for k in kills)} of them "
        f"during a save, {sum(k['half_written'] for k in kills)} of which left half a checkpoint"
    )
    if chosen.out:
        Path(chosen.out).write_text(json.dumps(result, indent=1) + "\n")
    undisturbed = all(mode["two_undisturbed_runs_equal"] for mode in result.values())
    return 0 if equal == len(runs) and undisturbed else 1


if __name__ == "__main__":
    sys.exit(main())
