"""The ablation study: what is due follows from what is written down, and what is measured is what it says."""

import json
import math
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gpt2 import GPT2, GPT2Config
from gpt2.ablation import conduct as conduct_module
from gpt2.ablation.conduct import conduct, due, expected_work, read_records, tuning
from gpt2.ablation.job import run_job
from gpt2.ablation.measure import (
    dead_neurons,
    in_context_score,
    induction_score,
    position_losses,
    stream_scales,
)
from gpt2.ablation.models import build
from gpt2.ablation.results import writing
from gpt2.ablation.study import Job, Study, load_study
from gpt2.base.errors import Failure, UsageError
from gpt2.base.notes import Note, forget
from gpt2.data.prepare import prepare
from gpt2.forward_pass import Pass
from gpt2.text.tokenizer import Tokenizer

STUDY = """
[study]
seeds = [0, 1, 2]
exploratory = 1
tune_seeds = [100]
budgets = [0.5]
[baseline]
model = { n_layer = 1, n_head = 2, n_embd = 16, n_positions = 16 }
data = { train = ["DATA"], val = ["DATA"] }
optim = { lr = 0.01, warmup_steps = 1 }
train = { steps = 4, batch_size = 2, compile = false, dtype = "float32" }
[contestants.no-mask]
variant = "no-mask"
kind = "primary"
expect = "<= -0.1"
[contestants.wide]
set.model.n_embd = 32
expect = ">= 0"
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    (folder / "text.txt").write_text("\n\n".join(f"{n} comes after {n - 1}." for n in range(1, 120)))
    prepare([folder / "text.txt"], folder / "data", Tokenizer.bytes())
    return folder / "data"


def study(folder: Path, data: Path, text: str = STUDY) -> Study:
    (folder / "small.toml").write_text(text.replace("DATA", str(data)))
    return load_study(folder / "small.toml")


def answered(s: Study, job: Job, loss: float | None, records: dict) -> None:
    records[job.key(s)] = {"val_loss": loss, "diverged_at": 3 if loss is None else None}


def test_what_is_due_follows_from_the_records(tmp_path: Path, data: Path) -> None:
    s = study(tmp_path, data)
    records: dict = {}
    first = due(s, records)
    assert [(j.contestant, j.purpose, j.rate) for j in first] == [
        (name, "tune", rate) for name in ("baseline", "no-mask", "wide") for rate in (0.5, 1.0, 2.0)
    ]
    for job in first:
        answered(s, job, {0.5: 2.0, 1.0: 1.0, 2.0: 1.5}[job.rate], records)
    then = due(s, records)
    assert [(j.contestant, j.purpose, j.seed, j.share) for j in then] == [
        *[(name, "report", seed, 1.0) for seed in (0, 1, 2) for name in ("baseline", "no-mask")],  # seed by seed
        *[("baseline", "budget", seed, 0.5) for seed in (0, 1, 2)],
        ("wide", "report", 0, 1.0),  # exploratory: last
    ]
    assert expected_work(s, records) == 3 + 1.5 + 3 + 1
    for job in then:
        answered(s, job, 1.0, records)
    assert due(s, records) == []
    assert [j.contestant for j in due(s, {}, only=("wide",))] == ["wide"] * 3


def test_the_search_goes_on_past_the_end_of_its_grid_and_below_what_diverged(tmp_path: Path, data: Path) -> None:
    s, records = study(tmp_path, data), {}
    losses = {0.125: 1.3, 0.25: 1.0, 0.5: 1.2, 1.0: 1.4, 2.0: None}
    while missing := tuning(s, "wide", records).missing:
        for job in missing:
            answered(s, job, losses[job.rate], records)
    search = tuning(s, "wide", records)
    assert search.rate == 0.25
    assert search.losses == {**losses, 2.0: math.inf}
    records = {}
    while missing := tuning(s, "wide", records).missing:  # diverges always: four steps down, no further
        for job in missing:
            answered(s, job, None, records)
    assert min(tuning(s, "wide", records).losses) == 0.5 / 2**4


def test_a_key_changes_with_everything_that_changes_a_run(tmp_path: Path, data: Path) -> None:
    s = study(tmp_path, data)
    keys = {
        Job(name, purpose, seed, rate, share).key(s)
        for name in ("baseline", "no-mask", "wide") for purpose in ("tune", "report") for seed in (0, 1)
        for rate in (0.5, 1.0) for share in (0.5, 1.0)
    }  # fmt: skip
    assert len(keys) == 3 * 2 * 2 * 2 * 2
    other = study(tmp_path, data, STUDY.replace("steps = 4", "steps = 8"))
    assert Job("wide", "report", 0).key(other) != Job("wide", "report", 0).key(s)


def test_a_whole_study_stopped_in_between_goes_on_and_repeats_bit_for_bit(tmp_path: Path, data: Path) -> None:
    s, results = study(tmp_path, data), tmp_path / "results.jsonl"

    class Stop(Exception):
        pass

    def stop(record: dict, left: float) -> None:
        raise Stop

    with pytest.raises(Stop):
        conduct(s, results, only=("baseline",), report=stop)
    results.write_text(results.read_text() + '{"key": "cut o')
    seen = []
    with pytest.warns(Note, match="the last line was cut off"):
        conduct(s, results, only=("baseline", "no-mask"), report=lambda record, left: seen.append((record, left)))
    records = read_records(results)
    assert len(records) == len(results.read_text().splitlines()) == len(seen) + 1
    assert seen[-1][1] == 0
    one = next(r for r in records.values() if r["contestant"] == "no-mask" and r["purpose"] == "report")
    threads = torch.get_num_threads()
    torch.set_num_threads(one["environment"]["threads"])  # the last bits depend on it
    again = run_job(s, Job("no-mask", "report", one["seed"], one["rate"]))
    torch.set_num_threads(threads)
    same = ("val_loss", "train_loss", "curve", "position_losses", "at_start", "at_end", "val_loss_with_mask")
    assert {k: one[k] for k in same} == {k: json.loads(json.dumps(again[k])) for k in same}
    assert one["val_loss"] != one["val_loss_with_mask"]
    assert len(one["position_losses"]) == 16


def test_every_run_that_has_ended_is_written_before_a_study_stops(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that failed took the results of those that had ended with it; so did Ctrl-C."""
    s, results = study(tmp_path, data), tmp_path / "results.jsonl"

    class Done:
        """Processes that have done everything at once, but for the third run, which fails."""

        def __init__(self, *how: object) -> None:
            self.runs = 0

        def __enter__(self) -> "Done":
            return self

        def __exit__(self, *exc: object) -> None:
            pass

        def submit(self, s: Study, job: Job, keep: Path | None) -> Future:
            self.runs += 1
            future: Future = Future()
            if self.runs == 1:
                future.set_exception(Failure("it failed"))
            else:
                future.set_result({"key": job.key(s), "study": s.name, **vars(job), "diverged_at": 2})
            return future

    monkeypatch.setattr(conduct_module, "Processes", Done)
    with pytest.raises(Failure, match="it failed"):
        conduct(s, results, jobs=3)
    assert len(read_records(results)) == 2

    def interrupted(record: dict, left: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Done, "__init__", lambda self, *how: setattr(self, "runs", 1))
    with pytest.raises(KeyboardInterrupt):
        conduct(s, results, jobs=3, report=interrupted)
    assert len(read_records(results)) == 5


