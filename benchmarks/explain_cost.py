"""What it costs to see everything: a pass with every intermediate value kept, beside a plain one.

In: nothing; a GPT-2 124M with random weights and one text of 256 random tokens. Out: seconds of each contestant,
interleaved in one process, medians, and their ratios; with --json FILE the measurements with the machine.

    python -m benchmarks.explain_cost [--tokens 256] [--rounds 9] [--json FILE]

Contestants: our plain forward, with the products that explain takes (on a CPU with AVX-512 oneDNN's) and with
PyTorch's own; `trace(model, ids, read="all")`; transformers with attentions and hidden states (eager);
TransformerLens' `run_with_cache` of everything, each where it is installed. All see the same weights, in fp32.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from benchmarks.transformer_lens_parity import converted, hooked_model
from gpt2.base.onednn import forward_only
from gpt2.base.presets import PRESETS
from gpt2.explain import trace
from gpt2.model import GPT2

Contestant = Callable[[], object]


def contestants(model: GPT2, ids: Tensor) -> Iterator[tuple[str, Contestant]]:
    """Names and calls; what is not installed is left out."""

    def everything() -> object:
        with contextlib.redirect_stderr(io.StringIO()):
            return trace(model, ids, read="all")

    def same_products() -> object:
        with forward_only(model.lm_head.weight):
            return model(ids)

    yield "ours, plain forward", same_products
    yield "ours, plain forward, PyTorch's own products", lambda: model(ids)
    yield "ours, trace of everything", everything
    with contextlib.suppress(ImportError):
        yield f"transformers {version('transformers')}, attentions and hidden states", transformers_pass(model, ids)
    with contextlib.suppress(ImportError, PackageNotFoundError):
        hooked = hooked_model(model.config, torch.float32)
        hooked.load_state_dict(converted(model), strict=False)
        yield f"TransformerLens {version('transformer_lens')}, run_with_cache", lambda: hooked.run_with_cache(ids)


def transformers_pass(model: GPT2, ids: Tensor) -> Contestant:
    """transformers' GPT-2 with the same weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    settings: dict[str, Any] = {"attn_implementation": "eager"}
    hf: Any = GPT2LMHeadModel(GPT2Config(**settings)).eval()
    transposed = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    state = {n: v.T if n.endswith(transposed) else v for n, v in model.state_dict().items()}
    hf.load_state_dict(state)
    return lambda: hf(ids, output_attentions=True, output_hidden_states=True)


def measure(tokens: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of every call, by contestant; every second round goes backwards."""
    model = GPT2(PRESETS["gpt2"]).eval()
    ids = torch.randint(model.config.vocab_size, (1, tokens), generator=torch.Generator().manual_seed(0))
    calls = list(contestants(model, ids))
    seconds: dict[str, list[float]] = {name: [] for name, _ in calls}
    with torch.no_grad():
        for name, call in calls:
            print(f"warm-up: {name}", file=sys.stderr, flush=True)
            call()
        for r in range(rounds):
            print(f"round {r + 1} of {rounds}", file=sys.stderr, flush=True)
            for name, call in calls if r % 2 == 0 else reversed(calls):
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    here = machine.describe()  # before the load is ours
    seconds = measure(options.tokens, options.rounds)
    plain = statistics.median(next(iter(seconds.values())))
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {options.tokens} tokens, fp32, median (best)")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:55} {median:.3f} s ({min(values):.3f})  {median / plain:.2f} x plain")
    if options.json:
        record = {"tokens": options.tokens, "threads": torch.get_num_threads(), "machine": here,
                  "torch": torch.__version__, "seconds": seconds}  # fmt: skip
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)


if __name__ == "__main__":
    main()
