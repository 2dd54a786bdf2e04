"""Checkpoints of a run: what the next step depends on comes back to the bit, and half a checkpoint is none."""

import json
import os
import resource
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load, save
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.optimizer import build_optimizers
from gpt2.training.recipe import OptimRecipe, Recipe
from gpt2.training.run.directory import best, checkpoint_path, checkpoints, forget, hold, is_running, latest
from gpt2.training.run.intact import TENSORS, Damaged, check, read_facts
from gpt2.training.run.metrics import MetricsLog
from gpt2.training.run.resume import Facts
from gpt2.training.run.state import restore, save_checkpoint

TOKENIZER = Tokenizer.bytes()
CONFIG = GPT2Config(vocab_size=TOKENIZER.vocab_size, n_positions=16, n_embd=16, n_layer=2, n_head=2)


class Trainee:
    """A model with its optimisers, and a step that is a function of its number."""

    def __init__(self, name: str = "muon", lr: float = 1e-2, seed: int = 0) -> None:
        self.model = GPT2(CONFIG, seed=seed)
        self.optimizers = build_optimizers(self.model, OptimRecipe(name=name, lr=lr), bf16=False)

    def step(self, number: int) -> float:
        torch.manual_seed(number)
        ids = torch.randint(0, CONFIG.vocab_size, (3, CONFIG.n_positions + 1))
        loss = self.model.train()(ids[:, :-1], ids[:, 1:])
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    def save(self, run: Path, step: int, write: Any = None, keep_last: int = 2) -> Path:
        write = write or (lambda model, directory: save(model, TOKENIZER, directory))
        return save_checkpoint(run, facts(step), self.model, self.optimizers, write, keep_last=keep_last)


CARRIED = {"seconds": 1.5, "guard": {"losses": [], "norms": [], "lost": 0, "skipped": 0}, "scaler": {}}


def facts(step: int) -> Facts:
    return Facts(step, asdict(Recipe()), {"data/a": "1"}, TOKENIZER.hash, 1, {"threads": 1}, CARRIED)


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("after", [0, 3])
def test_a_restored_run_goes_on_to_the_bit(tmp_path: Path, name: str, after: int) -> None:
    """Dropout on. Saving before the first step changes nothing either: PyTorch's own way takes a step to do it."""
    whole = Trainee(name)
    expected = [whole.step(number) for number in range(6)]
    first = Trainee(name)
    assert [first.step(number) for number in range(after)] == expected[:after]
    first.save(tmp_path, after)
    assert [first.step(number) for number in range(after, 6)] == expected[after:]
    second = Trainee(name, seed=1)
    restore(latest(tmp_path), second.model, second.optimizers)
    assert [second.step(number) for number in range(after, 6)] == expected[after:]
    for ours, theirs in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_lies_in_a_checkpoint(tmp_path: Path) -> None:
    trainee = Trainee("adamw")
    trainee.step(0)
    path = trainee.save(tmp_path, 1)
    assert path == tmp_path / "checkpoints" / "step-000001"
    assert sorted(p.name for p in path.iterdir()) == ["model", "training.json", "training.safetensors"]
    found = read_facts(path)
    assert replace(found, hashes={}) == replace(facts(1), recipe=json.loads(json.dumps(asdict(Recipe()))))
    assert {"training.safetensors", "model/config.json", "model/model.safetensors"} <= found.hashes.keys()
    assert check(path) == found
    assert torch.equal(load(str(path / "model")).model.transformer.wte.weight, trainee.model.transformer.wte.weight)
    tensors = load_file(path / TENSORS)
    names = [name for name, _ in trainee.model.named_parameters()]
    keys = ("exp_avg", "exp_avg_sq", "step")
    assert sorted(tensors) == sorted([f"weights/{n}" for n in names] + [f"AdamW/{n}/{k}" for n in names for k in keys])
    assert tensors["AdamW/transformer.wte.weight/step"] == 1
    moved = trainee.optimizers[0].state[trainee.model.transformer.wte.weight]["exp_avg"]
    assert torch.equal(tensors["AdamW/transformer.wte.weight/exp_avg"], moved)
    mode = (path / "training.json").stat().st_mode
    assert {p.stat().st_mode for p in path.rglob("*") if p.is_file()} == {mode}