def test_results_of_another_study_or_version_are_told_apart(tmp_path: Path, data: Path) -> None:
    forget()
    s = study(tmp_path, data)
    job = Job("baseline", "tune", 100, 1.0, 0.5)
    about = {"study": s.name, **vars(job), "diverged_at": 2, "environment": {"gpt2": "0.0.7"}}
    with writing(tmp_path / "results.jsonl") as results:
        results.append({"key": job.key(s), **about})
        results.append({"key": "0" * 16, **about})
        with pytest.warns(Note) as notes:
            conduct_module._tell_others(s, results, ())
    assert [str(note.message).split(": ")[-1] for note in notes] == [
        "they stay there, and are not used.", "they count as they are.",
    ]  # fmt: skip
    assert "1 result in " in str(notes[0].message)
    assert "holds results of version 0.0.7" in str(notes[1].message)


def test_a_variant_sees_the_same_data_and_starts_from_the_same_values(tmp_path: Path, data: Path) -> None:
    text = STUDY.replace('variant = "no-mask"', 'variant = "unscaled-init"')
    s = study(tmp_path, data, text)
    seen = [run_job(s, Job(name, "report", 1)) for name in ("baseline", "no-mask")]
    assert seen[0]["at_start"]["activation_rms"][0] == seen[1]["at_start"]["activation_rms"][0]  # the embeddings
    assert seen[0]["at_start"]["activation_rms"][1] < seen[1]["at_start"]["activation_rms"][1]


def test_a_run_that_diverges_is_a_record_too(tmp_path: Path, data: Path) -> None:
    s = study(tmp_path, data, STUDY.replace("lr = 0.01", "lr = 1e30"))
    record = run_job(s, Job("baseline", "report", 0))
    assert record["diverged_at"] is not None
    assert "val_loss" not in record
    json.dumps(record, allow_nan=False)


MODEL = GPT2(GPT2Config(vocab_size=50, n_positions=40, n_embd=16, n_layer=2, n_head=2), seed=1).eval()
ROWS = torch.randint(0, 50, (11, 21), generator=torch.Generator().manual_seed(2))


