"""Tokens per second of one text, per precision, beside what this machine's memory allows.

In: nothing; a GPT-2 124M with random weights. Out: a table of medians, from runs that are interleaved in one process;
with --json FILE all figures with the machine.

    python -m benchmarks.decode_rate [--rounds 5] [--new 128] [--busy] [--only fp32,int8] [--json FILE]

Contestants: ours in fp32, bf16, int8 and int4, and transformers in fp32 and bf16, greedy, 16 tokens before the first
new one. A rate counts the tokens after the first, so that neither prefill nor packing is in it. The ceiling is the
measured bandwidth divided by the bytes of weights that a token reads. --busy lets one endless loop run beside it all.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.engines import NotRun, Place, engine
from benchmarks.random_model import make_checkpoint
from gpt2.kernels.bandwidth import bandwidth, bytes_per_token
from gpt2.kernels.library import instructions

CONTESTANTS = ("ours fp32", "ours bf16", "ours int8", "ours int4", "hf fp32", "hf bf16")
SIZES = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
PROMPT = [[(31 * i) % 257 for i in range(16)]]


def decoders(place: Place, only: list[str]) -> dict[str, Any]:
    """Each contestant that can run here, by its name."""
    found = {}
    for name in CONTESTANTS:
        software, precision = name.split()
        if not only or precision in only or software in only:
            try:
                found[name] = engine(software).Decoder(place, precision)
            except NotRun as reason:
                print(f"{name}: {reason}", file=sys.stderr)
    return found


def rate(decoder: Any, new: int) -> float:
    """Tokens per second after the first."""
    start = time.perf_counter()
    decoder.generate(PROMPT, 1)
    first = time.perf_counter() - start
    start = time.perf_counter()
    decoder.generate(PROMPT, new)
    return (new - 1) / max(time.perf_counter() - start - first, 1e-9)


@contextlib.contextmanager
def beside(busy: bool) -> Iterator[None]:
    """A program that only computes, on one core, for as long as the block lasts."""
    if not busy:
        yield
        return
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


def measure(place: Place, rounds: int, new: int, only: list[str], busy: bool) -> dict[str, Any]:
    """Rates of each contestant in each round, with what they are measured against."""
    models = decoders(place, only)
    for decoder in models.values():
        decoder.generate(PROMPT, 4)  # what is done once: ways are measured, weights packed, buffers made
    rates: dict[str, list[float]] = {name: [] for name in models}
    reads = [bandwidth()]
    with beside(busy):
        for _ in range(rounds):
            for name, decoder in models.items():
                rates[name].append(rate(decoder, new))
    reads.append(bandwidth())
    per_token = {name: bytes_per_token(d.model) for name, d in models.items() if name.startswith("ours")}
    return {"rates": rates, "bandwidth": max(reads), "bytes_per_token": per_token}


def show(found: dict[str, Any]) -> None:
    """The table: medians, and the share of what the memory allows."""
    print(f"{'':10} {'tokens/s':>9} {'lowest':>9} {'highest':>9} {'MB/token':>9} {'ceiling':>9} {'share':>6}")
    for name, rates in found["rates"].items():
        line = f"{name:10} {statistics.median(rates):9.1f} {min(rates):9.1f} {max(rates):9.1f}"
        read = found["bytes_per_token"].get(name)
        if read is not None:
            ceiling = found["bandwidth"] / read
            line += f" {read / 1e6:9.1f} {ceiling:9.1f} {statistics.median(rates) / ceiling:6.2f}"
        print(line)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new", type=int, default=128, help="new tokens of a run")
    parser.add_argument("--layers", type=int, default=SIZES["n_layer"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="precisions or software, separated by commas: fp32,int8 or ours")
    parser.add_argument("--busy", action="store_true", help="one endless loop runs beside it")
    parser.add_argument("--json", type=Path, help="write all figures into this file")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    about = machine.describe() | {
        "kernel": instructions(), "threads": asked.threads, "busy": asked.busy, "torch": torch.__version__,
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT"),
    }  # fmt: skip
    print(", ".join(f"{key}: {value}" for key, value in about.items()))
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), asked.threads)
        make_checkpoint(place.checkpoint, SIZES | {"n_layer": asked.layers}, seed=0)
        only = [word for word in asked.only.split(",") if word]
        found = measure(place, asked.rounds, asked.new, only, asked.busy)
    print(f"memory: {found['bandwidth'] / 1e9:.1f} GB/s")
    show(found)
    if asked.json:
        asked.json.write_text(json.dumps({"machine": about, **machine.commit(), **found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
