"""Checkpoints and tokenizers damaged at random: each is accepted and works, or is refused in one sentence.

In: how many cases, and a seed. Out: counts by kind and outcome, each case that is neither, and an exit code of 1 where
there is one.

    python -m benchmarks.mutations --cases 100000 --seed 0

One process opens case after case, with limits on its memory and on the time of a case; it is started again where a case
ends it. A case is found again by its number: --only 1234 runs it alone. `--keep DIRECTORY` gets its files.
"""

import argparse
import collections
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch

import gpt2
from benchmarks.hostile.mutate import mutate
from benchmarks.hostile.seeds import make_seeds

MEMORY, SECONDS, LONGEST = 3 * 2**30, 60, 600
TEXTS = ("the cats", "", "a <|endoftext|> é\n\n  b", "<s>a")
QUICK = Path("/dev/shm")  # memory, where there is one


def prepare_case(seeds: dict[str, Path], folder: Path, seed: int, case: int) -> tuple[str, Path, str]:
    """Write the files of a case: its kind, its directory, and what was done."""
    r = random.Random(f"{seed}-{case}")
    kind = list(seeds)[case % len(seeds)]
    place = folder / "case"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(seeds[kind], place)
    done = []
    for _ in range(r.choice([1, 1, 1, 2])):
        file = r.choice(sorted(place.iterdir()))
        try:
            done.append(f"{file.name}: {mutate(file, r)}")
        except Exception as error:  # it cannot be parsed any more, after the first mutation
            done.append(f"{file.name}: left ({type(error).__name__})")
    return kind, place, ", ".join(done)


def outcome(place: Path) -> tuple[str, str]:
    """("accepted" | "refused" | "WRONG", what was said) of opening a checkpoint and using it."""
    name = place / "model.bin" if (place / "model.bin").is_file() else place
    try:
        model, tokenizer, *_ = gpt2.load(name)
        with torch.no_grad():
            model(torch.tensor([[0, 0, 0]]) % model.config.vocab_size)
        for text in TEXTS:
            try:
                tokenizer.decode(tokenizer.encode(text))
            except ValueError as error:
                return judged("accepted", error)  # a text that it has no tokens for
        return "accepted", ""
    except (ValueError, OSError) as error:
        return judged("refused", error)
    except BaseException:
        return "WRONG", traceback.format_exc()


def judged(good: str, error: Exception) -> tuple[str, str]:
    """Whether an error is one readable sentence."""
    said = str(error)
    if type(error).__name__ not in ("ValueError", "OSError", "UsageError", "Failure", "DiskFailure"):
        return "WRONG", traceback.format_exc()
    if len(said) > LONGEST or not said.isprintable() or not said.strip():
        return "WRONG", f"no readable sentence: {said!r}"
    return good, said


def work(cases: range, arguments: argparse.Namespace, seeds: dict[str, Path], folder: Path, pipe: int) -> None:
    """Open case after case, and write about each to the pipe: a line when it begins, and one when it is over."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for case in cases:
        kind, place, done = prepare_case(seeds, folder, arguments.seed, case)
        os.write(pipe, (json.dumps([case, kind, done]) + "\n").encode())
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
        signal.alarm(SECONDS)
        result, said = outcome(place)
        signal.alarm(0)
        if result == "WRONG":
            keep(place, arguments, case)
        os.write(pipe, (json.dumps([result, said[-3000:]]) + "\n").encode())


def run(arguments: argparse.Namespace) -> int:
    """Run all cases; the number of wrong ones."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    wrong, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="m", dir=QUICK if QUICK.is_dir() else None) as name:
        folder = Path(name)
        seeds = make_seeds(folder)
        for kind, place in seeds.items():
            if outcome(place)[0] != "accepted":
                sys.exit(f"the seed {kind} is not sound: {outcome(place)[1]}")
        cases = range(arguments.cases) if arguments.only is None else range(arguments.only, arguments.only + 1)
        if arguments.start:
            cases = cases[arguments.start :]
        while cases:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                try:
                    work(cases, arguments, seeds, folder, writing)
                finally:
                    os._exit(0)
            os.close(writing)
            now: list[Any] = []
            with os.fdopen(reading) as lines:
                for line in lines:
                    got = json.loads(line)
                    if len(got) == 3:
                        now = got
                        continue
                    counts[now[1], got[0]] += 1
                    if got[0] == "WRONG":
                        wrong += 1
                        report(now, got[1], arguments)
                    elif arguments.show:
                        print(now, got, flush=True)
                    stop = 0 if time.monotonic() - began > arguments.seconds else cases.stop
                    cases, now = range(now[0] + 1, stop), []
                    if not cases:
                        os.kill(child, signal.SIGKILL)
                        break
            status = os.waitpid(child, 0)[1]
            if now:
                wrong += 1
                counts[now[1], "WRONG"] += 1
                keep(folder / "case", arguments, now[0])
                report(now, f"the process ended with {status}", arguments)
                cases = range(now[0] + 1, cases.stop)
    total, seconds = sum(counts.values()), time.monotonic() - began
    for kind in dict.fromkeys(kind for kind, _ in counts):
        print(f"{kind:28}", *(f"{counts[kind, one]:7,} {one}" for one in ("accepted", "refused", "WRONG")))
    print(f"{total:,} cases in {seconds:.0f} s, {60 * total / max(seconds, 1e-9):,.0f} per minute; {wrong} wrong")
    return wrong


def keep(place: Path, arguments: argparse.Namespace, case: int) -> None:
    """Copy the files of a wrong case, where that is asked for."""
    if arguments.keep is not None:
        shutil.copytree(place, arguments.keep / f"{arguments.seed}-{case}", dirs_exist_ok=True)


def report(now: list[Any], said: str, arguments: argparse.Namespace) -> None:
    """Print a wrong case."""
    print(f"--- case {now[0]} of seed {arguments.seed} ({now[1]}; {now[2]})\n{said}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Open damaged checkpoints and tokenizers.")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no case after so many")
    parser.add_argument("--start", type=int, default=0, help="the first case")
    parser.add_argument("--only", type=int, help="one case alone")
    parser.add_argument("--show", action="store_true", help="print what is said of each case")
    parser.add_argument("--keep", type=Path, help="a directory for the files of wrong cases")
    sys.exit(run(parser.parse_args()) > 0)


if __name__ == "__main__":
    main()
