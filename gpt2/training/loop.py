"""The training loop: a task in, a run directory out.

In: a checked `Recipe` and the `Task` that it describes. Out: RUN/model (a checkpoint in Hugging Face's format),
RUN/recipe.json, RUN/metrics.jsonl. Read next: task.py (what is learned), distributed.py (by how many processes).
"""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gpt2.cache import KVCache
from gpt2.loss import IGNORED
from gpt2.model import GPT2
from gpt2.training.device import be_deterministic, can_compile, has_fast_bf16, pick_dtype
from gpt2.training.distributed import World, spread, whole, whole_model, without_sync
from gpt2.training.documents import DocumentMask
from gpt2.training.guards import Guard
from gpt2.training.optimizer import build_optimizers
from gpt2.training.recipe import Recipe
from gpt2.training.schedule import factor
from gpt2.training.task import Task, pretraining

Report = Callable[[dict[str, Any]], None]


class TrainingRun:
    """One run of a recipe: the model and its optimisers, the step that moves them on, and the evaluation.

    Where the model, the batches and the validation sets come from is the task's matter (default: `pretraining`). The
    parameters that train are those of the task's model that require a gradient.
    """

    def __init__(self, recipe: Recipe, task: Task | None = None, world: World | None = None) -> None:
        self.recipe, self.world = recipe, world or World()
        train = recipe.train
        self.device = self.world.device
        self.dtype = pick_dtype(train.dtype, self.device)
        self.rows = self.world.rows(train.batch_size)
        be_deterministic(train.deterministic)
        self.task = task or pretraining(recipe)
        self.model = self.task.model.to(self.device)
        if train.activation_checkpointing:
            recompute_blocks(self.model)
        self.mode = "compiled" if train.compile else "eager"
        if train.compile and not can_compile(self.device):
            self.mode = "eager: torch.compile needs a C++ compiler, such as g++"
        self.forward = spread(self.model, train.parallel, self.world, self.mode == "compiled")
        self.optimizers = build_optimizers(self.model, recipe.optim, has_fast_bf16(self.device))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.guard = Guard(self.model.config.vocab_size, train.skip_outliers, self.scaler.is_enabled())

    @property
    def context(self) -> int:
        """Tokens a row."""
        return self.recipe.train.context or self.model.config.n_positions

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which matrix products run in the run's dtype."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def loss(self, forward: Callable[..., Tensor], ids: Tensor, targets: Tensor) -> Tensor:
        """The summed loss of these rows, [rows, T] each."""
        ids, targets = ids.to(self.device), targets.to(self.device)
        cache = None
        if self.recipe.data.document_mask:
            cache = cast(KVCache, DocumentMask(ids, self.task.tokenizer.eot_id))
        with self.autocast():
            return forward(ids, targets, reduction="sum", cache=cache)

    def step(self, number: int) -> dict[str, float]:
        """One optimiser step on batch `number` (from 0): the mean loss over its tokens, all micro-batches and
        processes together, the gradient norm before clipping, the rate, and how many steps were skipped so far.

        A pure function of the weights, the optimisers' state and `number`: dropout too is drawn afresh in each step.
        Raises `Diverged` before the weights move.
        """
        train, optim = self.recipe.train, self.recipe.optim
        self.model.train()
        rate = factor(optim, number, train.steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
        torch.manual_seed(_seed(train.seed, number, self.world.rank))
        ids, targets = self.task.batches.batch(number, self.rows)
        (counted,) = self.world.sum(int((targets != IGNORED).sum()))
        share = self.world.size / max(1, counted)  # of a token: gradients are averaged over the processes afterwards
        total = torch.zeros((), device=self.device)
        size = min(train.micro_batch_size or len(ids), len(ids))
        for first in range(0, len(ids), size):
            with without_sync(self.forward, last=first + size >= len(ids)):
                part = self.loss(self.forward, ids[first : first + size], targets[first : first + size])
                self.scaler.scale(part * share).backward()
            total += part.detach()
        loss = self.world.sum(total.item())[0] / max(1, counted)
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = whole(torch.nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip or math.inf)).item()
        taken = self.guard.takes(number, loss, norm)
        for optimizer in self.optimizers:
            if taken:
                optimizer.step()
            optimizer.zero_grad()
        self.scaler.update()
        return {"loss": loss, "grad_norm": norm, "lr": optim.lr * rate, "skipped": self.guard.skipped}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean loss on each validation set, its rows dealt out to the processes; draws no random number."""
        self.model.eval()
        losses = {}
        share = self.recipe.train.micro_batch_size or self.rows.stop - self.rows.start
        for name, rows in self.task.val.items():
            total = counted = 0.0
            for first in range(self.world.rank * share, -(-len(rows) // share) * share, share * self.world.size):
                ids, targets = rows.rows(first, min(first + share, len(rows)))
                total += self.loss(self.model, ids, targets).item()
                counted += int((targets != IGNORED).sum())
            total, counted = self.world.sum(total, counted)
            losses[name] = total / max(1, counted)
        return losses

    def run(self, out: Path, report: Report = lambda event: None) -> Path:
        """Train to the end; returns the checkpoint's directory, which is replaced after every evaluation."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "recipe.json").write_text(json.dumps(dataclasses.asdict(self.recipe), indent=2) + "\n")
        steps, tokens = self.recipe.train.steps, self.recipe.train.batch_size * self.context
        started = time.monotonic()
        with open(out / "metrics.jsonl", "w", encoding="utf-8") as log:
            for number in range(steps):
                began = time.monotonic()
                event: dict[str, Any] = {"step": number, "tokens": (number + 1) * tokens, **self.step(number)}
                event["tokens_per_s"] = tokens / (time.monotonic() - began)
                last = number + 1 == steps
                if last or (number + 1) % self.recipe.train.eval_every == 0:
                    self.task.write(whole_model(self.model), out / "model")
                    event["val"] = self.evaluate()
                event["elapsed_s"] = time.monotonic() - started
                log.write(json.dumps(event) + "\n")
                log.flush()
                report(event)
        return out / "model"


def recompute_blocks(model: GPT2) -> None:
    """Have each block keep its input alone and compute its inside again for the gradient, the same dropout included.

    Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 4. Names and parameters stay.
    """
    for block in model.transformer.h:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]


def _seed(*numbers: int) -> int:
    """A seed for torch that depends on all of these numbers."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1
