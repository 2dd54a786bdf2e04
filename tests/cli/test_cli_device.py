"""`--device`: the same option wherever a command computes with a model; what it means, and what it refuses."""

import json

import pytest
import torch

from gpt2.checkpoint import files as checkpoint
from gpt2.cli.main import main

COMMANDS = [
    ("next", "The cat"),
    ("generate", "The cat", "--max-tokens", "3"),
    ("walk", "The cat"),
    ("eval",),  # the file follows
    ("explain", "The cat"),
    ("explain", "lens", "The cat"),
    ("explain", "points"),
]


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that the machine has so many GPUs."""

    def set_number(n):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)

    set_number(0)
    return set_number


@pytest.fixture
def asked(monkeypatch):
    """The devices that models were asked for; each model comes on the processor all the same."""
    devices, load = [], checkpoint.load

    def recording(name, dtype=None, device="cpu", build=None, **more):
        devices.append(str(device))
        return load(name, dtype, "cpu", build, **more)

    monkeypatch.setattr(checkpoint, "load", recording)
    return devices


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_that_opens_a_model_has_it(words, gpus, asked, capsys, tmp_path):
    """An unknown device is refused before weights are read, and the one named is the one asked for."""
    if words == ("eval",):
        (tmp_path / "text.txt").write_text("The cat sat.")
        words = ("eval", str(tmp_path / "text.txt"))
    assert main([*words, "--device", "gpu"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "gpt2: --device is 'gpu': choose cpu, cuda, cuda:N, mps or auto.\n")
    assert asked == []
    gpus(2)
    assert main([*words, "--device", "cuda:1"]) == 0
    assert asked == ["cuda:1"]


@pytest.mark.parametrize(
    "number, words, device",
    [(0, [], "cpu"), (1, [], "cpu"), (0, ["auto"], "cpu"), (1, ["auto"], "cuda:0"), (1, ["cpu"], "cpu"),
     (1, ["cuda"], "cuda:0"), (3, ["cuda:2"], "cuda:2")],
)  # fmt: skip
def test_what_it_means(number, words, device, gpus, asked, capsys):
    """Without the option the processor computes, so that a document's numbers are those of every machine."""
    gpus(number)
    assert main(["next", "The cat", "--json"] + ["--device", *words] * bool(words)) == 0
    assert asked == [device]
    assert json.loads(capsys.readouterr().out)["next"]


@pytest.mark.parametrize(
    "number, device, sentence",
    [
        (0, "cuda", "PyTorch finds no GPU here; choose cpu, or install PyTorch for your GPU."),
        (0, "cuda:1", "PyTorch finds no GPU here; choose cpu, or install PyTorch for your GPU."),
        (1, "cuda:1", "there is no such GPU here; the last one is cuda:0."),
        (4, "cuda:1000", "there is no such GPU here; the last one is cuda:3."),
    ],
)
def test_a_gpu_that_is_not_there(number, device, sentence, gpus, asked, capsys):
    gpus(number)
    assert main(["next", "The cat", "--device", device]) == 2
    assert capsys.readouterr().err == f"gpt2: --device is {device!r}: {sentence}\n"
    assert asked == []


@pytest.mark.parametrize("device", ["", "CUDA", "cuda:", "cuda:-1", "cuda:x", "meta", "0"])
def test_what_is_no_device(device, gpus, asked, capsys):
    gpus(1)
    assert main(["next", "The cat", f"--device={device}"]) == 2
    assert f"--device is {device!r}: choose cpu, cuda, cuda:N, mps or auto." in capsys.readouterr().err
    assert asked == []
