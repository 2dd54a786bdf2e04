"""Tokens per second of the engine beside `gpt2.generate` with one batch of the same prompts.

In: nothing; a GPT-2 124M with random weights. Out, on standard output: for each number of rows the median rate of each,
interleaved in one process, and the processor.

    python -m benchmarks.engine_rate [--rows 1 8 32] [--tokens 32] [--rounds 3] [--dtype float32] [--temperature 0]

Every prompt has 16 tokens of its own, so that no beginning is shared. `mixed` is the engine with prompts of 1 to 64
tokens, of which `generate` makes one batch too.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch

import gpt2
from benchmarks import machine
from benchmarks.random_model import make_tokenizer
from gpt2.base.presets import PRESETS
from gpt2.inference.engine import Engine, Limits, Request
from gpt2.model import GPT2


def main() -> None:
    """Measure, and print a line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--preset", default="gpt2", choices=list(PRESETS))
    options = parser.parse_args()
    model = GPT2(PRESETS[options.preset]).eval().to(getattr(torch, options.dtype))
    tokenizer = make_tokenizer(model.config.vocab_size)
    sampling = gpt2.Sampling(max_tokens=options.tokens, temperature=options.temperature, top_p=1.0, ignore_eos=True)
    print(f"{machine.describe()['processor']}, {torch.get_num_threads()} threads, {options.dtype}")
    for rows in options.rows:
        for name, lengths in (("even", [16] * rows), ("mixed", [1 + 63 * i // max(1, rows - 1) for i in range(rows)])):
            rates: dict[str, list[float]] = {"engine": [], "generate": []}
            for number in range(options.rounds + 1):
                source = random.Random(number)
                prompts = [[source.randrange(50_000) for _ in range(length)] for length in lengths]
                calls = {
                    "engine": lambda prompts=prompts: by_engine(model, tokenizer, prompts, sampling),
                    "generate": lambda prompts=prompts: gpt2.generate(model, tokenizer, prompts, sampling),
                }
                for who in sorted(calls, reverse=bool(number % 2)):
                    rate = rows * options.tokens / seconds(calls[who])
                    if number:  # the first round warms up
                        rates[who].append(rate)
            mine, theirs = (statistics.median(rates[who]) for who in ("engine", "generate"))
            print(f"{rows} rows, {name}: engine {mine:.1f} tokens/s, generate {theirs:.1f}, ratio {mine / theirs:.2f}",
                  flush=True)  # fmt: skip


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def by_engine(model: GPT2, tokenizer: gpt2.Tokenizer, prompts: list[list[int]], sampling: gpt2.Sampling) -> None:
    """All prompts through an engine of their own."""
    engine = Engine(model, tokenizer, Limits(rows=len(prompts)))
    engine.start()
    for ticket in [engine.submit(Request(ids, sampling)) for ids in prompts]:
        for _ in ticket:
            pass
    engine.stop()


if __name__ == "__main__":
    main()
