"""`gpt2 train` as it is typed: what it prints, how it goes on, what it refuses."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load
from gpt2.cli.main import main
from gpt2.cli.train import parse_duration
from gpt2.data.prepare import prepare
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.run.directory import checkpoints
from gpt2.training.run.metrics import read_metrics

TEXT = "The cat sat on the mat. The dog sat on the log. " * 40


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A recipe of six steps, and the current directory to run it in."""
    (tmp_path / "text.txt").write_text(TEXT)
    prepare([tmp_path / "text.txt"], tmp_path / "set", Tokenizer.bytes())
    (tmp_path / "tiny.toml").write_text(
        f"[model]\nn_layer=1\nn_head=2\nn_embd=16\nn_positions=16\ndropout=0.1\n"
        f'[data]\ntrain=["{tmp_path / "set"}"]\nval=["{tmp_path / "set"}"]\n'
        f"[train]\nsteps=6\nbatch_size=2\ncompile=false\neval_tokens=32\neval_every=3\nlog_every=2\n"
    )
    return str(tmp_path / "tiny.toml")


def test_a_run(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["train", recipe, "--out", str(out), "--optim.lr", "3e-3"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("step")] == ["0", "2", "4", "5"]
    assert printed.count("validation loss") == 2
    assert f"--model {out / 'model'}" in printed
    assert json.loads((out / "recipe.json").read_text())["optim"]["lr"] == 3e-3
    assert main(["train", recipe, "--out", str(out)]) == 2
    assert f"already holds a run: go on with it (--resume {out})" in capsys.readouterr().err
    assert main(["train", recipe, "--out", str(out), "--overwrite"]) == 0


def test_json_is_one_document_a_line(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["train", recipe, "--out", str(out), "--json"]) == 0
    *events, end = map(json.loads, capsys.readouterr().out.splitlines())
    assert [event["step"] for event in events if "loss" in event] == [0, 2, 4]
    assert [event["step"] for event in events if "val" in event] == [2, 5]
    assert {key: end[key] for key in ("steps", "done", "model")} == {
        "steps": 6, "done": True, "model": str(out / "model"),
    }  # fmt: skip


def test_a_run_in_two_parts_is_the_run_in_one(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(["train", recipe, "--out", str(one)]) == 0
    capsys.readouterr()
    assert main(["train", recipe, "--out", str(two), "--max-time", "0.000001s"]) == 0
    printed = capsys.readouterr().out
    assert "stopped after 1 of 6 steps" in printed
    assert f"go on: gpt2 train --resume {two}" in printed
    assert main(["train", "--resume", str(two)]) == 0
    assert "resumed after 1 of 6 steps" in capsys.readouterr().out
    a, b = (
        [(e["step"], e.get("loss"), e.get("val")) for e in read_metrics(out / "metrics.jsonl")] for out in (one, two)
    )
    assert a == b
    ours, theirs = (load(str(out / "model")).model.state_dict() for out in (one, two))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_changes_are_refused_by_name_unless_they_are_meant(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert main(["train", recipe, "--out", out]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", out, "--optim.lr", "1.0", "--train.steps", "8"]) == 2
    said = capsys.readouterr().err
    assert "optim.lr was 0.0006 and is now 1.0" in said
    assert "train.steps was 6 and is now 8" in said
    assert "--override" in said
    assert main(["train", recipe, "--resume", out, "--train.steps", "8", "--override"]) == 0
    printed = capsys.readouterr().out
    assert "note: train.steps was 6 and is now 8" in printed
    assert max(checkpoints(Path(out))) == 8
    assert main(["train", "--resume", out]) == 0
    assert "all 8 steps are done already; more: --override --train.steps 16" in capsys.readouterr().out


def test_samples_and_snapshots(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["--train.sample-every", "3", "--train.sample-prompt", "The cat\t", "--train.snapshots"]
    assert main(["train", recipe, "--out", str(out), *words]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("after 3 steps  The cat")]
    samples = [e["sample"] for e in read_metrics(out / "metrics.jsonl") if "sample" in e]
    assert len(samples) == 2
    assert all(sample.startswith("The cat\t") and len(sample) > 8 for sample in samples)
    kept = sorted((out / "snapshots").iterdir())
    assert [path.name for path in kept] == [f"step-{n:06d}" for n in (0, 1, 2, 4, 6)]
    weights = [load(str(path)).model.transformer.wte.weight for path in kept]
    assert all(not torch.equal(a, b) for a, b in pairwise(weights))
    assert torch.equal(weights[-1], load(str(out / "model")).model.transformer.wte.weight)


def test_the_compiler_is_said_before_and_after(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first step of minutes looked like one that hangs."""
    monkeypatch.setattr("gpt2.training.loop.spread", lambda model, *more: model)
    monkeypatch.setattr("gpt2.training.loop.can_compile", lambda device: True)
    words = ["train", recipe, "--out", str(tmp_path / "run"), "--train.compile", "--train.steps", "2"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("torch.compile compiles the model"))
    assert lines[place].endswith("--train.no-compile trains without it")
    assert lines[place + 1].startswith("step      0  loss")
    assert lines[place + 2].startswith("compiled: the first step took ")
    assert main([*words, "--overwrite", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["step"] for line in out.splitlines()[:-1]] == [0, 1]
    assert [line.split()[1] for line in err.splitlines()] == ["torch.compile", "compiled:"]
    assert "compiled" not in (tmp_path / "run" / "metrics.jsonl").read_text()
    assert main([*words[:4], "--overwrite"]) == 0
    assert "compiled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.toml"], "there is no recipe nowhere.toml: name a .toml file of yours, or one from recipes/ in the"),
        (["--out", "x"], "name the recipe first"),
        (["RECIPE", "--train.steps", "0"], "train.steps is 0"),
        (["RECIPE", "--max-time", "soon"], "--max-time is 'soon': write a time"),
        (["RECIPE", "--override"], "--override belongs to --resume"),
        (["RECIPE", "--out", "RECIPE"], "is a file: choose another directory"),
        (["--resume", "nowhere"], "nowhere is not a training run"),
    ],
)
def test_refusals(
    recipe: str, tmp_path: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [recipe if word == "RECIPE" else word for word in words]
    assert (
        main(["train", *words, *([] if "--out" in words or "--resume" in words else ["--out", str(tmp_path / "b")])])
        == 2
    )
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-3m", "1d", "1h30m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)
