"""`--device` where something is trained: one function chooses for every command, and refuses before any work."""

from pathlib import Path

import pytest
import torch

from gpt2.base.device import pick_device
from gpt2.base.errors import UsageError
from gpt2.cli.main import main
from gpt2.training.machine import distributed
from gpt2.training.machine.device import has_fast_bf16
from gpt2.training.machine.distributed import World, join_world

RECIPE = str(Path(__file__).parents[3] / "recipes" / "storyteller.toml")


@pytest.fixture
def machine(monkeypatch):
    """Pretend that the machine has so many GPUs, and perhaps Apple's."""

    def has(gpus: int, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    has(0)
    return has


@pytest.mark.parametrize(
    ("gpus", "mps", "name", "rank", "processes", "device"),
    [
        (0, False, "auto", 0, 1, "cpu"), (2, False, "auto", 0, 1, "cuda:0"), (2, False, "auto", 1, 2, "cuda:1"),
        (0, True, "auto", 0, 1, "cpu"), (0, True, "mps", 0, 1, "mps"), (2, False, "cpu", 1, 2, "cpu"),
        (2, False, "cuda", 1, 2, "cuda:1"), (3, False, "cuda:2", 0, 1, "cuda:2"),
    ],
)  # fmt: skip
def test_what_a_name_means(gpus, mps, name, rank, processes, device, machine):
    machine(gpus, mps)
    assert str(pick_device(name, rank, processes)) == device
    assert str(World(rank, processes, rank, name).device) == device


@pytest.mark.parametrize(
    ("gpus", "name", "rank", "processes", "sentence"),
    [
        (1, "gpu", 0, 1, "choose cpu, cuda, cuda:N, mps or auto"),
        (1, "mps", 0, 1, "PyTorch finds no Apple GPU here"),
        (0, "cuda", 0, 1, "PyTorch finds no GPU here"),
        (2, "cuda:2", 0, 1, "the last one is cuda:1"),
        (2, "cuda:1", 1, 2, "2 processes cannot share one GPU"),
        (0, "mps", 1, 2, "2 processes cannot share one GPU"),
        (2, "cuda", 2, 3, "this is process 2 of this machine, counted from 0, and the last GPU is cuda:1"),
        (2, "auto", 2, 3, "start as many processes as there are GPUs"),
    ],
)
def test_what_is_refused(gpus, name, rank, processes, sentence, machine):
    machine(gpus)
    with pytest.raises(UsageError, match=sentence) as refusal:
        pick_device(name, rank, processes)
    assert str(refusal.value).startswith(f"device is {name!r}: ")


@pytest.mark.parametrize("command", ["train", "finetune"])
@pytest.mark.parametrize("name", ["gpu", "cuda:7", "mps"])
def test_both_commands_refuse_before_any_work(command, name, machine, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poems.txt").write_text("a poem " * 100)
    assert main([command, RECIPE if command == "train" else "poems.txt", "--device", name]) == 2
    assert capsys.readouterr().err.startswith(f"gpt2: --device is {name!r}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["poems.txt"]


def test_processes_of_torchrun_take_the_device_named(machine, monkeypatch):
    """On a machine with GPUs `--device cpu` connects the processes by gloo alone."""
    machine(2)
    backends = []
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed.dist, "is_initialized", lambda: False)
    monkeypatch.setattr(distributed.dist, "init_process_group", backends.append)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: backends.append(str(device)))
    assert str(join_world("cpu").device) == "cpu"
    assert str(join_world("cuda").device) == "cuda:1"
    assert backends == ["gloo", "cuda:1", "cpu:gloo,cuda:nccl"]
    with pytest.raises(UsageError, match="cannot share one GPU"):
        join_world("cuda:0")


def test_formats_of_apples_gpu():
    assert not has_fast_bf16(torch.device("mps"))