def test_rates_are_those_of_the_recipe(tmp_path: Path) -> None:
    """`--override --optim.lr` must count: a state dict of PyTorch brings the old rates back."""
    first = Trainee(lr=1e-2)
    first.step(0)
    first.save(tmp_path, 1)
    second = Trainee(lr=3e-3)
    restore(latest(tmp_path), second.model, second.optimizers)
    assert [group["lr"] for group in second.optimizers[0].param_groups] == [3e-3, 3e-3]
    assert [group["peak_lr"] for group in second.optimizers[0].param_groups] == [3e-3, 3e-3]


def test_another_optimizer_starts_afresh_where_it_differs(tmp_path: Path) -> None:
    first = Trainee("muon")
    first.step(0)
    first.save(tmp_path, 1)
    second = Trainee("adamw")
    restore(latest(tmp_path), second.model, second.optimizers)
    (state,) = (optimizer.state for optimizer in second.optimizers)
    assert state[second.model.transformer.wte.weight]["step"] == 1
    assert second.model.transformer.h[0].attn.c_attn.weight not in state
    assert second.step(1) > 0


# whole or not at all


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    named = []
    fsync, rename = os.fsync, os.rename

    def watched_rename(source: Any, target: Any) -> None:
        if Path(target) == checkpoint_path(tmp_path, 4):
            files = [Path(source), *Path(source).rglob("*")]
            assert {path.stat().st_ino for path in files} <= synced
            named.append(target)
        rename(source, target)

    def watched_fsync(handle: int) -> None:
        if not named or os.fstat(handle).st_ino == (tmp_path / "checkpoints").stat().st_ino:
            synced.add(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "rename", watched_rename)
    monkeypatch.setattr(os, "fsync", watched_fsync)
    Trainee().save(tmp_path, 4)
    assert named == [checkpoint_path(tmp_path, 4)]
    assert (tmp_path / "checkpoints").stat().st_ino in synced  # and then the name itself


@pytest.mark.parametrize("moment", ["model", "facts", "tensors", "rename"])
def test_a_save_that_breaks_off_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    trainee = Trainee()
    good = trainee.save(tmp_path, 1)
    before = {path: path.stat().st_mtime_ns for path in good.rglob("*")}

    def break_off(*words: Any) -> None:
        raise KeyboardInterrupt

    places = {"facts": "gpt2.training.run.resume.Facts.to_json", "tensors": "gpt2.training.run.state.write_tensors",
              "rename": "gpt2.base.ours.os.rename"}  # fmt: skip
    if moment != "model":
        monkeypatch.setattr(places[moment], break_off)
    with pytest.raises(KeyboardInterrupt):
        # the model's own writer renames too, so it is replaced here
        trainee.save(tmp_path, 2, break_off if moment == "model" else lambda model, directory: directory.mkdir())
    assert latest(tmp_path) == good
    assert {path: path.stat().st_mtime_ns for path in good.rglob("*")} == before
    assert list((tmp_path / "checkpoints").iterdir()) == [good]


