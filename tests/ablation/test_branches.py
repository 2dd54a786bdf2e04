"""A decay that is branched off gives what a run of its own gives, and leaves the run it came from as it was."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gpt2.ablation.branches import branch, branch_points
from gpt2.ablation.conduct import conduct, due, expected_work, read_records
from gpt2.ablation.job import run_job
from gpt2.ablation.study import Job, Study, load_study
from gpt2.base.errors import UsageError
from gpt2.base.notes import Note, forget
from gpt2.data.prepare import prepare
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, ModelRecipe, OptimRecipe, Recipe, TrainRecipe
from gpt2.training.schedule import factor

STUDY = """
[study]
seeds = [0, 1]
exploratory = 1
tune_seeds = [100]
budgets = []
branches = [0.25, 0.5]
[baseline]
model = { n_layer = 1, n_head = 2, n_embd = 16, n_positions = 16 }
data = { train = ["DATA"], val = ["DATA"] }
optim = { lr = 0.01, warmup_steps = 1, schedule = "wsd", floor = 0.0 }
train = { steps = 20, batch_size = 2, compile = false, dtype = "float32" }
[contestants.no-mlp]
variant = "no-mlp"
kind = "primary"
expect = ">= 0"
[contestants.wide]
set.model.n_embd = 32
expect = ">= 0"
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("branches")
    (folder / "text.txt").write_text("\n\n".join(f"{n} comes after {n - 1}." for n in range(1, 120)))
    prepare([folder / "text.txt"], folder / "data", Tokenizer.bytes())
    return folder / "data"


def study(folder: Path, data: Path, text: str = STUDY) -> Study:
    (folder / "s.toml").write_text(text.replace("DATA", data.as_posix()))
    return load_study(folder / "s.toml")


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_branch_is_a_run_of_its_own_bit_for_bit_and_the_trunk_goes_on_as_if_nothing_had_been(
    name: str, data: Path
) -> None:
    recipe = Recipe(
        ModelRecipe(n_layer=1, n_head=2, n_embd=16, n_positions=16, dropout=0.1),
        DataRecipe(train=(str(data),), val=(str(data),)),
        OptimRecipe(name=name, lr=0.01, schedule="wsd", warmup_steps=2, floor=0.0),  # type: ignore[arg-type]
        TrainRecipe(steps=20, batch_size=2, compile=False, dtype="float32"),
    )

    def trained(recipe: Recipe, shares: tuple[float, ...] = ()) -> tuple[list[float], dict[int, list[float]]]:
        run, found = TrainingRun(recipe), {}
        starts = branch_points(recipe, shares)
        losses = []
        for number in range(recipe.train.steps):
            for _, steps in starts.get(number, ()):
                found[steps] = branch(run, steps, lambda: {"val_loss": run.evaluate()[str(data)]})["val_loss"]
            losses.append(run.step(number)["loss"])
            run.steps_done = number + 1
        return [*losses, run.evaluate()[str(data)]], found

    plain, _ = trained(recipe)
    whole, found = trained(recipe, (0.25, 0.5))
    assert whole == plain
    assert sorted(found) == [5, 10]
    for steps in (5, 10):
        own, _ = trained(replace(recipe, train=replace(recipe.train, steps=steps)))
        assert found[steps] == own[-1]


def test_a_branch_begins_with_the_first_step_below_the_peak() -> None:
    recipe = Recipe(optim=OptimRecipe(schedule="wsd", warmup_steps=40), train=TrainRecipe(steps=1000))
    for start, [(share, steps)] in branch_points(recipe, (0.125, 0.25, 0.5)).items():
        assert steps == 1000 * share
        rates = [factor(recipe.optim, n, steps) for n in range(steps)]
        assert rates[start] == 1 > rates[start + 1]
    assert branch_points(recipe, (0.02,)) == {20: [(0.02, 20)]}  # all of it is warm-up


def test_primary_runs_record_their_branches_and_others_cost_no_more(tmp_path: Path, data: Path) -> None:
    s = study(tmp_path, data)
    job = Job("no-mlp", "report", 0)
    record = run_job(s, job)
    assert [(b["share"], b["steps"], b["tokens"]) for b in record["branches"]] == [(0.25, 5, 160), (0.5, 10, 320)]
    assert all(
        b["val_loss"] > 0 and b["context_use"].keys() == {"use", "full", "short", "error"} for b in record["branches"]
    )
    assert job.work(s) == pytest.approx(1 + 0.2 * 0.75)
    assert "branches" not in run_job(s, Job("wide", "report", 0))
    assert "branches" not in run_job(s, Job("no-mlp", "tune", 100, share=0.5))
    without = study(tmp_path, data, STUDY.replace("branches = [0.25, 0.5]", ""))
    assert run_job(without, job)["val_loss"] == record["val_loss"]
    assert job.key(without) != job.key(s)
    assert Job("wide", "report", 0).key(without) == Job("wide", "report", 0).key(s)
    assert expected_work(s, {}) == pytest.approx(9 * 0.5 + 2 * 2 * 1.15 + 1)
    assert len(due(s, {})) == 9


def test_a_decay_needs_a_constant_rate(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="needs the schedule wsd, and baseline has cosine"):
        study(tmp_path, data, STUDY.replace('"wsd"', '"cosine"'))
    with pytest.raises(UsageError, match="each must be below 1"):
        study(tmp_path, data, STUDY.replace("[0.25, 0.5]", "[0.25, 1.0]"))


def test_weights_come_back_after_a_branch_that_diverges(data: Path) -> None:
    recipe = Recipe(
        ModelRecipe(n_layer=1, n_head=2, n_embd=16, n_positions=16), DataRecipe(train=(str(data),)),
        OptimRecipe(lr=0.01, schedule="wsd", warmup_steps=2), TrainRecipe(steps=20, batch_size=2, compile=False),
    )  # fmt: skip
    run = TrainingRun(recipe)
    before = {name: p.clone() for name, p in run.model.state_dict().items()}
    run.model.transformer.wte.weight.data[0] = torch.nan
    spoilt = branch(run, 5, lambda: {"val_loss": 1.0})
    assert (spoilt["val_loss"], run.steps_done) == (None, 0)
    assert torch.equal(run.model.state_dict()["transformer.wpe.weight"], before["transformer.wpe.weight"])


def test_a_study_ends_where_its_hours_end_and_says_so(tmp_path: Path, data: Path) -> None:
    s = study(tmp_path, data, STUDY.replace("exploratory = 1", "exploratory = 1\nhours = 1e-9"))
    results = tmp_path / "results.jsonl"
    with pytest.warns(Note, match="0.0 processor hours are spent, of 1e-09: what is due is left out"):
        conduct(s, results, only=("wide",))
    (record,) = read_records(results).values()
    assert record["processor_seconds"] > 0
    forget()  # a note is said once
    with pytest.warns(Note, match="what is due is left out"):
        conduct(s, results, only=("wide",))
    assert len(read_records(results)) == 1
