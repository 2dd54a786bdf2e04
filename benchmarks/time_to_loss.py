"""Seconds until a validation loss of 1.88 on tiny Shakespeare's characters: `gpt2 train` beside nanoGPT's train.py.

    python -m benchmarks.time_to_loss tinyshakespeare.txt --nanogpt PATH --out benchmarks/results/DATE-time-to-loss

Both train the size that nanoGPT's README gives for a CPU (4 layers, 4 heads, width 128, 64 characters) on the first
nine tenths of the text: nanoGPT by the command in its README, ours by recipes/shakespeare.toml (bytes as tokens, which
here are characters; rows and steps are our own choice). The clock starts with the process, so that imports, compiling
and every evaluation count. It stops at the first line that reports a validation loss of at most 1.88; nanoGPT evaluates
every 250 steps on 20 random batches (15,360 characters), ours on the first 15,360 of the validation text, and both runs
go on to their end, so that the last losses can be compared as well.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine

GOAL = 1.88
NANOGPT = (
    "train.py config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20 --log_interval=1000 "
    "--block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 "
    "--dropout=0.0"
)
RECIPE = Path(__file__).parents[1] / "recipes" / "shakespeare.toml"


def clocked(words: list[str], folder: Path, pattern: str, **environment: str) -> dict[str, Any]:
    """Run a program; the seconds at which each line with a validation loss appeared, and when it ended."""
    began = time.perf_counter()
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    process = subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    losses, last = [], ""
    for line in process.stdout:
        last = line
        if found := re.search(pattern, line):
            losses.append((time.perf_counter() - began, float(found[1])))
    if process.wait():
        sys.exit(f"{' '.join(words[:4])} ended with {process.returncode}: {last}")
    reached = next((at for at, loss in losses if loss <= GOAL), None)
    return {"seconds": reached, "total_s": time.perf_counter() - began, "losses": losses}


def ours(folder: Path, compiled: bool, cold: bool) -> dict[str, Any]:
    """`gpt2 train recipes/shakespeare.toml` in a folder that holds data/."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    flag = "--train.compile" if compiled else "--train.no-compile"
    words = [sys.executable, "-m", "gpt2", "train", str(RECIPE), flag]
    with tempfile.TemporaryDirectory() as empty:
        cache = {"TORCHINDUCTOR_CACHE_DIR": empty} if cold else {}
        return clocked(words, folder, r"validation loss (\d+\.\d+)", **cache)


def nanogpt(folder: Path) -> dict[str, Any]:
    """nanoGPT's README command in a copy of the checkout."""
    return clocked([sys.executable, *NANOGPT.split()], folder, r"step \d+: train loss \S+ val loss (\d+\.\d+)")


def prepare(text: Path, work: Path, checkout: Path | None) -> None:
    """Both data sets, by each software's own means; this is not timed."""
    whole = text.read_bytes()
    cut = int(len(whole) * 0.9)
    for name, part in (("train", whole[:cut]), ("val", whole[cut:])):
        (work / f"{name}.txt").write_bytes(part)
        words = ["prepare", str(work / f"{name}.txt"), "--tokenizer", "bytes", "--out", f"data/shakespeare-{name}"]
        subprocess.run([sys.executable, "-m", "gpt2", *words], cwd=work, check=True, capture_output=True)
    if checkout is not None:
        shutil.copytree(checkout, work / "nanogpt", ignore=shutil.ignore_patterns(".git"))
        place = work / "nanogpt" / "data" / "shakespeare_char"
        shutil.copy(text, place / "input.txt")
        subprocess.run([sys.executable, "prepare.py"], cwd=place, check=True, capture_output=True)


def main() -> None:
    """Measure in turns, print a table, write JSON and Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_loss", description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="tinyshakespeare.txt")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write OUT.json and OUT.md")
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(given.text.resolve(), work, given.nanogpt)
        for turn in range(given.rounds):
            contestants = {"ours, eager": lambda: ours(work, False, False)}
            if turn == 0:
                contestants["ours, compiled, cold"] = lambda: ours(work, True, True)
                ours(work, True, False)  # warms the cache for all rounds
            contestants["ours, compiled, warm"] = lambda: ours(work, True, False)
            if given.nanogpt is not None:
                contestants["nanoGPT"] = lambda: nanogpt(work / "nanogpt")
            for name, measure in contestants.items():
                found.setdefault(name, []).append(measure())
                print(name, {k: v for k, v in found[name][-1].items() if k != "losses"}, file=sys.stderr, flush=True)
    lines = ["| | seconds to 1.88 (each round) | whole run | last loss |", "| --- | --- | --- | --- |"]
    for name, results in found.items():
        each = ", ".join("never" if r["seconds"] is None else f"{r['seconds']:.1f}" for r in results)
        whole = statistics.median(r["total_s"] for r in results)
        lines.append(f"| {name} | {each} | {whole:.1f} | {results[-1]['losses'][-1][1]:.3f} |")
    print("\n".join(lines))
    if given.out is not None:
        facts = machine.describe()
        title = (
            f"# Time to a validation loss of {GOAL} on tiny Shakespeare\n\n{facts['processor']}, {facts['cores']} cores"
        )
        given.out.with_suffix(".md").write_text(f"{title}\n\n" + "\n".join(lines) + "\n")
        content = {"machine": facts, "goal": GOAL, "results": found}
        given.out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
