"""The search for the scale of the study "evening": the cheapest baseline whose loss depends on what lies far back.

    python -m benchmarks.context_search FILE.jsonl [NAME ...]     trains, adds a line for each model and budget
    python -m benchmarks.context_search FILE.jsonl --table        the table as Markdown

Each candidate is a plain GPT-2, judged by its context use (gpt2/evaluation/context_use.py) and its validation loss
alone: no variant is looked at. Texts and seeds are others than the study's. Its data is made so:

    zcat tinystories/train.txt.gz | tail -c +3200001 > search.txt
    gpt2 prepare search.txt --vocab-size 512 --out data/search-512-train          (and so on)
    gpt2 prepare tinystories/test.txt.gz --tokenizer data/search-512-train/tokenizer --out data/search-512-val

A model is trained at a constant rate, with a decay branched off at 1/8, 1/4, 1/2 and 1 of its steps
(gpt2/ablation/branches.py), and measured at each.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import torch

from gpt2.ablation.branches import branch, branch_points
from gpt2.ablation.job import Part
from gpt2.ablation.measure import in_context_score, induction_score, position_losses
from gpt2.evaluation.context_use import context_use_of_rows
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe

SHARES = (0.125, 0.25, 0.5, 1.0)
TOKENS = 1_000_000
TARGETS = 4096  # of which the context use is measured, half of them with 32 tokens visible
SEED = 900

# name: vocabulary, blocks, heads, width, positions, rows of a batch, optimiser, AdamW's rate, Muon's rate, seed
SHAPES = {
    "repeats-512-2x64": ("repeats-512", 2, 4, 64, 128, 8, "muon", 4e-3, 0.02),
    "repeats-512-2x96": ("repeats-512", 2, 4, 96, 128, 8, "muon", 4e-3, 0.02),
    "repeats-512-4x64": ("repeats-512", 4, 4, 64, 128, 8, "muon", 4e-3, 0.02),
    "repeats-512-4x96": ("repeats-512", 4, 4, 96, 128, 8, "muon", 4e-3, 0.02),
    "repeats-1024-4x96": ("repeats-1024", 4, 4, 96, 128, 8, "muon", 4e-3, 0.02),
    "bytes-4x96-256": ("bytes", 4, 4, 96, 256, 4, "muon", 4e-3, 0.02),
    "bytes-2x96-256": ("bytes", 2, 4, 96, 256, 4, "muon", 4e-3, 0.02),
    "bytes-4x64-256": ("bytes", 4, 4, 64, 256, 4, "muon", 4e-3, 0.02),
    "bytes-4x96-128": ("bytes", 4, 4, 96, 128, 8, "muon", 4e-3, 0.02),
    "bytes-4x96-256-adamw": ("bytes", 4, 4, 96, 256, 4, "adamw", 4e-3, 0.02),
    "512-4x96": ("512", 4, 4, 96, 128, 8, "muon", 4e-3, 0.02),
    "512-4x96-4-rows": ("512", 4, 4, 96, 128, 4, "muon", 4e-3, 0.02),
    "repeats-512-4x96-4-rows": ("repeats-512", 4, 4, 96, 128, 4, "muon", 4e-3, 0.02),
    "512-4x96-adamw": ("512", 4, 4, 96, 128, 8, "adamw", 4e-3, 0.02),
    "512-4x96-256": ("512", 4, 4, 96, 256, 4, "muon", 4e-3, 0.02),
    "512-4x96-256-small-batch": ("512", 4, 4, 96, 256, 2, "muon", 4e-3, 0.02),
    "512-2x96-256": ("512", 2, 4, 96, 256, 4, "muon", 4e-3, 0.02),
    "512-2x96": ("512", 2, 4, 96, 128, 8, "muon", 4e-3, 0.02),
    "512-4x64": ("512", 4, 4, 64, 128, 8, "muon", 4e-3, 0.02),
    "1024-4x96": ("1024", 4, 4, 96, 128, 8, "muon", 4e-3, 0.02),
    "1024-4x96-256": ("1024", 4, 4, 96, 256, 4, "muon", 4e-3, 0.02),
    "2048-4x96": ("2048", 4, 4, 96, 128, 8, "muon", 4e-3, 0.02),
}  # fmt: skip


Optimiser = Literal["adamw", "muon"]


def recipe(name: str, seed: int, tokens: int = TOKENS, rate: float = 1.0) -> Recipe:
    """The training of a candidate."""
    vocabulary, layers, heads, width, positions, rows, optimiser, lr, muon_lr = SHAPES[name]
    optim = OptimRecipe(name=cast(Optimiser, optimiser), lr=lr * rate, muon_lr=muon_lr * rate, muon_weight_decay=0.1)
    return Recipe(
        ModelRecipe(n_layer=layers, n_head=heads, n_embd=width, n_positions=positions),
        DataRecipe(train=(f"data/search-{vocabulary}-train",), val=(f"data/search-{vocabulary}-val",)),
        replace(optim, schedule="wsd", warmup_steps=40, floor=0.0),
        TrainRecipe(tokens // (rows * positions), rows, seed=seed, compile=False, dtype="float32", eval_tokens=0),
    ).check()


def trained(name: str, seed: int, tokens: int = TOKENS, rate: float = 1.0) -> Iterator[dict[str, Any]]:
    """A record at each budget."""
    run = TrainingRun(recipe(name, seed, tokens, rate))
    whole = next(iter(run.task.val.values()))
    ids, targets = Part(whole, 0, len(whole)).all(run.device, 4 * TARGETS // run.context)

    steps = run.recipe.train.steps

    def last() -> bool:
        return run.steps_done == steps

    def measured() -> dict[str, Any]:
        losses = position_losses(run.model, ids, targets)
        rows = TARGETS // (run.context - min(64, run.context // 2))
        use = context_use_of_rows(run.model, ids[:rows], targets[:rows])
        half = context_use_of_rows(run.model, ids[: rows // 2], targets[: rows // 2], 32) if last() else None
        return {
            "val_loss": sum(losses) / len(losses), "context_use": use.use, "low": use.low, "high": use.high,
            "context_use_32": half.use if half else None, "in_context_score": in_context_score(losses),
            "induction": induction_score(run.model),
        }  # fmt: skip

    starts = branch_points(run.recipe, SHARES)
    seconds = used = 0.0
    for number in range(run.recipe.train.steps):
        if number in starts:
            began = time.perf_counter()
            ((_, length),) = starts[number]
            record = branch(run, length, measured)
            size = sum(p.numel() for p in run.model.parameters())
            yield {
                "name": name, "seed": seed, "rate": rate, "parameters": size, "seconds_of_trunk": seconds,
                "processor_seconds": used, "seconds_of_branch": time.perf_counter() - began, **record,
            }  # fmt: skip
            if length == run.recipe.train.steps:
                return
        began, before = time.perf_counter(), time.process_time()
        run.step(number)
        run.steps_done = number + 1
        seconds, used = seconds + time.perf_counter() - began, used + time.process_time() - before


def table(file: Path) -> str:
    """The records as a Markdown table, in their order."""
    columns = "model | seed | rate | tokens | seconds | validation loss | context use (interval) | with 32 | in-context"
    lines = [f"| {columns} | induction |", "| --- |" + " ---: |" * 9]
    for r in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        far = "" if r["context_use_32"] is None else f"{r['context_use_32']:.3f}"
        used = f"{r['context_use']:.3f} ({r['low']:.3f} to {r['high']:.3f})"
        lines.append(
            f"| {r['name']} | {r['seed']} | {r['rate']:g} | {r['tokens']:,} | {r['seconds_of_trunk']:.0f} | "
            f"{r['val_loss']:.3f} | {used} | {far} | {r['in_context_score']:.3f} | {r['induction']:.3f} |"
        )
    return "\n".join(lines).replace("-0.", "−0.")


def main(file: Path, words: list[str]) -> None:
    """Train what is named: NAME, NAME@SEED, NAME@SEED@RATE or NAME@SEED@RATE@TOKENS; or print the table."""
    if words == ["--table"]:
        print(table(file))
        return
    for word in words or list(SHAPES):
        name, seed, rate, tokens = [*word.split("@"), *("", "", "")][:4]
        for record in trained(name, int(seed or SEED), int(tokens or TOKENS), float(rate or 1)):
            with open(file, "a", encoding="utf-8") as out:
                out.write(json.dumps(record) + "\n")
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2:])
