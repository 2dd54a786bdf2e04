"""A run that is damaged: each damage is named, and the command that the sentence offers goes on."""

import errno
import json
import os
import re
import shlex
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.damage import KINDS
from gpt2.base import notes
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load_model
from gpt2.cli.main import main
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, ModelRecipe, Recipe, TrainRecipe
from gpt2.training.recipe_file import build_table
from gpt2.training.run.directory import check_run, checkpoints, hold, prune
from gpt2.training.run.going_on import newest_good
from gpt2.training.run.metrics import MetricsLog, read_metrics, wrong_lines
from gpt2.training.run.runner import train
from tests.prepared import prepared

SIZES = ModelRecipe(n_layer=1, n_head=2, n_embd=8, n_positions=8)
LOOP = TrainRecipe(steps=6, batch_size=2, compile=False, eval_every=2, eval_tokens=16, keep_last=3)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after 4 of 6 steps, with checkpoints after 2 and 4."""
    folder = tmp_path_factory.mktemp("damage")
    data = prepared(folder, "The cat sat on the mat. " * 20)
    run = TrainingRun(Recipe(SIZES, DataRecipe((data,), val=(data,)), train=LOOP))
    train(run, folder / "run", stop=lambda: run.steps_done == 4)
    return folder / "run"


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def edited(path: Path, **fields: Any) -> None:
    """Other fields in a training.json; without hashes, as the first edition wrote it."""
    stored = json.loads(path.read_text())
    for name in ("sha256", "hashes", "settings", "log"):
        del stored[name]
    path.write_text(json.dumps(stored | fields))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def nan(path: Path) -> None:
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] = torch.nan
    save_file(tensors, path)
    edited(path.parent / "training.json")


DAMAGES = [
    ("training.safetensors", flip, "training.safetensors is not what was written, since its SHA-256 differs"),
    ("model/config.json", flip, "model/config.json is not what was written"),
    ("model/model.safetensors", Path.unlink, "model/model.safetensors is missing"),
    ("training.safetensors", lambda path: path.write_bytes(path.read_bytes()[:99]), "training.safetensors is not what"),
    ("training.safetensors", nan, "holds values that are not finite"),
    ("training.json", lambda path: path.write_text("[" * 100_000), "training.json cannot be read"),
    ("training.json", lambda path: edited(path, step=-5), "training.json has step -5, which cannot be"),
    ("training.json", lambda path: edited(path, step="4"), "training.json has step '4', which cannot be"),
    ("training.json", lambda path: edited(path, carried={"guard": 3}), "has carried {"),
    ("training.json", lambda path: edited(path, more=1), "has a field 'more'"),
]


@pytest.mark.parametrize("name, damage, said", DAMAGES)
def test_the_newest_good_checkpoint_is_offered(
    run: Path, capsys: pytest.CaptureFixture[str], name: str, damage: Any, said: str
) -> None:
    damage(run / "checkpoints" / "step-000004" / name)
    assert main(["train", "--resume", str(run)]) == 1
    error = capsys.readouterr().err
    good = run / "checkpoints" / "step-000002"
    assert said in error
    assert error.endswith(f"go on with gpt2 train --resume {good}\n")
    assert newest_good(run) == good


def test_the_command_goes_on_and_the_damaged_one_is_set_aside(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(run / "checkpoints" / "step-000004" / "training.safetensors")
    main(["train", "--resume", str(run)])
    words = shlex.split(capsys.readouterr().err.partition("go on with gpt2 ")[2])
    assert main(words) == 0
    assert "step-000004 is set aside" in capsys.readouterr().out
    assert sorted(checkpoints(run)) == [2, 4, 6]
    assert (run / "checkpoints" / "step-000004.aside" / "training.safetensors").is_file()
    assert [e["step"] for e in read_metrics(run / "metrics.jsonl") if "loss" in e] == [*range(6)]
    check_run(run, overwrite=True)  # what was set aside is a run's


def test_without_a_good_one_the_run_starts_again_and_only_then(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--resume", str(run), "--overwrite"]
    assert main(words) == 2
    assert "need not start again, since" in capsys.readouterr().err
    for path in checkpoints(run).values():
        (path / "training.json").unlink()
    prune(run, keep_last=3)
    assert main(words[:-1]) == 1
    assert capsys.readouterr().err.endswith(f"start again with gpt2 train --resume {run} --overwrite\n")
    assert main(words) == 0


@pytest.mark.parametrize("damage, said", [
    (lambda lines: lines[:1] + lines[2:], "it has no line of step 1"),
    (lambda lines: [lines[0], b"garbage\n", *lines[2:]], "line 2 cannot be read"),
    (lambda lines: [re.sub(rb'"loss": \d', b'"loss": 9', lines[0]), *lines[1:]], "its lines are not those"),
])  # fmt: skip
def test_a_damaged_log_is_said(run: Path, capsys: pytest.CaptureFixture[str], damage: Any, said: str) -> None:
    log = run / "metrics.jsonl"
    log.write_bytes(b"".join(damage(log.read_bytes().splitlines(keepends=True))))
    assert main(["train", "--resume", str(run)]) == 1
    error = capsys.readouterr().err
    assert f"{log} is damaged: {said}" in error
    before = log.read_bytes()
    assert main(shlex.split(error.partition("with gpt2 ")[2])) == 0
    assert (run / "metrics.jsonl.aside").read_bytes() == before
    assert b"garbage" not in log.read_bytes()


def test_checkpoints_of_the_first_edition_are_read(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in checkpoints(run).values():
        edited(path / "training.json")
    assert main(["train", "--resume", str(run)]) == 0
    assert "without hashes" in capsys.readouterr().out


def test_a_log_without_a_hash(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        for step in (0, 1, 3):
            log.write({"step": step, "loss": 1.0})
        seal = log.seal()
    assert wrong_lines(tmp_path / "metrics.jsonl", 2) == ""
    assert wrong_lines(tmp_path / "metrics.jsonl", 4) == "it has no line of step 2"
    assert wrong_lines(tmp_path / "metrics.jsonl", 4, seal) == ""  # as it was written


def test_a_full_disk_while_a_metric_is_written(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second failure, on closing, once hid the sentence."""

    def full(*words: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run / "metrics.jsonl"))

    monkeypatch.setattr(MetricsLog, "write", full)
    monkeypatch.setattr(MetricsLog, "close", full)
    assert main(["train", "--resume", str(run)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"gpt2: {run / 'metrics.jsonl'}: no space left on device, at step ")
    assert error.endswith(f"make room, then go on with gpt2 train --resume {run}\n")


def test_half_of_a_file_is_no_run(tmp_path: Path) -> None:
    """A process that was killed while it wrote its first file."""
    half = tmp_path / "new" / ".finetune.json.098a6e43.partial"
    half.parent.mkdir()
    half.write_text('{"files"')
    assert check_run(half.parent, overwrite=False) == half.parent
    half.with_name("mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"mine\.txt, which is not part of a run"):
        check_run(half.parent, overwrite=True)


def test_what_was_half_written_goes_with_the_next_start(run: Path) -> None:
    """The library safetensors writes under a name of its own: what had it inside once stayed for ever."""
    step = run / "checkpoints" / ".step-000006.a2ca914c.partial"
    model = step / ".model.3d974334.partial"
    model.mkdir(parents=True)
    for path in (
        step / ".tmpuXIigP",
        model / ".tmpzbf0QY",
        model / "config.json",
        run / ".recipe.json.0a1b2c3d.partial",
    ):
        path.write_text("{")
    with hold(run):
        assert [path.name for path in run.rglob(".*")] == [".lock"]


@pytest.mark.parametrize("callback", ["report", "stop"])
def test_the_disk_of_a_callers_function_is_not_that_of_the_run(run: Path, callback: str) -> None:
    own = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "notes.txt")

    def full(*events: Any) -> bool:
        raise own

    training = TrainingRun(build_table(json.loads((run / "recipe.json").read_text()), "recipe.json"))
    with pytest.raises(OSError) as raised:
        train(training, run.with_name("other"), **{callback: full})
    assert raised.value is own


def test_a_directory_that_is_moved_is_noticed(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TrainingRun.step

    def moving(training: TrainingRun, number: int) -> dict[str, float]:
        os.rename(run, run.with_name("elsewhere"))
        return step(training, number)

    monkeypatch.setattr(TrainingRun, "step", moving)
    assert main(["train", "--resume", str(run)]) == 1
    assert "was moved or replaced while it was trained in, so training ended at step 5" in capsys.readouterr().err
    assert not run.exists()


def test_the_benchmark_damages_what_is_there(run: Path) -> None:
    import random

    for number, kind in enumerate(KINDS):
        copy = Path(shutil.copytree(run, run.with_name(f"copy-{number}")))
        assert kind(copy, random.Random(number))


def test_a_changed_weight_is_said_where_the_model_of_a_checkpoint_is_loaded(run: Path) -> None:
    """It generated without a word, though training.json beside it holds its hash."""
    model = [*checkpoints(run).values()][-1] / "model"
    notes.forget()
    with warnings.catch_warnings(record=True) as told:
        load_model(model)
        assert [str(one.message) for one in told] == []
    flip(model / "model.safetensors")
    with pytest.warns(notes.Note, match=r"model\.safetensors is not what the run wrote, since its SHA-256"):
        load_model(model)
