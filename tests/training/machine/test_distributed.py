"""Two processes that exchange gradients learn what one process learns from the same global batch."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load
from gpt2.training import loop
from gpt2.training.loop import TrainingRun
from gpt2.training.machine.distributed import World, join_world, leave_world
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.run.metrics import read_metrics
from gpt2.training.run.runner import resume, train
from tests.prepared import prepared

TEXT = "The cat sat on the mat. The dog sat on the log, and\n<|endoftext|>\n" * 60
STEPS = 10


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    data = prepared(tmp_path_factory.mktemp("data"), TEXT)
    return Recipe(
        model=ModelRecipe(n_layer=2, n_head=2, n_embd=32, n_positions=32),
        data=DataRecipe(train=(data,), val=(data,)),
        optim=OptimRecipe(lr=1e-2, warmup_steps=3),
        train=TrainRecipe(
            steps=STEPS, batch_size=6, compile=False, dtype="float32", eval_every=5, eval_tokens=420, keep_last=3
        ),
    )


@pytest.fixture(scope="module")
def alone(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, 10 steps; checkpoints after 5 and 10."""
    out = tmp_path_factory.mktemp("alone")
    train(TrainingRun(recipe), out)
    return out


def process(rank: int, port: int, jobs: list[tuple[Recipe, Path, bool]]) -> None:
    """One of two processes, as torchrun would start it: several runs one after another."""
    torch.set_num_threads(1)
    loop.has_fast_bf16 = lambda device: False  # as tests/conftest.py has it: bf16 would hide the last digits
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(port), TORCHELASTIC_USE_AGENT_STORE="True")
    world = join_world()
    for recipe, out, go_on in jobs:
        run = TrainingRun(recipe, world=world)
        notes = resume(run, out) if go_on else []
        train(run, out)
        (out / f"notes-{rank}.json").write_text(json.dumps(notes))
    leave_world()


def two_processes(jobs: list[tuple[Recipe, Path, bool]]) -> None:
    """The processes meet at a store that this one holds, as torchrun's agent does: no port is looked for in advance."""
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    mp.spawn(process, (store.port, jobs), nprocs=2)


def losses(out: Path) -> list[float]:
    return [event["loss"] for event in read_metrics(out / "metrics.jsonl") if "loss" in event]


def validation(out: Path) -> list[float]:
    return [loss for event in read_metrics(out / "metrics.jsonl") for loss in event.get("val", {}).values()]


def with_train(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, train=replace(recipe.train, **changes))


def test_two_processes_learn_what_one_learns(recipe: Recipe, alone: Path, tmp_path: Path) -> None:
    """DDP and FSDP2, AdamW and Muon, micro-batches, checkpointed activations, document masks; and resumed runs:
    what one process began two go on with, under FSDP2, and the other way round."""
    muon = replace(recipe, optim=replace(recipe.optim, name="muon"))
    masked = replace(with_train(recipe, micro_batch_size=2, activation_checkpointing=True),
                     data=replace(recipe.data, document_mask=True))  # fmt: skip
    cases = {
        "ddp": recipe,
        "ddp, 2 and 1 rows at once": with_train(recipe, micro_batch_size=2, steps=5),
        "fsdp": with_train(recipe, parallel="fsdp"),
        "fsdp muon": with_train(muon, parallel="fsdp", steps=5),
        "fsdp masked": with_train(masked, parallel="fsdp", steps=5),
        "ddp masked": with_train(masked, steps=5),
    }
    jobs = [(case, tmp_path / name, False) for name, case in cases.items()]
    half = tmp_path / "begun by one"
    train(TrainingRun(recipe), half, stop=StopAfter(5))
    two_processes([*jobs, (recipe, half, True)])

    reference = losses(alone)
    for name in ("ddp", "fsdp", "begun by one"):
        assert losses(tmp_path / name) == pytest.approx(reference, abs=1e-5), name
        assert validation(tmp_path / name) == pytest.approx(validation(alone), abs=1e-5), name
    few = {"ddp, 2 and 1 rows at once": recipe, "fsdp muon": muon, "fsdp masked": masked, "ddp masked": masked}
    for name, case in few.items():
        run = TrainingRun(with_train(case, steps=5))
        assert losses(tmp_path / name) == pytest.approx([run.step(i)["loss"] for i in range(5)], abs=1e-5), name

    ids = torch.arange(32)[None]
    expected = load(str(alone / "model")).model(ids)
    for name in ("ddp", "fsdp"):  # one file, under the model's own names
        torch.testing.assert_close(load(str(tmp_path / name / "model")).model(ids), expected, atol=1e-3, rtol=0)
    notes = json.loads((half / "notes-0.json").read_text())  # another: that the number of threads differs
    assert any(note.startswith("2 processes instead of 1") for note in notes)

    for name in ("ddp", "fsdp"):
        out = tmp_path / name
        before = losses(out)
        shutil.rmtree(out / "checkpoints" / "step-000010")
        run = TrainingRun(cases[name])
        assert any(note.startswith("1 process instead of 2") for note in resume(run, out))
        train(run, out)
        assert losses(out) == pytest.approx(before, abs=1e-5)


class StopAfter:
    """Asks a run to stop after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def test_rows_are_dealt_out_evenly() -> None:
    assert [World(rank, 3).rows(12) for rank in range(3)] == [slice(0, 4), slice(4, 8), slice(8, 12)]
    with pytest.raises(UsageError, match=r"train\.batch_size is 12, which cannot be dealt out evenly to 5 processes"):
        World(0, 5).rows(12)
