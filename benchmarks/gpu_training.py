"""Training GPT-2 124M at T=1024 in bf16 on a GPU: ours (`gpt2 train`'s own step) beside nanoGPT's, one after the other.

    python -m benchmarks.gpu_training --nanogpt PATH --out benchmarks/results/DATE-gpu-training

Both compiled, fused AdamW, dropout 0, clipping at 1, random tokens, several micro-batches per step. nanoGPT's step is
the one of its train.py (bf16 autocast, its vocabulary padded to 50,304), written anew around its model and optimiser.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.engines import Place
from benchmarks.engines.nano import _import as import_nanogpt
from gpt2.base.presets import PRESETS
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.run.environment import describe
from gpt2.training.run.metrics import mfu, peak_flops
from gpt2.training.task import Task

T = 1024
PUBLISHED = {
    "llm.c, H100 within an 8-GPU job": 463_000
}  # tokens/s; its discussion 481, as the project's issue cites it


class RandomRows:
    """The same rows in every step."""

    def __init__(self, rows: int, vocabulary: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(vocabulary, (rows, T + 1), generator=generator)

    def batch(self, step: int, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """ids and targets of some rows."""
        return self.tokens[rows, :-1], self.tokens[rows, 1:]


def ours(rows: int, micro: int, deterministic: bool) -> Callable[[int], float]:
    """The step of `gpt2 train`."""
    config = PRESETS["gpt2"]
    config = replace(config, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    recipe = Recipe(
        data=DataRecipe(train=("random",)),
        optim=OptimRecipe(warmup_steps=0),
        train=TrainRecipe(steps=1000, batch_size=rows, micro_batch_size=micro, deterministic=deterministic),
    )
    batches = RandomRows(rows, config.vocab_size)
    task = Task(GPT2(config, seed=0), Tokenizer.bytes(), batches, {}, {}, lambda model, directory: None)
    run = TrainingRun(recipe, task)
    return lambda number: run.step(number)["loss"]


def nanogpt(path: Path, rows: int, micro: int) -> Callable[[int], float]:
    """nanoGPT's model and optimiser, in the step that its train.py describes."""
    module = import_nanogpt(Place(Path(), 1, path))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    plain = module.GPT(module.GPTConfig(block_size=T, vocab_size=50304, dropout=0.0, bias=True)).cuda()
    optimizer = plain.configure_optimizers(0.1, 6e-4, (0.9, 0.95), "cuda")
    model: Any = torch.compile(plain)
    batches = RandomRows(rows, 50257)

    def step(number: int) -> float:
        total = 0.0
        for first in range(0, rows, micro):
            x, y = (t.pin_memory().cuda(non_blocking=True) for t in batches.batch(number, slice(first, first + micro)))
            with torch.autocast("cuda", torch.bfloat16):
                _, loss = model(x, y)
            (loss * micro / rows).backward()
        total = loss.item()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    return step


def timed(step: Callable[[int], float], repeats: int) -> tuple[list[float], float, float]:
    """Seconds of each step after the warm-up, seconds of the warm-up, the first loss."""
    began = time.perf_counter()
    first = step(0)
    for number in range(1, 4):
        step(number)
    torch.cuda.synchronize()
    warm = time.perf_counter() - began
    seconds = []
    for number in range(4, 4 + repeats):
        began = time.perf_counter()
        step(number)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds, warm, first


def main() -> None:
    """Measure, print a table, write JSON and Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_training", description=__doc__.splitlines()[0])
    parser.add_argument("--nanogpt", type=Path, help="a checkout of it")
    parser.add_argument("--rows", type=int, default=128, help="rows of 1024 tokens per step (default: 128)")
    parser.add_argument("--micro", type=int, default=32, help="rows computed at once (default: 32)")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("gpu-training"))
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no GPU here")
    device = torch.device("cuda")
    contestants = {
        "ours (gpt2 train's defaults: deterministic)": lambda: ours(given.rows, given.micro, True),
        "ours, not deterministic": lambda: ours(given.rows, given.micro, False),
    }
    if given.nanogpt is not None:
        contestants["nanoGPT"] = lambda: nanogpt(given.nanogpt, given.rows, given.micro)
    results = []
    for name, build in contestants.items():
        torch.compiler.reset()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.use_deterministic_algorithms(False)
        seconds, warm, first = timed(build(), given.repeats)
        rate = given.rows * T / statistics.median(seconds)
        results.append({
            "name": name, "tokens_per_s": rate, "mfu": mfu(rate, PRESETS["gpt2"], T, peak_flops(device)),
            "seconds": seconds, "warm_up_s": warm, "first_loss": first,
            "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30,
        })  # fmt: skip
        print(results[-1], flush=True)
    lines = ["| | tokens/s | MFU | peak memory | first loss |", "| --- | --- | --- | --- | --- |"]
    for r in results:
        share = "unknown" if r["mfu"] is None else f"{r['mfu']:.1%}"
        memory, loss = f"{r['peak_memory_gib']:.1f} GiB", f"{r['first_loss']:.4f}"
        lines.append(f"| {r['name']} | {r['tokens_per_s']:,.0f} | {share} | {memory} | {loss} |")
    lines += [f"| {name} (published, not measured here) | {rate:,} | | | |" for name, rate in PUBLISHED.items()]
    environment = describe(device)
    facts = (
        f"{environment['gpu']}, torch {environment['torch']}, {given.rows} rows of {T} a step, {given.micro} at once"
    )
    title = "# GPT-2 124M, T=1024, bf16: training on a GPU\n\n"
    given.out.with_suffix(".md").write_text(f"{title}{facts}\n\n" + "\n".join(lines) + "\n")
    content = {"environment": environment, "rows": given.rows, "micro": given.micro, "results": results}
    given.out.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
