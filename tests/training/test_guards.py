"""What stops a run, or a step of it, and what the user is told then."""

import errno
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gpt2.cli.errors import sentence
from gpt2.cli.main import main
from gpt2.cli.train import Command
from gpt2.training.guards import FEWEST, LOST, Diverged, Guard
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.run import session
from gpt2.training.run.directory import checkpoints
from gpt2.training.run.history import read_history
from gpt2.training.run.metrics import MetricsLog, read_metrics
from gpt2.training.run.runner import resume, train
from tests.prepared import prepared

TEXT = "The cat sat on the mat. The dog sat on the log. " * 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return prepared(tmp_path_factory.mktemp("data"), TEXT)


@pytest.fixture
def recipe(data: str) -> Recipe:
    return Recipe(
        model=ModelRecipe(n_layer=1, n_head=2, n_embd=16, n_positions=16),
        data=DataRecipe(train=(data,), val=(data,)),
        optim=OptimRecipe(lr=1e-2, warmup_steps=0),
        train=TrainRecipe(steps=12, batch_size=4, compile=False, eval_every=6, eval_tokens=64),
    )


def usual(guard: Guard, steps: int) -> None:
    """Steps with losses about 3 and norms about 1."""
    rng = random.Random(0)
    for number in range(steps):
        assert guard.takes(number, 3 + rng.gauss(0, 0.1), 1 + rng.gauss(0, 0.1))


# one step


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (3.0, math.nan), (3.0, math.inf)])
def test_what_is_not_finite_stops(loss: float, norm: float) -> None:
    guard = Guard(vocab_size=100, skip_outliers=6.0, overflows=False)
    usual(guard, 40)
    with pytest.raises(Diverged, match=r"^step 40: the loss is .* and the gradient norm .* Lower optim\.lr"):
        guard.takes(40, loss, norm)


def test_fp16_overflows_are_skipped_but_a_nan_loss_stops() -> None:
    guard = Guard(vocab_size=100, skip_outliers=0.0, overflows=True)
    assert not guard.takes(0, 3.0, math.inf)
    assert guard.takes(1, 3.0, 1.0)
    assert guard.skipped == 1
    with pytest.raises(Diverged):
        guard.takes(2, math.nan, math.nan)


def test_a_loss_beyond_guessing_for_many_steps_in_a_row_stops() -> None:
    guard = Guard(vocab_size=100, skip_outliers=0.0, overflows=False)
    for number in range(LOST - 1):
        assert guard.takes(number, 8.0, 1.0)
    assert guard.takes(LOST - 1, 4.7, 1.0)  # guessing costs ln 100 = 4.605
    for number in range(LOST - 1):
        assert guard.takes(number, 8.0, 1.0)
    with pytest.raises(Diverged, match=r"step 99: the loss is 8; in the last 50 steps .* guessing, 4\.605"):
        guard.takes(99, 8.0, 1.0)


def test_outliers_are_skipped_counted_and_not_remembered() -> None:
    guard = Guard(vocab_size=100, skip_outliers=6.0, overflows=False)
    usual(guard, 60)
    assert not guard.takes(60, 4.0, 1.0)  # 10 standard deviations of the loss
    assert not guard.takes(61, 3.0, 2.0)  # 10 of the norm
    assert not guard.takes(62, 4.0, 1.0)  # still one: the first did not widen what is usual
    assert guard.takes(63, 2.0, 0.2)  # far below is welcome
    assert guard.skipped == 3


def test_outliers_need_a_past_and_a_wish() -> None:
    young, indifferent = Guard(100, 6.0, False), Guard(100, 0.0, False)
    usual(young, FEWEST - 1)
    usual(indifferent, 60)
    assert young.takes(FEWEST - 1, 4.0, 1.0)
    assert indifferent.takes(60, 4.0, 1.0)


def test_a_guard_goes_on_where_it_was() -> None:
    one, other = Guard(100, 6.0, False), Guard(100, 6.0, False)
    usual(one, 60)
    one.takes(60, 4.0, 1.0)
    other.load_state_dict(one.state_dict())
    assert other.skipped == 1
    assert one.takes(61, 3.55, 1.0) == other.takes(61, 3.55, 1.0)
    assert one.state_dict() == other.state_dict()


# whole runs


