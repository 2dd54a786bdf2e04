"""A checkpoint of a run: everything that the next step depends on, written whole or not at all, and read back.

In: the model, its optimisers, the `Facts`. Out: RUN/checkpoints/step-000123 with

    model/                 what the task makes of the model, a model to load: Hugging Face's format
    training.json          the facts: step, recipe, data, number of processes; and the SHA-256 of each file
    training.safetensors   weights and the optimisers' state; nothing is pickled

One process, DDP and FSDP2 share one path and one format: the main process writes whole tensors, gathered where they
are sharded, and every process takes its part of them when it reads, so that a run may go on with another number of
processes. PyTorch's own `get_optimizer_state_dict` is not used: before the first step it takes a step itself, and when
it loads, the old learning rates come back, even where the recipe was changed. The price is that the main process
needs memory for the weights and the state whole.

Data, schedule and random numbers need no saving: the loop makes each a function of the step (and dropout one of the
process too). Every process calls every function here. Read next: loop.py.
"""

import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from gpt2.base.disk import refusal, sync
from gpt2.base.errors import DiskFailure
from gpt2.base.ours import replace
from gpt2.checkpoint.saving import write_tensors
from gpt2.checkpoint.weights import read_tensors
from gpt2.model import GPT2
from gpt2.training.machine.distributed import World, whole, whole_model
from gpt2.training.run.directory import STEP_OF_RUN, checkpoint_path, checkpoints, prune
from gpt2.training.run.intact import TENSORS, seal
from gpt2.training.run.resume import FACTS, Facts


def save_checkpoint(
    run: Path,
    facts: Facts,
    model: GPT2,
    optimizers: Sequence[torch.optim.Optimizer],
    write: Callable[[GPT2, Path], object],
    world: World | None = None,
    keep_last: int = 2,
) -> Path:
    """Write the checkpoint after `facts.step` steps, then delete older ones but the last `keep_last` and the best.

    model   the module whose own parameters the optimisers hold, not a wrapper of it
    write   writes model/, as `Task.write` does

    Raises OSError in every process, with the last good checkpoint in its sentence, when the disk refuses: what was
    there stays, and nothing half-written is left.
    """
    world = world or World()
    tensors = {}
    for name, tensor in _tensors(model, optimizers):
        full = whole(tensor.detach())  # all processes gather, the main one keeps
        if world.is_main:
            tensors[name] = full.cpu().contiguous()
    full_model = whole_model(model)
    failure: list[DiskFailure | None] = [None]
    if world.is_main:
        try:
            _write(run, facts, tensors, lambda directory: write(full_model, directory))
            prune(run, keep_last)
        except OSError as error:
            failure = [_refusal(run, facts.step, error)]
    if world.size > 1:
        dist.broadcast_object_list(failure, src=0)
    if failure[0] is not None:
        raise failure[0]
    return checkpoint_path(run, facts.step)


def restore(checkpoint: Path, model: GPT2, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Put a checkpoint's weights and optimiser state into a model that is built and placed.

    Learning rates, decays and whatever else the groups of the optimisers hold stay as the recipe made them. Raises
    ValueError naming the file or tensor that is missing, damaged or of another size.
    """
    path = checkpoint / TENSORS
    tensors = read_tensors([path]) if path.is_file() else {}
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for p, name in names.items():
            stored = tensors.get(f"weights/{name}")
            if stored is None or stored.shape != p.shape:
                raise ValueError(f"{path} has no {name} of shape {list(p.shape)}: it is damaged, or of another model.")
            p.copy_(_part(stored, p))
    for optimizer in optimizers:
        state = {}
        for index, p in enumerate(p for group in optimizer.param_groups for p in group["params"]):
            prefix = f"{type(optimizer).__name__}/{names[p]}/"
            found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if found:
                state[index] = {key: _part(value, p) if value.dim() else value.clone() for key, value in found.items()}
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _tensors(model: GPT2, optimizers: Sequence[torch.optim.Optimizer]) -> list[tuple[str, Tensor]]:
    """What is trained and what the optimisers know of it, by name, in the same order in every process."""
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    found: list[tuple[str, Tensor]] = [(f"weights/{name}", p) for p, name in names.items()]
    for optimizer in optimizers:
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            state = optimizer.state.get(p, {})
            found += [(f"{type(optimizer).__name__}/{names[p]}/{key}", state[key]) for key in sorted(state)]
    return found


def _part(full: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as `like` holds its own: on its device, and this process's shard of it where it is sharded.

    In memory of torch's own: a view of the file is aligned otherwise, and sums may depend on that.
    """
    full = full.to(like.device, copy=True)
    if isinstance(like, DTensor):
        return distribute_tensor(full, like.device_mesh, like.placements, src_data_rank=None)
    return full


def _write(run: Path, facts: Facts, tensors: dict[str, Tensor], write_model: Callable[[Path], object]) -> None:
    """Everything under a temporary name, on the disk, then the rename."""
    target = checkpoint_path(run, facts.step)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    temporary.mkdir(parents=True)
    try:
        write_model(temporary / "model")
        write_tensors(tensors, temporary / TENSORS)
        (temporary / FACTS).write_text(seal(facts, temporary).to_json(), encoding="utf-8")
        (temporary / TENSORS).chmod((temporary / FACTS).stat().st_mode)  # safetensors makes it private to its owner
        for path in (*temporary.rglob("*"), temporary):
            sync(path)
        replace(temporary, target, STEP_OF_RUN)  # the same step may be there, of a run that was resumed before it
        sync(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _refusal(run: Path, step: int, error: OSError) -> DiskFailure:
    disk = refusal(error)
    reason, mend = (disk.why, disk.mend) if disk else ((error.strerror or str(error)).lower(), "make room")
    mend = mend.capitalize()
    kept = checkpoints(run)
    what = f"the checkpoint after step {step} could not be written ({reason})"
    if kept:
        what = f"{what}; the last good one is {kept[max(kept)]}."
        return DiskFailure(what, f"{mend}, then go on with {{again}}", again={"resume": run})
    what = f"{what}; there is none before it."
    return DiskFailure(what, f"{mend}, then start again with {{overwrite}}.", overwrite=True)
