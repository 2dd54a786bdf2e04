"""Tokens per second of the engine beside `gpt2.generate` with one batch of the same prompts, and how long clients wait.

In: nothing; a GPT-2 124M with random weights. Out, on standard output: for each number of rows the median rate of each,
interleaved in one process; for the engine the milliseconds until a client has its first token and between its tokens,
at the median and at the 99th percentile; and the processor.

    python -m benchmarks.engine_rate [--rows 1 8 32] [--tokens 32] [--rounds 3] [--dtype float32] [--temperature 0]

Every prompt has 16 tokens of its own, so that no beginning is shared. `mixed` is the engine with prompts of 1 to 64
tokens, of which `generate` makes one batch too. A row is a client, and all of them ask at once. `gpt2 serve` is not
between: `benchmarks.serve_clients` measures that. Nor is llama.cpp's server beside: its npm package does not carry it.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from queue import SimpleQueue

import torch

import gpt2
from benchmarks import machine
from benchmarks.random_model import make_tokenizer
from gpt2.base.presets import PRESETS
from gpt2.inference.engine import Engine, Event, Limits, Request
from gpt2.inference.row import Piece
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
            waits: list[list[float]] = []
            for number in range(options.rounds + 1):
                source = random.Random(number)
                prompts = [[source.randrange(50_000) for _ in range(length)] for length in lengths]
                calls: dict[str, Callable[[], object]] = {
                    "engine": partial(timed, waits, model, tokenizer, prompts, sampling),
                    "generate": partial(gpt2.generate, model, tokenizer, prompts, sampling),
                }
                for who in sorted(calls, reverse=bool(number % 2)):
                    rate = rows * options.tokens / seconds(calls[who])
                    if number:  # the first round warms up
                        rates[who].append(rate)
                    else:
                        waits.clear()
            mine, theirs = (statistics.median(rates[who]) for who in ("engine", "generate"))
            print(f"{rows} rows, {name}: engine {mine:.1f} tokens/s, generate {theirs:.1f}, ratio {mine / theirs:.2f}",
                  flush=True)  # fmt: skip
            first, between = [times[0] for times in waits], [wait for times in waits for wait in times[1:]]
            print(f"    ms to the first token: {spread(first)}; between tokens: {spread(between)}", flush=True)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def timed(
    waits: list[list[float]],
    model: GPT2,
    tokenizer: gpt2.Tokenizer,
    prompts: list[list[int]],
    sampling: gpt2.Sampling,
) -> None:
    """`by_engine`, with what each client waited added to `waits`."""
    waits.extend(by_engine(model, tokenizer, prompts, sampling))


def spread(waits: list[float]) -> str:
    """The median and the 99th percentile of seconds, in milliseconds."""
    if not waits:
        return "none"
    return f"{statistics.median(waits) * 1000:.1f}, p99 {sorted(waits)[99 * (len(waits) - 1) // 100] * 1000:.1f}"


def by_engine(
    model: GPT2, tokenizer: gpt2.Tokenizer, prompts: list[list[int]], sampling: gpt2.Sampling
) -> list[list[float]]:
    """All prompts through an engine of their own; the seconds that each waited for each token."""
    engine = Engine(model, tokenizer, Limits(rows=len(prompts)))
    engine.start()
    times = [[time.perf_counter()] for _ in prompts]

    def noting(own: list[float]) -> Callable[[Event], None]:
        return lambda event: own.append(time.perf_counter()) if isinstance(event, Piece) else ended.put(event)

    ended: SimpleQueue[Event] = SimpleQueue()
    for ids, own in zip(prompts, times):
        engine.submit(Request(ids, sampling)).subscribe(noting(own))
    for _ in prompts:
        if isinstance(error := ended.get(), BaseException):
            raise error
    engine.stop()
    return [[after - before for before, after in pairwise(own)] for own in times]


if __name__ == "__main__":
    main()
