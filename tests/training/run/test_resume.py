"""Resuming: a run that was killed goes on as if it had not been, and what must not change is refused."""

import multiprocessing
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.resume_kills import Kill, compared, run_through, run_with_kills, write_recipe
from gpt2.base.errors import UsageError
from gpt2.cli.main import main
from gpt2.data.prepare import prepare
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.run.directory import checkpoints
from gpt2.training.run.metrics import read_metrics
from gpt2.training.run.resume import Facts, changed_fields, check_resume
from gpt2.training.run.runner import resume, train
from gpt2.training.task import identity

# killed for good

FORKS = multiprocessing.get_context("forkserver")  # processes that start with torch already imported


def quietly(words: list[str]) -> None:
    sys.stdout = sys.stderr = open("/dev/null", "w")  # noqa: SIM115
    sys.exit(main(words))


class Fork:
    """`gpt2 WORDS`, as benchmarks.resume_kills wants to start it."""

    def __init__(self, words: list[str]) -> None:
        self._process = FORKS.Process(target=quietly, args=(words,))
        self._process.start()

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code

    def is_over(self) -> bool:
        return not self._process.is_alive()


def killed(recipe: Path, folder: Path) -> tuple[Path, list[Kill]]:
    """A run that was killed twice. One that is over before its killer gets to it, on a busy machine, is run again."""
    for turn in range(50):
        run = folder / f"killed-{turn}"
        try:
            return run, run_with_kills(Fork, recipe, run, ["step", "save"], seed=1 + turn)
        except RuntimeError as error:
            if "exit code 0 before it was killed" not in str(error):
                raise
    pytest.fail("no run was caught in time")


def test_runs_that_are_killed_lose_and_change_nothing(tmp_path: Path) -> None:
    """kill -9 at random moments, one of them while a checkpoint is written; dropout on, two micro-batches a step.

    python -m benchmarks.resume_kills does it thirty times, compiled too.
    """
    FORKS.set_forkserver_preload(["gpt2.cli.train", "gpt2.training.run.runner", "torch._inductor"])
    recipe = write_recipe(tmp_path, compile=False, steps=24, eval_every=6, save_every=3)
    expected = run_through(Fork, recipe, tmp_path / "whole")
    assert [event["step"] for event in expected if "loss" in event] == list(range(24))
    run, kills = killed(recipe, tmp_path)
    assert [kill.resumed_from for kill in kills] == sorted(kill.resumed_from for kill in kills)
    assert all(kill.resumed_from <= kill.steps_logged for kill in kills)
    assert compared(run) == expected
    left = [path.name for path in (run / "checkpoints").iterdir()]
    assert [name for name in left if name.startswith(".")] == []
    for name in ("model.safetensors", "config.json"):
        ours, theirs = ((path / "model" / name).read_bytes() for path in (run, tmp_path / "whole"))
        assert ours == theirs


# the same, step by step


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "text.txt").write_text("The cat sat on the mat. The dog sat on the log. " * 40)
    prepare([tmp_path / "text.txt"], tmp_path / "set", Tokenizer.bytes())
    return Recipe(
        model=ModelRecipe(n_layer=1, n_head=2, n_embd=16, n_positions=16, dropout=0.1),
        data=DataRecipe(train=(str(tmp_path / "set"),), val=(str(tmp_path / "set"),)),
        optim=OptimRecipe(lr=1e-2, warmup_steps=3),
        train=TrainRecipe(steps=6, batch_size=4, compile=False, eval_every=3, eval_tokens=64),
    )


