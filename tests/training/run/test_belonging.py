"""What is in a run's directory and is not of this run, or is no file: it is named, and what is offered works."""

import codecs
import dataclasses
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpt2.base.errors import Advice, UsageError
from gpt2.base.sealed import sealed
from gpt2.cli.main import main
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, ModelRecipe, Recipe, TrainRecipe
from gpt2.training.run.beside import damaged_files
from gpt2.training.run.directory import check_run, checkpoints
from gpt2.training.run.environment import write_environment
from gpt2.training.run.going_on import find_start, first_recipe, run_of
from gpt2.training.run.metrics import METRICS, good_lines, wrong_lines
from gpt2.training.run.runner import train
from gpt2.training.run.start import Start, said
from tests.prepared import prepared

SIZES = ModelRecipe(n_layer=1, n_head=1, n_embd=4, n_positions=8)
LOOP = TrainRecipe(steps=6, batch_size=1, compile=False, eval_every=2, eval_tokens=8, keep_last=3)
Damage = Callable[[Path, Path], object]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of other seeds, each stopped after 4 of 6 steps."""
    folder = tmp_path_factory.mktemp("belonging")
    data = prepared(folder, "The cat sat on the mat. " * 20)
    for seed in (0, 7):
        run = TrainingRun(Recipe(SIZES, DataRecipe((data,), val=(data,)), train=replace(LOOP, seed=seed)))
        train(run, folder / f"run-{seed}", stop=lambda run=run: run.steps_done == 4)
    return folder / "run-0", folder / "run-7"


def step(run: Path, number: int = 4) -> Path:
    return run / "checkpoints" / f"step-{number:06d}"


def copied(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def instead(name: str, make: Callable[[Path], object]) -> Damage:
    """Something else in the place of a file of the run."""

    def damage(run: Path, other: Path) -> None:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        make(path)

    return damage


def stated(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Other facts in the last checkpoint, by one who knows how their hash is made."""

    def damage(run: Path, other: Path) -> None:
        facts = json.loads((step(run) / "training.json").read_text())
        change(facts)
        facts.pop("sha256")
        (step(run) / "training.json").write_text(json.dumps(sealed(facts)))

    return damage


def lines(change: Callable[[list[bytes]], list[bytes]]) -> Damage:
    def damage(run: Path, other: Path) -> None:
        (run / METRICS).write_bytes(b"".join(change((run / METRICS).read_bytes().splitlines(keepends=True))))

    return damage


def both(*damages: Damage) -> Damage:
    return lambda run, other: [damage(run, other) for damage in damages]


def flip(run: Path, other: Path) -> None:
    os.truncate(step(run) / "training.safetensors", 99)


def from_other(number: int) -> Damage:
    return lambda run, other: copied(step(other, number), step(run, number))


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


