"""Blocks, budgets, trials and hours of a study, on made-up records; power and crossings against scipy."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gpt2.ablation import blocks as blocks_module
from gpt2.ablation.blocks import blocks, check_place, spent
from gpt2.ablation.conduct import due, tuning
from gpt2.ablation.report import against_budget
from gpt2.ablation.report import blocks as blocks_report
from gpt2.ablation.report.document import Commands, document
from gpt2.ablation.report.findings import Findings
from gpt2.ablation.statistics import detectable, holm, paired
from gpt2.ablation.study import Job, Study, load_study
from gpt2.base.errors import UsageError
from tests.ablation_records import record

NAMES = [f"primary-{n}" for n in range(8)]
STUDY = """
[study]
seeds = [0, 1, 2, 3, 4]
exploratory = 2
tune_seeds = [100]
tune_trials = 5
budgets = []
branches = [0.25, 0.5]
blocks = true
[baseline]
model = { n_layer = 2, n_head = 2, n_embd = 16, n_positions = 16 }
data = { train = ["data/some"], val = ["data/val"] }
optim = { lr = 0.01, warmup_steps = 1, schedule = "wsd" }
train = { steps = 8, batch_size = 2, compile = false, dtype = "float32" }
""" + "".join(
    f'[contestants.{name}]\nset.optim.eps = 1e-{7 - n}\nkind = "primary"\nexpect = ">= 0"\n'
    for n, name in enumerate(NAMES)
) + """
[contestants.late]
set.model.n_embd = 64
expect = ">= 0"
[contestants.other-data]
set.data.train = ["data/mix"]
rate_of = "baseline"
seeds = 1
expect = ">= 0"
"""  # fmt: skip
RNG = np.random.default_rng(5)
EFFECTS = {0.25: -0.2, 0.5: 0.0, 1.0: 0.2}  # of the first one: it crosses
DRAWN = {name: RNG.normal(0.05 * n * (-1) ** n, 0.03, 5) for n, name in enumerate(NAMES)}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "made.toml").write_text(STUDY)
    return load_study(tmp_path / "made.toml")


def loss(job: Job, share: float = 1.0) -> float:
    """3 at the end, more before; a seed's own part; what was drawn for a primary contestant, the first one crossing."""
    if job.purpose == "tune":
        return abs(math.log2(job.rate) - 0.2)
    effect = DRAWN[job.contestant][job.seed] if job.contestant in DRAWN else 0.0
    crossing = EFFECTS[share] if job.contestant == NAMES[0] else 0.0
    return float(3 + 0.1 * job.seed - math.log2(share) + effect + crossing)


def made(study: Study, job: Job) -> dict[str, Any]:
    found = record(study, job, loss(job))
    if study.branches_of(job.contestant) and job.purpose == "report":
        use = {"use": 0.4, "full": 2.6, "short": 3.0, "error": 0.01}
        found["branches"] = [
            {"share": s, "steps": round(8 * s), "tokens": round(256 * s), "val_loss": loss(job, s), "context_use": use}
            for s in study.branches
        ]
        found["context_use"] = use
    return found


