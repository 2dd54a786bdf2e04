"""The training loop: batches in, a checkpoint directory and a log of losses out.

In: a checked `Recipe`. Out: RUN/model (a checkpoint in Hugging Face's format), RUN/recipe.json, RUN/metrics.jsonl.
"""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpt2.checkpoint import Checkpoint, load, save
from gpt2.data.batches import Mix
from gpt2.data.shards import TokenShards
from gpt2.model import GPT2
from gpt2.training.device import can_compile, has_fast_bf16, pick_device, pick_dtype
from gpt2.training.optimizer import build_optimizers
from gpt2.training.recipe import Recipe
from gpt2.training.schedule import SCHEDULES

Report = Callable[[dict[str, Any]], None]


class TrainingRun:
    """One run of a recipe: data, model and optimisers, and the step that moves them on.

    Raises ValueError for data sets that do not share a tokenizer, do not fill a window, or a vocabulary of another
    size, and when the loss or the gradient is no longer finite.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        train = recipe.train
        self.device = pick_device()
        self.dtype = pick_dtype(train.dtype, self.device)
        torch.use_deterministic_algorithms(train.deterministic)
        torch.manual_seed(train.seed)

        self.context = train.context or recipe.model.n_positions
        sets = [TokenShards(path) for path in recipe.data.train]
        self.val = {path: TokenShards(path) for path in recipe.data.val}
        self.tokenizer = sets[0].tokenizer()
        for path, shards in [*zip(recipe.data.train, sets, strict=True), *self.val.items()]:
            shards.verify()
            if shards.manifest["tokenizer_hash"] != self.tokenizer.hash:
                raise ValueError(
                    f"{path} was prepared with another tokenizer than {recipe.data.train[0]}: prepare it again."
                )
        for path, shards in self.val.items():
            if len(shards) <= self.context:
                raise ValueError(f"{path} has {len(shards)} tokens, less than one window of {self.context}: add text.")
        self.mix = Mix(sets, recipe.data.repeat or (1.0,) * len(sets), self.context, train.batch_size, train.seed)

        self.model = GPT2(recipe.model.config(self.tokenizer.vocab_size), seed=train.seed)
        if train.init is not None:
            self._start_from(load(train.init))
        self.model.to(self.device)
        self.optimizers = build_optimizers(self.model, recipe.optim, has_fast_bf16(self.device))
        self.mode = "compiled" if train.compile else "eager"
        if train.compile and not can_compile(self.device):
            self.mode = "eager: torch.compile needs a C++ compiler, such as g++"
        self.compiled: Callable[..., Tensor] = torch.compile(self.model) if self.mode == "compiled" else self.model

    def _start_from(self, checkpoint: Checkpoint) -> None:
        """Take over a checkpoint's weights. ValueError when its tokenizer or a size is another."""
        if checkpoint.tokenizer.hash != self.tokenizer.hash:
            raise ValueError(
                f"train.init {checkpoint.name} has another tokenizer than the data: prepare them with its."
            )
        ours, theirs = self.model.config, checkpoint.model.config
        for name in ("n_layer", "n_head", "n_embd", "n_positions"):
            if getattr(ours, name) != getattr(theirs, name):
                raise ValueError(f"model.{name} is {getattr(ours, name)}, but {getattr(theirs, name)} in train.init.")
        self.model.load_state_dict(checkpoint.model.state_dict())

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which matrix products run in the run's dtype."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def step(self, number: int) -> dict[str, float]:
        """One optimiser step on batch `number`: the mean loss over its tokens, the gradient norm before clipping."""
        train, optim = self.recipe.train, self.recipe.optim
        self.model.train()
        factor = SCHEDULES[optim.schedule](number, train.steps, optim.warmup_steps, optim.floor)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
        ids, targets = self.mix.batch(number)
        counted = int((targets >= 0).sum())
        loss = 0.0
        rows = train.micro_batch_size or train.batch_size
        for first in range(0, train.batch_size, rows):
            x, y = (t[first : first + rows].to(self.device) for t in (ids, targets))
            with self.autocast():
                part = self.compiled(x, y, reduction="sum") / counted
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip or math.inf).item()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise ValueError(
                f"step {number}: the loss is {loss:.4g} and the gradient norm {norm:.4g}; lower optim.lr "
                f"(and optim.muon_lr), or lengthen optim.warmup_steps."
            )
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return {"loss": loss, "grad_norm": norm, "lr": optim.lr * factor}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean loss on the first `eval_tokens` of each validation set, in windows that do not overlap."""
        self.model.eval()
        losses = {}
        for path, shards in self.val.items():
            T = self.context
            windows = max(1, min(len(shards) - 1, self.recipe.train.eval_tokens) // T)
            total = 0.0
            rows = self.recipe.train.micro_batch_size or self.recipe.train.batch_size
            for first in range(0, windows, rows):
                cut = [shards[w * T : w * T + T + 1] for w in range(first, min(first + rows, windows))]
                tokens = torch.stack([torch.from_numpy(c.astype("int64")) for c in cut]).to(self.device)
                with self.autocast():
                    total += self.model(tokens[:, :-1], tokens[:, 1:], reduction="sum").item()
            losses[path] = total / (windows * T)
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
                    save(self.model, self.tokenizer, out / "model", overwrite=True)
                    event["val"] = self.evaluate()
                event["elapsed_s"] = time.monotonic() - started
                log.write(json.dumps(event) + "\n")
                log.flush()
                report(event)
        return out / "model"