def test_a_run_that_died_between_saving_and_evaluating_evaluates_first(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainingRun(recipe)
    train(whole, tmp_path / "whole")
    dies = TrainingRun(recipe)
    monkeypatch.setattr(dies, "evaluate", lambda: sys.exit(1))
    with pytest.raises(SystemExit):
        train(dies, tmp_path / "run")
    again = TrainingRun(recipe)
    assert resume(again, tmp_path / "run") == []
    train(again, tmp_path / "run")
    assert compared(tmp_path / "run") == compared(tmp_path / "whole")
    assert [event["step"] for event in compared(tmp_path / "run") if "val" in event] == [2, 5]


def test_a_run_that_is_over_stays_as_it_is(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(TrainingRun(recipe), out)
    before = (out / "metrics.jsonl").read_bytes()
    again = TrainingRun(recipe)
    resume(again, out)
    outcome = train(again, out)
    assert outcome.done
    assert (out / "metrics.jsonl").read_bytes() == before


def test_a_stopped_run_goes_on_and_its_time_adds_up(recipe: Recipe, tmp_path: Path) -> None:
    whole = TrainingRun(recipe)
    train(whole, tmp_path / "whole")
    first = TrainingRun(recipe)
    outcome = train(first, tmp_path / "run", stop=lambda: first.steps_done == 4)
    assert (outcome.steps, outcome.done) == (4, False)
    assert max(checkpoints(tmp_path / "run")) == 4
    second = TrainingRun(recipe)
    resume(second, tmp_path / "run")
    train(second, tmp_path / "run")
    assert compared(tmp_path / "run") == compared(tmp_path / "whole")
    times = [event["elapsed_s"] for event in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert times == sorted(times)


def logged(out: Path) -> list[tuple[str, int, object]]:
    """What was trained, evaluated and sampled after which step, in order."""
    events = read_metrics(out / "metrics.jsonl")
    return [(key, e["step"] + 1, e[key]) for e in events for key in ("loss", "val", "sample") if key in e]


@pytest.mark.parametrize("by", ["signal", "time"])
def test_a_stop_during_the_last_step_leaves_nothing_out(recipe: Recipe, tmp_path: Path, by: str) -> None:
    recipe = replace(recipe, train=replace(recipe.train, steps=1, sample_every=4))
    whole = train(TrainingRun(recipe), tmp_path / "run")
    expected = logged(tmp_path / "run")
    assert [key for key, _, _ in expected] == ["loss", "val", "sample"]
    signalled = by == "signal"
    run = TrainingRun(recipe)
    assert train(run, tmp_path / "run", stop=lambda: signalled, max_seconds=None if signalled else 1e-9) == whole
    assert logged(tmp_path / "run") == expected


def test_a_sample_that_is_due_where_a_run_is_stopped_is_made_up_once(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, train=replace(recipe.train, steps=3, sample_every=2, eval_every=1, eval_tokens=16))
    train(TrainingRun(recipe), tmp_path / "whole")
    train(TrainingRun(recipe), tmp_path / "run", stop=iter([False, True]).__next__)
    out, left = tmp_path / "run", logged(tmp_path / "run")
    assert [(key, step) for key, step, _ in left] == [("loss", 1), ("val", 1), ("loss", 2)]
    for _ in range(2):
        run = TrainingRun(recipe)
        resume(run, out)
        train(run, out)
        assert logged(out) == logged(tmp_path / "whole")


def test_with_override_the_new_rate_counts(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(TrainingRun(recipe), out, stop=lambda: True)
    changed = replace(recipe, optim=replace(recipe.optim, lr=5e-3))
    with pytest.raises(UsageError, match=r"optim\.lr was 0\.01 and is now 0\.005\. .*add override=True to keep it"):
        resume(TrainingRun(changed), out)
    run = TrainingRun(changed)
    assert resume(run, out, override=True) == ["optim.lr was 0.01 and is now 0.005."]
    assert run.step(1)["lr"] == pytest.approx(5e-3 * 2 / 3)


# what must be the same


@pytest.fixture
def facts() -> Facts:
    """As read from a file: lists where the recipe has tuples."""
    recipe = asdict(Recipe(data=DataRecipe(train=("data/a",))))
    recipe["data"]["train"] = ["data/a"]
    return Facts(10, recipe, {"data/a": "1"}, "hash", 2, {"torch": "2.13.0", "threads": 2})


def changed(facts: Facts, section: str, **values: object) -> Facts:
    return replace(facts, recipe=facts.recipe | {section: facts.recipe[section] | values})


def test_nothing_changed_is_nothing_said(facts: Facts) -> None:
    now = replace(facts, recipe=asdict(Recipe(data=DataRecipe(train=("data/a",)))))
    assert check_resume(facts, now, override=False) == []


def test_a_changed_recipe_is_refused_field_by_field(facts: Facts) -> None:
    now = changed(changed(facts, "optim", lr=1.0), "train", steps=5, micro_batch_size=4)
    with pytest.raises(UsageError) as error:
        check_resume(facts, now, override=False)
    assert str(error.value) == (
        "the recipe was changed: optim.lr was 0.0006 and is now 1.0. train.steps was 1000 and is now 5; the schedule "
        "is that of the new length from here on. train.micro_batch_size was not set and is now 4. Leave that out, or "
        "add override=True to keep it."
    )
    assert len(check_resume(facts, now, override=True)) == 3


def test_another_size_is_another_model(facts: Facts) -> None:
    with pytest.raises(UsageError, match=r"model\.n_embd was 768 and is now 64: a resumed run keeps its sizes"):
        check_resume(facts, changed(facts, "model", n_embd=64), override=True)
    assert check_resume(facts, changed(facts, "model", dropout=0.1), override=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train of a.txt", "the text of a.txt is not the one that this run began with, since its tokens differ: put"),
        ("base of a.txt", "the base of this run is not the one that this run began with, since its weights differ"),
        ("every weight of m", "m is not the model that this run began with, since its weights differ: put back"),
        ("every byte of r", "r is not the file that this run began with, since bytes of it differ: put back"),
    ],
)
def test_what_a_finetune_began_with_is_named_in_its_terms(facts: Facts, name: str, said: str) -> None:
    before = replace(facts, data={name: "1"}, settings={})
    with pytest.raises(ValueError, match=said):
        check_resume(before, replace(before, data={name: "2"}), override=True)


def test_an_older_run_says_that_only_a_sample_of_its_base_is_compared(facts: Facts) -> None:
    [note] = check_resume(facts, replace(facts, data={**facts.data, "every weight of m": "1"}), override=False)
    assert note == "an earlier version began this run: only a sample of the weights of m is compared."


def test_other_data_is_refused_whatever_is_overridden(facts: Facts) -> None:
    with pytest.raises(ValueError, match="data/a is not the set that this run began with"):
        check_resume(facts, replace(facts, data={"data/a": "2"}), override=True)
    rows = replace(facts, data={"every byte of out/rows.jsonl": "1"})
    with pytest.raises(ValueError, match=r"^out/rows\.jsonl is not the file that this run began with"):
        check_resume(rows, replace(rows, data={"every byte of out/rows.jsonl": "2"}), override=True)
    with pytest.raises(ValueError, match="another tokenizer than this run began with"):
        check_resume(facts, replace(facts, tokenizer="other"), override=True)
    now = replace(changed(facts, "data", train=["data/b"]), data={"data/b": "2"})
    [note] = check_resume(facts, now, override=True)
    assert note == "data.train was [data/a] and is now [data/b]; the order of the data from here on is another."


def test_another_machine_is_allowed_and_said(facts: Facts) -> None:
    now = replace(facts, world_size=1, environment={"torch": "2.14.0", "threads": 2})
    few, other = check_resume(facts, now, override=False)
    assert few.startswith("1 process instead of 2: the batches stay the same")
    assert other == "torch was 2.13.0 and is now 2.14.0: losses may differ in their last digits."


def test_a_recipe_of_another_version(facts: Facts) -> None:
    old = {**facts.recipe, "optim": {k: v for k, v in facts.recipe["optim"].items() if k != "clip"}}
    assert changed_fields(old, facts.recipe) == {}
    old["optim"]["gone"] = 1
    assert changed_fields(old, facts.recipe) == {"optim.gone": "optim.gone was 1 and is now not set"}


def test_the_identity_of_a_set_is_that_of_the_tokens() -> None:
    manifest = {"tokenizer_hash": "t", "shards": [{"file": "a", "tokens": 3, "sha256": "x"}], "sources": ["a"]}
    assert identity(manifest) == identity(manifest | {"sources": ["b"]})
    assert identity(manifest) != identity(manifest | {"tokenizer_hash": "u"})
    assert identity(manifest) != identity(manifest | {"shards": [{"file": "a", "tokens": 3, "sha256": "y"}]})
