"""Several processes as one run: who this process is, what they agree on, and the model spread over them.

In: the environment that torchrun sets. Out: a `World`, which is one process alone where there is no torchrun; the
wrapped model. Every process takes its rows of the same global batch, so that what is learned does not depend on
their number. Read next: loop.py.
"""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from gpt2.base.device import pick_device
from gpt2.base.errors import UsageError
from gpt2.checkpoint.weights import NoDraws
from gpt2.model import GPT2
from gpt2.training.machine.compiler import compile_in_place, compiled


@dataclass(frozen=True)
class World:
    """This process among the others: its number, how many there are, its number on this machine, and where it is to
    compute (as `pick_device` takes it).
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    wanted: str = "auto"

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return pick_device(self.wanted, self.local_rank, self.size)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """The rows of a global batch that are this process's. UsageError when they cannot be dealt out evenly."""
        if batch_size % self.size:
            raise UsageError(
                f"train.batch_size is {batch_size}, which cannot be dealt out evenly to {self.size} processes: "
                "choose a multiple of that number."
            )
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def sum(self, *values: float) -> tuple[float, ...]:
        """The sums of these numbers over all processes, the same in each of them."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return tuple(total.tolist())

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            self.sum(0.0)


def join_world(device: str = "auto") -> World:
    """The world that torchrun describes in the environment, connected; without torchrun this process alone.

    device  where each process computes, as `pick_device` takes it; UsageError when that cannot be

    gloo connects CPUs, nccl GPUs (gloo then carries the few numbers that stay on the CPU).
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        pick_device(device)
        return World(wanted=device)
    rank, size, local_rank = (int(os.environ.get(name, 0)) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    world = World(rank, size, local_rank, device)
    where = world.device
    if not dist.is_initialized():
        if where.type == "cuda":
            torch.cuda.set_device(where)
        dist.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo")
    return world


def leave_world() -> None:
    """Take leave of the other processes, where there are any.

    gloo's threads let go of their last tensors a moment after the work is reported done, and need the interpreter
    for it. One that ends in that moment is aborted (https://github.com/pytorch/pytorch/issues/190489), one that drops
    DDP's model in it waits for ever; so they are given time.
    """
    if dist.is_initialized():
        time.sleep(0.5)
        dist.destroy_process_group()


def spread(model: GPT2, kind: Literal["ddp", "fsdp"], world: World, compile: bool) -> Callable[..., Tensor]:
    """What the loop calls in place of `model`, whose own names and parameters stay what they are.

    ddp   every process holds the whole model, gradients are averaged (Li et al. 2020, "PyTorch Distributed")
    fsdp  every process holds a share of each tensor and gathers a block when its turn comes (Zhao et al. 2023,
          "PyTorch FSDP"). The token table and the head, one tensor, lie in the root's group together with all
          that is no block: split over two groups they would be untied.
    """
    if not dist.is_initialized():
        return compiled(model) if compile else model
    if kind == "fsdp":
        for block in model.transformer.h:
            if compile:
                compile_in_place(block)
            fully_shard(block)
        fully_shard(model)
        return model
    forward: Any = compiled(model) if compile else model
    device_ids = [world.device] if world.device.type == "cuda" else None
    return DistributedDataParallel(forward, device_ids=device_ids)


def without_sync(forward: Callable[..., Tensor], last: bool) -> AbstractContextManager[Any]:
    """The context of one micro-batch: DDP exchanges gradients in the last one only.

    FSDP exchanges them in each, since holding whole gradients in between would cost the memory that it saves.
    """
    return forward.no_sync() if isinstance(forward, DistributedDataParallel) and not last else nullcontext()


def whole(tensor: Tensor) -> Tensor:
    """The full tensor where FSDP has spread it over processes; all of them must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def share_of(full: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, which every process has, spread as `like` is: on its device, this process's share of it."""
    full = full.to(like.device)
    if not isinstance(like, DTensor):
        return full
    return distribute_tensor(full, like.device_mesh, like.placements, src_data_rank=None)


def whole_model(model: GPT2) -> GPT2:
    """The model itself; of one that FSDP has spread a plain copy on the CPU, in the main process (all must ask)."""
    if not isinstance(model, FSDPModule):
        return model
    state = {}
    for name, tensor in model.state_dict().items():
        full = whole(tensor.detach())
        if dist.get_rank() == 0:
            state[name] = full.cpu()
    with torch.device("meta"), NoDraws():
        copy = GPT2(model.config)
    copy.settings = getattr(model, "settings", None)
    if dist.get_rank() == 0:
        copy.load_state_dict(state, assign=True)
        copy.tie_weights()
    return copy