def test_position_losses_are_the_mean_over_rows() -> None:
    reference = F.cross_entropy(MODEL(ROWS[:, :-1]).flatten(0, 1), ROWS[:, 1:].flatten(), reduction="none")
    losses = position_losses(MODEL, ROWS[:, :-1], ROWS[:, 1:])
    assert losses == pytest.approx(reference.view(11, 20).mean(dim=0).tolist(), rel=1e-5)
    assert in_context_score([9.0, 9, 3, 4, *[7.0] * 14, 1, 2]) == pytest.approx(1.5 - 3.5)


def test_stream_scales_against_autograd_on_a_residual() -> None:
    ids, targets = ROWS[:8, :-1], ROWS[:8, 1:]
    scales = stream_scales(MODEL, ids, targets)
    here = Pass().begin(MODEL, ids)
    stream = MODEL.embed(ids, here).detach().requires_grad_()
    MODEL.loss(MODEL.norm(MODEL.blocks(stream, here), here), targets, "mean", here).backward()
    assert scales["gradient_norm"][0] == pytest.approx(stream.grad.norm(dim=-1).mean().item(), rel=1e-4)
    assert scales["activation_rms"][0] == pytest.approx(stream.detach().square().mean().sqrt().item(), rel=1e-5)
    assert len(scales["activation_rms"]) == 3
    MODEL.zero_grad()


def test_induction_score_finds_a_head_that_attends_behind_the_first_occurrence() -> None:
    assert induction_score(MODEL) < 0.1
    n = 20  # half the context
    model = GPT2(replace(MODEL.config, n_head=1), seed=1).eval()
    with torch.no_grad():  # queries and keys are positions as angles: position i looks for i - n + 1
        for block in model.transformer.h:
            block.attn.c_proj.weight.zero_()
            block.mlp.c_proj.weight.zero_()
        model.transformer.wte.weight.zero_()
        angle = 2 * math.pi * torch.arange(40)[:, None] * torch.arange(1, 9) / 40
        model.transformer.wpe.weight.copy_(torch.cat((angle.cos(), angle.sin()), dim=1))
        turn = 2 * math.pi * (1 - n) * torch.arange(1, 9) / 40
        cos, sin = torch.diag(turn.cos()), torch.diag(turn.sin())
        queries, keys, _ = model.transformer.h[1].attn.c_attn.weight.split(16)
        queries.copy_(9 * torch.cat((torch.cat((cos, -sin), dim=1), torch.cat((sin, cos), dim=1))))
        keys.copy_(9 * torch.eye(16))
    assert induction_score(model) > 0.9


def test_dead_neurons_counts_inputs_that_never_rise() -> None:
    model = GPT2(MODEL.config, seed=1).eval()
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.bias[:16] = -1e3  # 16 of 2 * 64
    assert dead_neurons(model, ROWS[:, :-1]) == pytest.approx(16 / 128)
    assert dead_neurons(build(MODEL.config, {"name": "no-mlp"}), ROWS[:, :-1]) is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('variant = "no-mask"', 'variant = "nomask"', "choose among"),
        ('expect = ">= 0"', 'expect = "more"', "is not '>= NUMBER'"),
        ("n_embd = 32", "n_embed = 32", "did you mean model.n_embd"),
        ("tune_seeds = [100]", "tune_seeds = [1]", "stands both in seeds and in tune_seeds"),
        ("budgets = [0.5]", "tune_rates = [1.0]", "at least three"),
        ("budgets = [0.5]", "budget = [0.5]", "budget"),
        ("budgets = [0.5]", "budgets = [0.0]", "budgets holds 0.0: it must be above 0"),
        ("budgets = [0.5]", "tune_rates = [-1, 0, 1]", "tune_rates holds -1: it must be above 0"),
        ("budgets = [0.5]", "tune_windows = 1.0", "tune_windows is 1.0: it must be above 0 and below 1, since"),
        ("budgets = [0.5]", "tune_windows = nan", "tune_windows is nan: it must be above 0"),
        ("budgets = [0.5]", 'variants = "a\\u0000.py"', "variants is .*: name a Python file"),
        ("[contestants.wide]", f"[contestants.{'w' * 200}]", "write a name of at most 100 characters"),
        ("budgets = [0.5]", "tune_share = 1.5", "tune_share is 1.5: it must be above 0, and at most 1"),
        ("seeds = [0, 1, 2]", "seeds = []", r"seeds is \[\]: name at least one seed"),
        ("exploratory = 1", "exploratory = -1", "exploratory is -1: it must be at least 0"),
        ("[contestants.wide]", "[contestants.wide]\nagainst = 'nobody'", "not a contestant"),
        ("[contestants.wide]", "[contestants.wide]\ncolour = 1", "has no 'colour'"),
    ],
)
def test_a_wrong_study_is_refused_with_its_entry(old: str, new: str, says: str, tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match=says):
        study(tmp_path, data, STUDY.replace(old, new))
    with pytest.raises(UsageError, match="there is no study"):
        load_study(tmp_path / "nothing.toml")