def everything(study: Study) -> dict[str, dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    while jobs := due(study, records):
        records |= {job.key(study): made(study, job) for job in jobs}
    return records


def test_every_search_has_as_many_trials_and_its_best_lies_at_no_end(study: Study) -> None:
    records = everything(study)
    search = tuning(study, "late", records)
    assert list(search.losses) == [0.5, 1.0, 1.189207, 1.414214, 2.0]  # between the best and the better neighbour
    assert search.rate == 1.189207
    assert tuning(study, "other-data", records).rate == search.rate
    tuned = [r["contestant"] for r in records.values() if r["purpose"] == "tune"]
    assert {name: tuned.count(name) for name in study.contestants} == {
        name: 5 * (name != "other-data") for name in study.contestants
    }


def test_blocks_come_seed_by_seed_and_the_others_in_the_order_of_the_file(study: Study) -> None:
    records: dict[str, dict[str, Any]] = {}
    order = []
    while jobs := due(study, records):
        order.append(jobs[0])
        records[jobs[0].key(study)] = made(study, jobs[0])
    reports = [(job.seed, job.contestant) for job in order if job.purpose == "report"]
    assert reports[:9] == [(0, name) for name in ("baseline", *NAMES)]
    assert reports[45:] == [(0, "late"), (1, "late"), (0, "other-data")]
    assert order[-3].contestant == "late"
    assert [job.purpose for job in order if job.contestant == "late"] == ["tune"] * 5 + ["report"] * 2


def test_the_primary_contrasts_are_scipys_with_holm_over_all_eight(study: Study) -> None:
    found = Findings(study, everything(study))
    p = [float(stats.ttest_1samp(DRAWN[name] + EFFECTS[1.0] * (name == NAMES[0]), 0).pvalue) for name in NAMES]
    assert [c.difference.p for c in found.primary if c.difference] == pytest.approx(p)
    adjusted = [min(1, max((8 - rank) * q for rank, q in enumerate(sorted(p)) if q <= one)) for one in p]
    assert [c.adjusted for c in found.primary] == pytest.approx(adjusted)
    assert [c.adjusted for c in found.primary] == pytest.approx(holm(p))


def test_differences_against_budget_and_a_crossing(study: Study) -> None:
    found = Findings(study, everything(study))
    first = against_budget.points(found.primary[0])
    assert [(p.share, p.tokens) for p in first] == [(0.25, 64), (0.5, 128), (1.0, 256)]
    for point in first:
        values = DRAWN[NAMES[0]] + EFFECTS[point.share]
        interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (point.difference.low, point.difference.high) == pytest.approx((interval.low, interval.high))
        assert list(point.each.values()) == pytest.approx(list(values))
    assert [(a.share, b.share) for a, b in against_budget.crossings(first)] == [(0.25, 1.0)]
    assert against_budget.crossings(against_budget.points(found.primary[1])) == []
    text = against_budget.against_budget(found)
    assert "- **primary 0**: " in text
    assert "at 0.25 of the budget" in text
    assert "| 0.25 | 5 | 5.2000 (5.0037 to 5.3963) | 0.4000 (0.4000 to 0.4000) |" in text
    figure = against_budget.plot(found)
    assert figure is not None
    assert sum(axes.get_visible() for axes in figure.axes) == 8
    whole = document(found, Commands("", "", ""))
    assert "## Loss against budget" in whole
    assert "## Blocks" in whole


def test_a_branch_that_diverged_is_left_out(study: Study) -> None:
    records = everything(study)
    one = next(r for r in records.values() if (r["contestant"], r["seed"], r["purpose"]) == (NAMES[0], 2, "report"))
    one["branches"][0]["val_loss"] = None
    first = against_budget.points(Findings(study, records).primary[0])
    assert [p.difference.pairs for p in first] == [4, 5, 5]


def test_blocks_say_where_they_ran_and_none_is_mixed(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    records = everything(study)
    found = blocks(study, records.values())
    assert [(b.seed, b.primary, len(b.ran), b.one_place) for b in found] == [
        (0, 9, 11, True), (1, 9, 10, True), (2, 9, 9, True), (3, 9, 9, True), (4, 9, 9, True),
    ]  # fmt: skip
    assert found[2].hours == pytest.approx(9 * 36 / 3600)
    assert spent(study, records) == pytest.approx(len(records) * 36 / 3600)
    gone = Job(NAMES[3], "report", 2, 1.189207)
    partial = {key: r for key, r in records.items() if key != gone.key(study)}
    here = {"commit": "0123456789abcdef", "uncommitted_changes": False}
    monkeypatch.setattr(blocks_module, "processor", lambda: "a processor")
    monkeypatch.setattr(blocks_module, "commit", lambda: here)
    check_place(study, partial, due(study, partial))
    monkeypatch.setattr(blocks_module, "commit", lambda: here | {"commit": "fedcba"})
    with pytest.raises(UsageError, match="the block of seed 2 was begun at commit 0123456789 on a processor"):
        check_place(study, partial, due(study, partial))
    monkeypatch.setattr(blocks_module, "commit", lambda: here | {"uncommitted_changes": True})
    with pytest.raises(UsageError, match="commit them first"):
        check_place(study, partial, due(study, partial))
    one = next(r for r in records.values() if (r["seed"], r["purpose"]) == (3, "report"))
    one["environment"] = one["environment"] | {"commit": "fedcba"}
    text = blocks_report.shown(Findings(study, records))
    assert "were not at one place, so a difference within them may have another cause: 3." in text
    each = DRAWN[NAMES[1]]
    spread = float(np.std(each, ddof=1))
    assert f"| {spread:.4f} | {detectable(spread, 5, family=8):.4f} |" in text


def test_the_smallest_effect_is_found_with_the_power_that_it_promises() -> None:
    for pairs, family in [(5, 8), (8, 8), (5, 1)]:
        effect = detectable(0.02, pairs, family=family)
        rng = np.random.default_rng(pairs)
        drawn = rng.normal(effect, 0.02, (20000, pairs))
        p = stats.ttest_1samp(drawn, 0, axis=1).pvalue
        assert np.mean(p < 0.05 / family) == pytest.approx(0.8, abs=0.015)
    assert detectable(0.02, 1) == math.inf
    assert paired([1.0], [0.0]).high == math.inf