def test_what_a_killed_process_left_is_never_picked_and_soon_deleted(tmp_path: Path) -> None:
    trainee = Trainee()
    trainee.save(tmp_path, 1)
    litter = tmp_path / "checkpoints" / ".step-000009.ab12.partial"
    (litter / "model").mkdir(parents=True)
    (tmp_path / "checkpoints" / ".step-000000.old").mkdir()
    (tmp_path / "checkpoints" / "step-7").mkdir()  # no name of ours
    assert list(checkpoints(tmp_path)) == [1]
    assert latest(tmp_path) == checkpoint_path(tmp_path, 1)
    with hold(tmp_path):
        assert not litter.exists()
    litter.mkdir()
    trainee.save(tmp_path, 2)
    found = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert found == ["step-000001", "step-000002", "step-7"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 60 kB, as on a disk with no more room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path, small_files: None) -> None:
    trainee = Trainee()
    trainee.step(0)  # model/ fits, what the optimisers know does not
    with pytest.raises(OSError, match=r"step 1 could .* \(file too large\); there is none before it\. Make room"):
        trainee.save(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    good = trainee.save(tmp_path, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(OSError) as error:
        trainee.save(tmp_path, 3)
    sentence = str(error.value)
    assert f"the last good one is {good}" in sentence
    assert sentence.endswith(f"or raise the limit of a file's size, then go on with resume='{tmp_path}'")
    assert "(file too large)" in sentence
    assert list((tmp_path / "checkpoints").iterdir()) == [good]
    other = Trainee(seed=1)
    restore(latest(tmp_path), other.model, other.optimizers)
    assert other.step(2) == trainee.step(2)


def test_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    trainee = Trainee()
    trainee.save(tmp_path, 1)
    trainee.step(0)
    path = trainee.save(tmp_path, 1)
    assert torch.equal(load(str(path / "model")).model.transformer.wpe.weight, trainee.model.transformer.wpe.weight)
    assert list((tmp_path / "checkpoints").iterdir()) == [path]


# which are kept


def test_the_best_and_the_last_are_kept(tmp_path: Path) -> None:
    trainee = Trainee()
    with MetricsLog(tmp_path) as log:
        for step, loss in enumerate([3.0, 2.0, 2.5, 2.6, 2.7], start=1):
            trainee.save(tmp_path, step)
            log.write({"step": step - 1, "val": {"a": loss, "b": loss + 1}})  # evaluated after it was saved
        trainee.save(tmp_path, 6)
    assert list(checkpoints(tmp_path)) == [2, 5, 6]
    assert best(tmp_path) == checkpoint_path(tmp_path, 2)
    trainee.save(tmp_path, 7, keep_last=1)
    assert list(checkpoints(tmp_path)) == [2, 7]


def test_the_best_is_that_of_the_mean_over_the_sets(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        for step, (a, b) in enumerate([(3.0, 3.0), (2.0, 3.5), (1.9, 4.0)], start=1):
            log.write({"step": step - 1, "val": {"a": a, "b": b}})
            Trainee().save(tmp_path, step, keep_last=3)
    assert best(tmp_path) == checkpoint_path(tmp_path, 2)


def test_without_an_evaluation_none_is_best(tmp_path: Path) -> None:
    Trainee().save(tmp_path, 1)
    assert best(tmp_path) is None


def test_a_run_that_is_replaced_leaves_nothing(tmp_path: Path) -> None:
    Trainee().save(tmp_path, 5)
    MetricsLog(tmp_path).close()
    for name in ("model", "snapshots", "tensorboard", "mine"):
        (tmp_path / name).mkdir()
    forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(UsageError, match="is not a training run: name a directory that gpt2 train wrote"):
        latest(tmp_path)
    MetricsLog(tmp_path).close()
    with pytest.raises(UsageError, match="has no checkpoint"):
        latest(tmp_path)


# what is refused


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    trainee = Trainee()
    path = trainee.save(tmp_path, 1)
    whole = (path / TENSORS).read_bytes()
    (path / TENSORS).write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"training\.safetensors is truncated"):
        restore(path, trainee.model, trainee.optimizers)
    (path / TENSORS).unlink()
    with pytest.raises(ValueError, match=r"has no transformer\.wte\.weight"):
        restore(path, trainee.model, trainee.optimizers)
    with pytest.raises(Damaged, match=r"step-000001 is damaged: training\.safetensors is missing\."):
        check(path)
    (path / "training.json").write_text('{"step": 1}')
    with pytest.raises(Damaged, match=r"step-000001 is damaged: training\.json has no recipe"):
        read_facts(path)


def test_another_size_is_refused(tmp_path: Path) -> None:
    path = Trainee().save(tmp_path, 1)
    other = GPT2(replace(CONFIG, n_embd=32))
    with pytest.raises(ValueError, match=r"has no transformer\.wte\.weight of shape \[\d+, 32\]: .* of another model"):
        restore(path, other, build_optimizers(other, OptimRecipe(), bf16=False))


# one process at a time


def test_a_run_is_held_by_one_process(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    with hold(tmp_path):
        assert is_running(tmp_path)
        with pytest.raises(UsageError, match="another process is training in"), hold(tmp_path):
            pass
    assert not is_running(tmp_path)
