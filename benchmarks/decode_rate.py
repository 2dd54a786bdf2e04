"""Tokens per second of generation and of reading a prompt, beside what the memory allows and beside other software.

In: nothing; a GPT-2 124M with random weights. Out: a table of medians for each case, from rounds that go over all
contestants in turn; with --json FILE all figures with the machine.

    python -m benchmarks.decode_rate [--rounds 5] [--new 128] [--batch 1 8 32] [--prefill 512] [--busy]
        [--only ours,int8] [--ct2-python FILE] [--llama DIR] [--json FILE]

Contestants: ours (fp32, bf16, int8, int4), transformers ("hf": fp32, bf16), CTranslate2 ("ct2": fp32, int8), llama.cpp
("llama": f32, bf16, q8_0, q4_0). All are greedy, use the same number of threads, and have a process each. Where a peer
has settings that may help, each is tried first, and the fastest is measured. A case of --batch continues rows of 16
tokens together; its rate counts all new tokens but each row's first, so that neither the prompt nor packing is in it. A
case of --prefill goes from a prompt to its first new token; its rate counts the prompt. The ceiling is the measured
bandwidth divided by the bytes of weights that a token reads. With --busy each round is done twice, alone and beside one
endless loop. What cannot run is named at the end.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.decode_contestants import NAMES, Case, Peers, Team
from benchmarks.decode_report import lines
from benchmarks.engines import NotRun, Place
from benchmarks.random_model import make_checkpoint
from gpt2.kernels.bandwidth import bandwidth
from gpt2.kernels.library import instructions

SIZES = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
PROMPT = 16  # tokens of each row before the first new one
PAUSE = 0.3  # seconds after each measurement: threads of the one before may spin so long


def cases(batches: list[int], prefills: list[int], new: int) -> list[Case]:
    """What is measured; rows differ from each other."""

    def row(number: int, length: int) -> list[int]:
        return [(31 * i + 7 * number) % 257 for i in range(length)]

    decoding = [Case(f"batch {rows}", [row(r, PROMPT) for r in range(rows)], new) for rows in batches]
    return decoding + [Case(f"prefill {length}", [row(0, length)], 1) for length in prefills]


def chosen(only: str) -> list[str]:
    """The contestants that --only names: by software, by precision, or whole. ValueError, naming a word of nobody."""
    words = [word.strip() for word in only.split(",") if word.strip()]
    for word in words:
        if not any(word == name or word in name.split() for name in NAMES):
            raise ValueError(f"nobody is called {word}: choose among {', '.join(NAMES)}")
    return [name for name in NAMES if not words or name in words or set(words) & set(name.split())]


@contextlib.contextmanager
def beside(load: str) -> Iterator[None]:
    """With the load "busy", a program that only computes, on one core, for as long as the block lasts."""
    if load == "idle":
        yield
        return
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(PAUSE)
        yield
    finally:
        loop.kill()
        loop.wait()


def measure_round(team: Team, number: int, rates: dict[str, Any]) -> None:
    """One measurement of each contestant in each case and load; every second round goes backwards."""
    for load, by_case in rates.items():
        with beside(load):
            for case in team.cases:
                workers = list(team.chosen[case.name].items())
                for name, worker in workers[:: -1 if number % 2 else 1]:
                    try:
                        answer = worker.ask(case.prompts, case.new, len(case.prompts[0]) + case.new)
                    except NotRun as reason:
                        team.drop(name, case.name, str(reason))
                        continue
                    by_case[case.name].setdefault(name, []).append(case.tokens / case.seconds(answer))
                    time.sleep(PAUSE)


def run(asked: argparse.Namespace, about: dict[str, Any]) -> dict[str, Any]:
    """All figures. After each round they are kept in the file of --json."""
    wanted = cases(asked.batch, asked.prefill, asked.new)
    loads = ("idle", "busy") if asked.busy else ("idle",)
    rates: dict[str, Any] = {load: {case.name: {} for case in wanted} for load in loads}
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), asked.threads)
        make_checkpoint(place.checkpoint, SIZES | {"n_layer": asked.layers}, seed=0)
        with Team(place, Peers(asked.ct2_python, asked.llama), wanted) as team:
            for name in chosen(asked.only):
                print(f"{name} ...", file=sys.stderr, flush=True)
                team.add(name)
            found = {"machine": about, **machine.commit(), "complete": False, "rates": rates}
            read = bandwidth()
            for number in range(asked.rounds):
                print(f"round {number + 1}/{asked.rounds}", file=sys.stderr, flush=True)
                measure_round(team, number, rates)
                read = max(read, bandwidth())
                found |= {"bandwidth": read, **described(team), "complete": number + 1 == asked.rounds}
                if asked.json:
                    asked.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def described(team: Team) -> dict[str, Any]:
    """What the contestants are, and who did not run."""
    about = team.about.items()
    return {
        "bytes_per_token": {name: said["bytes_per_token"] for name, said in about if "bytes_per_token" in said},
        "versions": {key: value for _, said in about for key, value in said["versions"].items()},
        "ways": team.ways,
        "ids": team.ids,
        "not_run": team.not_run,
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new", type=int, default=128, help="new tokens of each row")
    parser.add_argument("--batch", type=int, nargs="+", default=[], metavar="ROWS", help="rows that decode together")
    parser.add_argument("--prefill", type=int, nargs="+", default=[], metavar="TOKENS", help="lengths of a prompt")
    parser.add_argument("--layers", type=int, default=SIZES["n_layer"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="contestants, separated by commas: ours,int8 or 'ct2 fp32'")
    parser.add_argument("--busy", action="store_true", help="measure each round beside one endless loop too")
    parser.add_argument("--ct2-python", default=sys.executable, metavar="FILE", help="Python that has CTranslate2")
    parser.add_argument("--llama", type=Path, metavar="DIR", help="where npm installed node-llama-cpp")
    parser.add_argument("--json", type=Path, help="write all figures into this file")
    asked = parser.parse_args()
    if not asked.batch and not asked.prefill:
        asked.batch = [1]
    if asked.batch and (asked.new < 2 or PROMPT + asked.new > SIZES["n_positions"]):
        parser.error(f"--new must be 2 to {SIZES['n_positions'] - PROMPT}")
    if min(asked.rounds, asked.threads, *asked.batch, *asked.prefill) < 1:
        parser.error("--rounds, --threads, --batch and --prefill must be at least 1")
    if max(asked.prefill, default=0) >= SIZES["n_positions"]:
        parser.error(f"--prefill must be below {SIZES['n_positions']}")
    try:
        chosen(asked.only)
    except ValueError as error:
        parser.error(f"--only: {error}")
    torch.set_num_threads(asked.threads)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that processes and files go too
    about = machine.describe() | {
        "kernel": instructions(), "threads": asked.threads, "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT"),
    }  # fmt: skip
    print(", ".join(f"{key}: {value}" for key, value in about.items()))
    found = run(asked, about)
    print(", ".join(f"{key}: {value}" for key, value in found["versions"].items()))
    print(f"memory: {found['bandwidth'] / 1e9:.1f} GB/s")
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
