"""`python -m benchmarks.kills`: signals sent to train, finetune, prepare and ablate, and what they cost.

In: how many signals. Out: counts by command and signal, and an exit code of 1 where anything was lost, changed, left
running or left half-written, or where a command ended with another exit code than is documented.

Each command is tiny, and a fork of this process, which has torch in memory. It gets a SIGKILL, SIGTERM, SIGINT or
SIGHUP at a random moment or while something is being written, and is typed again as its own sentence says. What it has
made in the end must be equal, to the bit, to what the undisturbed command makes.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import gpt2.ablation.job
import gpt2.cli.ablate.command
import gpt2.cli.finetune
import gpt2.cli.finetune_report
import gpt2.cli.prepare
import gpt2.cli.train
import gpt2.data.prepare
import gpt2.inference.generate
import gpt2.training.finetune.finetune
import gpt2.training.run.runner  # noqa: F401
from benchmarks.kills.commands import STORIES, Ablate, Finetune, Prepare, Train
from benchmarks.kills.measure import Case, Sequence, killed, undisturbed
from benchmarks.kills.process import Command, become_reaper


def cases(folder: Path, names: list[str]) -> list[Case]:
    """The commands to kill, with what they read made before."""
    text = folder / "stories.txt"
    text.write_text(STORIES.read_text(encoding="utf-8")[:8000])
    data = folder / "data"
    _make(["prepare", str(text), "--tokenizer", "bytes", "--out", str(data)], folder)
    found: list[Case] = [Train(folder, data), Prepare(folder), Ablate(folder, data)]
    if "finetune" in names:
        _make(["train", str(folder / "recipe.toml"), "--out", str(folder / "base"), "--train.steps", "20"], folder)
        found.append(Finetune(folder, folder / "base" / "model"))
    return [case for case in found if case.name in names]


def _make(words: list[str], folder: Path) -> None:
    command = Command(words, folder / "make.log")
    if command.wait() != 0:
        raise RuntimeError(command.said)


def table(sequences: list[Sequence]) -> str:
    """Signals by command and kind, with the exit codes that they gave."""
    rows = []
    for name in dict.fromkeys(s.command for s in sequences):
        kills = [kill for s in sequences if s.command == name for kill in s.kills]
        equal = sum(s.equal for s in sequences if s.command == name)
        runs = sum(s.command == name for s in sequences)
        rows.append(f"{name}: {len(kills)} signals in {runs} sequences, {equal} equal")
        for number in dict.fromkeys(sorted(kill.signal for kill in kills)):
            codes = Counter(kill.code for kill in kills if kill.signal == number)
            writing = sum(kill.signal == number and kill.moment == "write" for kill in kills)
            shown = ", ".join(f"{code} ({n})" for code, n in sorted(codes.items()))
            rows.append(f"  {number:<8}{sum(codes.values()):>5}  {writing:>4} while writing  exit codes {shown}")
    return "\n".join(rows)


def main() -> int:
    """Parse, kill, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills")
    parser.add_argument("--kills", type=int, default=100, help="how many signals to send, all commands together")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop sending them after so long")
    parser.add_argument("--commands", nargs="+", default=["train", "finetune", "prepare", "ablate"])
    parser.add_argument("--real", action="store_true", help="start the processes of gpt2 ablate afresh, not as forks")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", help="write the figures to this JSON file")
    chosen = parser.parse_args()
    become_reaper()
    draw, sequences, began = random.Random(chosen.seed), list[Sequence](), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = cases(folder, chosen.commands)
        expected = [undisturbed(case, folder / f"{case.name}-whole") for case in made]
        for case, (_, seconds) in zip(made, expected, strict=True):
            print(f"{case.name}: undisturbed in {seconds:.1f} s", flush=True)
        turn = 0
        while sum(len(s.kills) for s in sequences) < chosen.kills and time.monotonic() - began < 60 * chosen.minutes:
            case, (result, seconds) = made[turn % len(made)], expected[turn % len(made)]
            place = folder / f"{case.name}-{turn}"
            found = killed(case, place, result, seconds, draw.choice((2, 3, 4, 6)), draw, chosen.real)
            sequences.append(found)
            turn += 1
            if found.wrong:
                print(f"{case.name} {turn}: {'; '.join(found.wrong)}", flush=True)
            else:
                shutil.rmtree(place, ignore_errors=True)
            if turn % 20 == 0:
                sent = sum(len(s.kills) for s in sequences)
                print(f"{sent} signals, {time.monotonic() - began:.0f} s", flush=True)
    print(table(sequences))
    wrong = [s for s in sequences if s.wrong]
    kills = [kill for s in sequences for kill in s.kills]
    slowest = max((kill.outlived for kill in kills), default=0.0)
    lost = sum(kill.lost > 0 for kill in kills)
    print(f"{len(kills)} signals; {lost} lost something; {len(wrong)} of {len(sequences)} sequences wrong")
    print(f"the last process ended at most {slowest:.1f} s after its command")
    if chosen.out:
        content: dict[str, Any] = {
            "seed": chosen.seed,
            "real": chosen.real,
            "sequences": [s.as_json() for s in sequences],
        }
        Path(chosen.out).write_text(json.dumps(content, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