FIFO = getattr(os, "mkfifo", Path.mkdir)
KIND = "a named pipe" if hasattr(os, "mkfifo") else "a directory"
LOG = f"{METRICS} is damaged: "
DAMAGES: dict[str, tuple[Damage, str, int]] = {
    "of another run": (from_other(4), "step-000004 is of another run: metrics.jsonl has other losses", 2),
    "older of another run": (from_other(2), "step-000002 is of another run", 4),
    "older of another run, none good": (both(from_other(2), flip), "step-000004 is damaged: training.saf", 0),
    "of another run, with its log": (
        both(from_other(4), lambda run, other: shutil.copy(other / METRICS, run)), "step-000002 is of another run", 4),
    "another run's log": (lambda run, other: shutil.copy(other / METRICS, run), LOG + "its lines are not those", 4),
    "under another name": (
        lambda run, other: copied(step(run, 2), step(run, 50)),
        "step-000050 is damaged: it holds the state after 2 steps, not after those of its name", 4),
    "step": (stated(lambda facts: facts.update(step=-5)), "has step -5, which cannot be", 2),
    "step of another kind": (stated(lambda facts: facts.update(step="4")), "has step '4'", 2),
    "recipe": (stated(lambda facts: facts.update(recipe=[])), "has recipe []", 2),
    "carried": (stated(lambda facts: facts.update(carried=None)), "has carried None", 2),
    "no step": (stated(lambda facts: facts.pop("step")), "has no step", 2),
    "log": (stated(lambda facts: facts.update(log={"bytes": "x"})), "has log {'bytes': 'x'}", 2),
    "hashes": (stated(lambda facts: facts.update(hashes=[1])), "has hashes [1]", 2),
    "a hash less": (stated(lambda facts: facts["hashes"].pop("training.safetensors")), "has no hash of training", 2),
    **{
        f"hash of {name!r}": (stated(lambda facts, name=name: facts["hashes"].update({name: "0"})),
                              "which is no file of a checkpoint", 2)
        for name in ("/dev/zero", "a\0b", "../x", "model/../../x", "", "./training.safetensors")
    },
    "facts a pipe": (instead("checkpoints/step-000004/training.json", FIFO), f"training.json is {KIND}", 2),
    "facts a directory": (instead("checkpoints/step-000004/training.json", Path.mkdir), "is a directory", 2),
    "weights a pipe": (
        instead("checkpoints/step-000004/model/model.safetensors", FIFO), f"cannot be read (it is {KIND})", 2),
    "weights a device": (
        instead("checkpoints/step-000004/training.safetensors", zero), "device", 2),
    "a checkpoint a file": (instead("checkpoints/step-000004", Path.touch), "training.json cannot be read", 2),
    "log a directory": (instead(METRICS, Path.mkdir), LOG + "it is a directory", 4),
    "log a pipe": (instead(METRICS, FIFO), LOG + f"it is {KIND}", 4),
    "log a link": (instead(METRICS, lambda path: path.symlink_to("x")), LOG + "it is a link to nothing", 4),
    "recipe a directory": (instead("recipe.json", Path.mkdir), "recipe.json is a directory, where a file", 4),
    "model a file": (instead("model", Path.touch), "model is a file, where a directory of the run belongs", 4),
    "snapshots a file": (instead("snapshots", Path.touch), "snapshots is a file, where a directory", 4),
    "two checkpoints": (both(flip, lambda run, other: os.truncate(step(run, 2) / "training.safetensors", 9)),
                        "since its SHA-256 differs. So is step-000002. No checkpoint", 0),
    "a byte order mark": (lines(lambda all: [codecs.BOM_UTF8, *all]), LOG + "it begins with a byte order mark", 4),
    "lock a directory": (instead(".lock", Path.mkdir), ".lock is a directory, where a file of the run belongs", 4),
    "lock a pipe": (instead(".lock", FIFO), f".lock is {KIND}", 4),
    "a line twice": (lines(lambda all: all[:2] + all[1:]), LOG + "line 3 repeats step 1 of line 2", 4),
    "a later line": (lines(lambda all: [b'{"step": 99, "tokens": 1, "loss": 1.0}\n', *all]),
                     LOG + "line 1 is of step 99, and lines of earlier steps follow it", 4),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_it_is_named_and_the_newest_good_one_is_offered(name: str, runs: tuple[Path, Path], tmp_path: Path) -> None:
    """`DAMAGES` says which step is offered; 0: to start again."""
    damage, problem, offered = DAMAGES[name]
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    damage(run, runs[1])
    with pytest.raises(Advice) as told:
        find_start(*run_of(run))
    assert problem in str(told.value)
    assert told.value.named == ({"resume": step(run, offered)} if offered else {"resume": run, "overwrite": True})
    if offered:
        path, start = find_start(*run_of(step(run, offered)))
        assert (path, start.facts.step) == (step(run, offered), offered)
    else:
        assert first_recipe(run).train.steps == 6


def commands(words: list[str], capsys: pytest.CaptureFixture[str], recipe: str = "") -> list[str]:
    """Type a command, and what its error offers, until one succeeds; returns the errors."""
    errors: list[str] = []
    while main(words):
        errors.append(capsys.readouterr().err)
        offered = re.search(r"gpt2 (train .*)$", errors[-1])
        assert offered is not None, errors
        assert len(errors) < 4, errors
        words = shlex.split(offered[1].replace("RECIPE.toml", recipe))
    return errors


def test_a_log_and_files_that_are_directories(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    for name in (METRICS, ".lock", "environment.json"):
        instead(name, Path.mkdir)(run, run)
    assert len(commands(["train", "--resume", str(run)], capsys)) == 1
    assert [*checkpoints(run)] == [2, 4, 6]
    assert (run / f"{METRICS}.aside").is_dir()


def test_a_run_without_recipe_and_facts_starts_again_with_what_the_first_sentence_says(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    facts = json.loads((step(run) / "training.json").read_text())["recipe"]
    (run / "recipe.json").write_text("{{{")
    for path in checkpoints(run).values():
        os.truncate(path / "training.safetensors", 9)
    assert first_recipe(run).train.steps == 6  # a checkpoint's facts can be read
    for path in checkpoints(run).values():
        (path / "training.json").write_text("")
    check_run(run, overwrite=True)
    recipe = tmp_path / "own.toml"
    data = facts["data"]["train"]
    recipe.write_text(f"[model]\nn_layer=1\nn_head=1\nn_embd=4\nn_positions=8\n[data]\ntrain={data}\nval={data}\n"
                      "[train]\nsteps=1\nbatch_size=1\ncompile=false")  # fmt: skip
    [error] = commands(["train", "--resume", str(run)], capsys, str(recipe))
    assert error.endswith(f"start again with gpt2 train RECIPE.toml --out {run} --overwrite\n")
    assert [*checkpoints(run)] == [1]


def test_checkpoints_that_are_no_directory(runs: tuple[Path, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    instead("checkpoints", Path.touch)(run, run)
    with pytest.raises(
        UsageError, match=r"checkpoints is no directory, so .* another place \(mv .*aside\), then start"
    ):
        find_start(run)


def test_checkpoints_that_changed_places_are_renamed_and_not_lost(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    step(run, 2).rename(run / "x")
    step(run).rename(step(run, 2))
    (run / "x").rename(step(run))
    assert main(["train", "--resume", str(run)]) == 1
    said = "rename step-000004 to step-000004.aside, and step-000002 to step-000004, then go on with gpt2 train"
    assert said in capsys.readouterr().err
    assert main(["train", "--resume", str(run), "--overwrite"]) == 2
    assert "need not start again: in " in capsys.readouterr().err
    step(run).rename(step(run).with_suffix(".aside"))
    step(run, 2).rename(step(run))
    assert find_start(run)[1].facts.step == 4


def test_what_is_lost_of_a_log_is_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    whole = (run / METRICS).read_bytes()
    all_lines = whole.splitlines(keepends=True)
    for damaged, what in (
        (all_lines[:2] + all_lines[1:], "no line of it is lost"),
        ([codecs.BOM_UTF8, *all_lines], "no line of it is lost"),
        ([all_lines[1], all_lines[0], *all_lines[2:]], "no line of it is lost"),
        (all_lines[1:], "stay lost"),
    ):
        (run / METRICS).write_bytes(b"".join(damaged))
        assert what in said(*find_start(run, step(run)))[0]
    (run / METRICS).unlink()
    assert said(*find_start(run, step(run))) == [
        "metrics.jsonl is missing: it is begun anew, and the lines of the steps so far stay lost."
    ]
    for damaged in (all_lines[:2] + all_lines[1:], [codecs.BOM_UTF8, *all_lines]):
        assert good_lines(b"".join(damaged), 4) == whole
    (run / METRICS).write_bytes(whole)
    assert wrong_lines(run / METRICS, 4) == ""
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps(recipe | {"train": recipe["train"] | {"seed": 3}}))
    path, start = find_start(run)
    assert isinstance(start, Start)
    assert said(path, start) == ["recipe.json has another train.seed than step-000004, whose settings count."]


def replaced(old: bytes, new: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new))


BESIDE: list[tuple[str, Callable[[Path], object], str]] = [
    ("recipe.json", replaced(b'"lr"', b'"lq"'), "cannot be read"),
    ("recipe.json", lambda path: path.write_text(""), "cannot be read"),
    ("recipe.json", lambda path: path.write_text("[1]"), "cannot be read"),
    ("recipe.json", lambda path: path.write_text('{"optim": {"lr": "0.1"}}'), "cannot be read"),
    ("recipe.json", Path.unlink, "is missing"),
    ("environment.json", replaced(b"Linux", b"Linuy"), "is not what was written"),
    ("environment.json", replaced(b"sha256", b"sha257"), "is not what was written"),
    ("environment.json", lambda path: path.write_bytes(b"\0\xff"), "cannot be read"),
    ("environment.json", Path.unlink, "is missing"),
]


@pytest.mark.parametrize("name, damage, why", BESIDE)
def test_a_damaged_file_beside_the_checkpoints_is_said_and_kept(
    name: str, damage: Callable[[Path], object], why: str, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    """It stopped nothing, and was written anew without a word."""
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    write_environment(run, json.loads((run / "environment.json").read_text()) | {"system": "Linux x86_64"})
    assert said(*find_start(run)) == []
    damage(run / name)
    aside = "" if why == "is missing" else f"set aside as {name}.aside, and "
    source = " from step-000004" if name == "recipe.json" else ""
    assert said(*find_start(run)) == [f"{name} {why}: it is {aside}written anew{source}."]


def test_damaged_files_are_set_aside_and_a_whole_run_goes_on(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    whole = (run / "recipe.json").read_bytes()
    (run / "recipe.json").write_text("mine")
    (step(run) / "mine.txt").write_text("mine")
    shutil.rmtree(run / "model", ignore_errors=True)
    (run / "model").write_text("mine")
    errors = commands(["train", "--resume", str(run)], capsys)
    assert len(errors) == 1
    told = " ".join("".join(capsys.readouterr()).split())
    assert "recipe.json cannot be read: it is set aside as recipe.json.aside, and written anew from step-0" in told
    assert "holds mine.txt, which the run did not write" in told
    assert "model.aside, since it is no directory" in told
    assert (run / "recipe.json").read_bytes() == whole
    assert (run / "recipe.json.aside").read_text() == (run / "model.aside").read_text() == "mine"
    assert (run / "model" / "model.safetensors").is_file()


def test_a_run_of_the_first_edition_need_not_have_them(runs: tuple[Path, Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    _, start = find_start(run)
    for name in ("recipe.json", "environment.json"):
        (run / name).unlink()
    assert damaged_files(run, dataclasses.replace(start.facts, hashes={})) == {}
