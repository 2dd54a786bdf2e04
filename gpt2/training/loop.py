"""One run's model and optimisers, and the step that moves them on.

In: a checked `Recipe` and the `Task` that it describes. Out: losses, and better weights. Read next: task.py (what is
learned), distributed.py (by how many processes), runner.py (what is written and when it ends).
"""

import hashlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gpt2.loss import IGNORED
from gpt2.model import GPT2
from gpt2.training.document_mask import document_positions
from gpt2.training.guards import TRY, Diverged, Guard
from gpt2.training.machine.compiler import can_compile, is_compilers, mend_cache, reason
from gpt2.training.machine.device import be_deterministic, has_fast_bf16, pick_dtype, suit_processor
from gpt2.training.machine.distributed import World, spread, whole, without_sync
from gpt2.training.machine.first_step import FirstStep
from gpt2.training.optimizer import build_optimizers
from gpt2.training.recipe import Recipe
from gpt2.training.run.interrupts import savers
from gpt2.training.run.start import Start
from gpt2.training.schedule import factor
from gpt2.training.task import Task, pretraining


class TrainingRun:
    """One run of a recipe: the model and its optimisers, the step that moves them on, and the evaluation.

    Where the model, the batches and the validation sets come from is the task's matter (default: `pretraining`). The
    parameters that train are those of the task's model that require a gradient.

    Attributes:
        steps_done: how many steps the weights have behind them, the number of the next one.
        seconds: time spent on steps and evaluations, over all resumptions.
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
        self.in_steps = suit_processor(self.device, self.dtype, self.context)
        if train.activation_checkpointing:
            recompute_blocks(self.model)
        self.mode = "compiled" if train.compile else "eager"
        if train.compile and not can_compile(self.device):
            why = "torch.compile needs a C++ compiler, such as g++"
            self.mode = f"eager: {why if self.device.type == 'cpu' else 'torch.compile is left out on this device'}"
        self.forward = spread(self.model, train.parallel, self.world, self.mode == "compiled")
        self.first_step = FirstStep(self.model, self.dtype, self.world.sum)
        self.optimizers = build_optimizers(self.model, recipe.optim, has_fast_bf16(self.device))
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.steps_done, self.seconds = 0, 0.0
        self.start: Start | None = None  # where it goes on, of a run that was resumed
        self.guard = Guard(self.model.config.vocab_size, train.skip_outliers, self.scaler.is_enabled())

    @property
    def context(self) -> int:
        """Tokens per row."""
        return self.recipe.train.context or self.model.config.n_positions

    @property
    def micro_batch_size(self) -> int:
        """Rows that this process computes at once."""
        own = self.rows.stop - self.rows.start
        return min(self.recipe.train.micro_batch_size or own, own)

    @property
    def memory_savers(self) -> dict[str, str]:
        """What to change when memory runs out, as `savers` gives it."""
        bf16 = self.dtype == torch.float32 and has_fast_bf16(self.device)
        size = self.micro_batch_size
        return savers(self.recipe.train, size, self.context, bf16=bf16, processes=self.world.size)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which matrix products run in the run's dtype."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def loss(self, forward: Callable[..., Tensor], ids: Tensor, targets: Tensor) -> Tensor:
        """The summed loss of these rows, [rows, T] each."""
        ids, targets = ids.to(self.device), targets.to(self.device)
        documents = {}
        if self.recipe.data.document_mask:
            documents = document_positions(ids, self.task.tokenizer.eot_id)
        with self.autocast():
            return forward(ids, targets, reduction="sum", in_steps=self.in_steps, **documents)

    def step(self, number: int) -> dict[str, float]:
        """One optimiser step on batch `number` (from 0): the mean loss over its tokens, all micro-batches and
        processes together, the gradient norm before clipping, the rate, and how many steps were skipped so far.

        A pure function of the weights, the optimisers' state and `number`: dropout too is drawn afresh in each step.
        Raises `Diverged` before the weights move.
        """
        optim = self.recipe.optim
        self.model.train()
        rate = factor(optim, number, self.recipe.train.steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
        try:
            loss = self._gradients(number)
        except RuntimeError as error:
            if self.mode != "compiled" or not is_compilers(error):
                raise
            self._recompile(error)
            return self.step(number)
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

    def _gradients(self, number: int) -> float:
        """Fill the gradients of batch `number`'s mean loss, and return that loss."""
        torch.manual_seed(_seed(self.recipe.train.seed, number, self.world.rank))
        ids, targets = self.task.batches.batch(number, self.rows)
        (counted,) = self.world.sum(int((targets != IGNORED).sum()))
        share = self.world.size / max(1, counted)  # of a token: gradients are averaged over the processes afterwards
        total = torch.zeros((), device=self.device)
        size = self.micro_batch_size
        if self.mode == "compiled" and not self.first_step.done:
            rows, aims = ids[:size], targets[:size]
            counted_here = int((aims != IGNORED).sum())
            self.first_step.prepare(lambda forward: self.loss(forward, rows, aims), self.forward, counted_here)
        for first in range(0, len(ids), size):
            with without_sync(self.forward, last=first + size >= len(ids)):
                part = self.loss(self.forward, ids[first : first + size], targets[first : first + size])
                if self.mode == "compiled" and not self.first_step.done:
                    self.first_step.compare(part.detach())
                self.scaler.scale(part * share).backward()
            total += part.detach()
        return self.world.sum(total.item())[0] / max(1, counted)

    def _recompile(self, error: RuntimeError) -> None:
        """After the compiler failed: compile again where its cache was damaged, or go on without it."""
        if self.world.size > 1:
            raise ValueError(f"torch.compile failed ({reason(error)}): set train.compile to false.") from None
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        torch.compiler.reset()
        if not mend_cache(error):
            self.forward, self.mode = self.model, f"eager: torch.compile failed ({reason(error)})"

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean loss on each validation set, its rows dealt out to the processes; draws no random number."""
        self.model.eval()
        losses = {}
        share, world = self.micro_batch_size, self.world
        for name, val in self.task.val.items():
            total = counted = 0.0
            for first in range(0, len(val), share * world.size):
                begin = min(first + world.rank * share, len(val) - 1)  # FSDP wants a pass of every process
                ids, targets = val.rows(begin, min(begin + share, len(val)))
                if first + world.rank * share >= len(val):
                    targets = torch.full_like(targets, IGNORED)
                total += self.loss(self.model, ids, targets).item()
                counted += int((targets != IGNORED).sum())
            total, counted = world.sum(total, counted)
            losses[name] = total / max(1, counted)
        return losses

    def check_weights(self) -> None:
        """Raise Diverged when a weight, or what an optimiser knows of it, is not finite: it must not be saved."""
        states = [state for optimizer in self.optimizers for state in optimizer.state.values()]
        known = [value for state in states for value in state.values() if torch.is_tensor(value)]
        broken = sum(not bool(torch.isfinite(p.detach()).all()) for p in (*self.model.parameters(), *known))
        if self.world.sum(broken)[0]:
            raise Diverged(f"step {self.steps_done - 1}: its update made weights infinite.", TRY)

    def carried(self) -> dict[str, Any]:
        """Plain numbers that a resumed run goes on with, beside weights and optimisers."""
        return {"seconds": self.seconds, "guard": self.guard.state_dict(), "scaler": self.scaler.state_dict()}

    def load_carried(self, carried: dict[str, Any]) -> None:
        """Go on with what `carried` gave."""
        self.seconds = carried["seconds"]
        self.guard.load_state_dict(carried["guard"])
        if carried["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(carried["scaler"])


def recompute_blocks(model: GPT2) -> None:
    """Have each block keep its input alone and compute its inside again for the gradient, the same dropout included.

    Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 4. Names and parameters stay.
    """
    for block in model.transformer.h:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]


def _seed(*numbers: int) -> int:
    """A seed for torch that depends on all of these numbers."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1