def test_a_skipped_step_leaves_the_weights(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TrainingRun(recipe)
    before = {name: p.clone() for name, p in run.model.named_parameters()}
    monkeypatch.setattr(run.guard, "takes", lambda *step: False)
    run.step(0)
    assert all(torch.equal(p, before[name]) for name, p in run.model.named_parameters())
    assert all(p.grad is None for p in run.model.parameters())


@pytest.mark.parametrize(("name", "lr"), [("adamw", 30.0), ("adamw", 1e30), ("muon", 1e4)])
def test_an_absurd_learning_rate_stops_within_500_steps(
    name: str, lr: float, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "r.toml", tmp_path / "run"
    path.write_text(f'[model]\nn_layer=1\nn_head=2\nn_embd=16\nn_positions=16\n[data]\ntrain=["{data}"]\n'
                    f'[optim]\nname="{name}"\nlr={lr}\nmuon_lr={lr}\nwarmup_steps=0\nclip=0\n'
                    "[train]\nsteps=500\nbatch_size=4\ncompile=false\neval_every=500\nsave_every=20\n")  # fmt: skip
    assert main(["train", str(path), "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "Lower optim.lr" in said
    assert "There is no checkpoint from before it went wrong" in said  # finite weights of a lost run are not good
    assert not (out / "model").exists()


def test_weights_that_are_not_finite_do_not_become_a_checkpoint(recipe: Recipe, tmp_path: Path) -> None:
    """An update of 1e30 overflows only in the next step; a checkpoint in between would be the last "good" one."""
    out = tmp_path / "run"
    run = TrainingRun(replace(recipe, train=replace(recipe.train, save_every=3)))
    train(run, out, stop=lambda: run.steps_done == 3)
    run = TrainingRun(replace(recipe, train=replace(recipe.train, save_every=3)))
    resume(run, out)
    run.model.transformer.h[0].mlp.c_fc.bias.data[5] = math.inf
    with pytest.raises(Diverged, match="made weights infinite"):
        run.check_weights()
    with pytest.raises(Diverged, match=r"step 3: the loss is nan.* The last good checkpoint is that of step 3"):
        train(run, out)
    assert [*checkpoints(out)] == [3]
    assert read_history(out).state == "diverged"
    run = TrainingRun(replace(recipe, train=replace(recipe.train, save_every=3)))
    resume(run, out)
    train(run, out, stop=lambda: run.steps_done == 4)
    assert read_history(out).state == "stopped"  # it went on from before: what went wrong is no more


def test_of_a_lost_run_the_checkpoint_before_is_named(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights after 6 steps are the first whose loss is beyond guessing: they are not good, though finite."""
    out = tmp_path / "run"
    run = TrainingRun(replace(recipe, train=replace(recipe.train, steps=500, save_every=4, keep_last=50)))
    monkeypatch.setattr("gpt2.training.guards.LOST", 5)
    gradients = run._gradients
    monkeypatch.setattr(run, "_gradients", lambda number: gradients(number) + (100.0 if number >= 6 else 0.0))
    good = out / "checkpoints" / "step-000004"
    lower = f"resume='{good}', override=True, optim.lr={float(f'{recipe.optim.lr / 3:.2g}')!r}"
    after = r"last good checkpoint is that of step 4, .*step-000004: go on with"
    with pytest.raises(Diverged, match=after) as error:
        train(run, out)
    assert str(error.value).endswith(f"go on with {lower}")
    lower = f"gpt2 train --resume {good} --override --optim.lr {float(f'{recipe.optim.lr / 3:.2g}')}"
    assert sentence(error.value, Command(), "gpt2 train").endswith(f"go on with {lower}")


def test_memory_that_runs_out_names_what_to_change(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run = TrainingRun(recipe)

    def no_room(*args: Any, **options: Any) -> None:
        torch.empty(1 << 60)

    monkeypatch.setattr(run, "forward", no_room)
    with pytest.raises(ValueError, match=r"micro_batch_size, now 4, to 2 .*activation_checkpointing.*context, now"):
        train(run, out)
    on = replace(recipe.train, activation_checkpointing=True, micro_batch_size=1)
    run = TrainingRun(replace(recipe, train=on))
    monkeypatch.setattr(run, "forward", no_room)
    with pytest.raises(ValueError, match=r"^memory ran out: lower train\.context, now \d+, to \d+\.$"):
        train(run, out)


def test_a_full_disk_keeps_the_last_good_checkpoint(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run = TrainingRun(recipe)
    write = MetricsLog.write

    def full_after_eight_steps(log: MetricsLog, event: dict[str, Any]) -> None:
        if event["step"] >= 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(log, event)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", full_after_eight_steps)
        with pytest.raises(
            OSError, match=r"no space left on device, at step 9.* that of step 6, .*step-000006: make"
        ) as error:
            train(run, out)
    assert str(error.value).endswith(f"go on with resume='{out}'")
    assert sentence(error.value, Command(), "gpt2 train").endswith(f"go on with gpt2 train --resume {out}")
    again = TrainingRun(recipe)
    resume(again, out)
    train(again, out)
    assert [e["step"] for e in read_metrics(out / "metrics.jsonl") if "loss" in e] == [*range(12)]


def test_a_run_stops_in_time_and_says_so(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    clock = iter(range(1000))
    monkeypatch.setattr(session.time, "monotonic", lambda: float(next(clock)))
    outcome = train(TrainingRun(recipe), out, max_seconds=10)
    assert 0 < outcome.steps < 12
    assert not outcome.done
    assert [*checkpoints(out)] == [outcome.steps]
