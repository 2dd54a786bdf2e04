"""The rendered guides are current: texts and verdicts are what the repository gives now (figures: test_teaching.py).

`python -m scripts.guides` renders them anew, `--text` from what was measured before: for a change of prose, code,
ledger or study results. What was measured is held by test_guides_numbers.py.
"""

import json
import re
from pathlib import Path

import pytest

from gpt2.ablation.study import Job, load_study
from gpt2.base.presets import PRESETS
from scripts.guides import check_ledger, render, sizes
from scripts.guides.ledger import Ledger, LedgerError, judged
from scripts.guides.render import DOCUMENTS, LEDGER, LINES, MEASURED, Renderer
from scripts.guides.study import Evidence, Findings, adjusted, of_all
from scripts.guides.verdicts import of_difference
from tests.docs.test_readme import ROOT

STUDY = ROOT / "recipes" / "ablation" / "minute.toml"
DEEP = ROOT / "recipes" / "ablation" / "gpu.toml"
KEPT = json.loads(MEASURED.read_text("utf-8"))


@pytest.fixture(scope="module")
def rendered():
    renderer = Renderer(KEPT["numbers"], dict(KEPT["outputs"]))
    return renderer, {name: renderer.document(name) for name in DOCUMENTS}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_guide_is_what_renders_now(rendered, name):
    want, got = (ROOT / "docs" / name).read_text("utf-8").splitlines(), rendered[1][name].splitlines()
    different = [(a, b) for a, b in zip(want, got) if a != b]
    assert not different, f"docs/{name} is stale (python -m scripts.guides --text): {different[0]}"
    assert len(want) == len(got)


def test_every_recorded_output_is_shown(rendered):
    assert set(rendered[0].used) == set(KEPT["outputs"])


# The ledger


def test_a_claim_that_does_not_exist_cannot_be_cited(rendered):
    with pytest.raises(LedgerError, match="no claim 'T99'"):
        rendered[0].fill('{{ claim("T99") }}')


def test_citing_counts_what_is_cited():
    renderer = Renderer(KEPT["numbers"], dict(KEPT["outputs"]))
    assert re.fullmatch(r"\(T7, (holds|fails)\)", renderer.fill('{{ claim("T7") }}'))
    assert renderer.book.cited == {"T7"}


def book(tmp_path: Path, entry: str) -> Ledger:
    path = tmp_path / "claims.toml"
    path.write_text(f'[sections]\nT = "Tokens"\n[[claim]]\n{entry}\n')
    return Ledger(path)


@pytest.mark.parametrize(
    "entry, message",
    [
        ('id = "T1"\nsays = "s"\nmeasure = "m"', "T1 needs one of"),
        ('id = "T1"\nsays = "s"\nmeasure = "m"\nverdict = "undecided"\ntest = "true"', "T1 needs one of"),
        ('id = "T1"\nsays = "s"\ncontestant = "relu"', "T1 needs one of"),
        ('id = "T1"\nsays = "s"\ncontestant = "relu"\nimplies = "larger"', "T1 implies 'larger'"),
        ('id = "T1"\nsays = "s"\nmeasure = "m"\nverdict = "holds"', "'holds' is not illustration or undecided"),
        ('id = "T1"\nsays = "s"\nverdict = "undecided"', "what was measured"),
        ('id = "T1"\nsays = "s"\nmeasure = "m"\nverdit = "undecided"', "T1: .*verdit"),
        ('id = "T1"\nsays = "s"\nmeasure = "m"\nverdict = "undecided"\nshows = "x"', "no command"),
        ('id = "T1"\nsays = "s"\nmeasure = "m"\ntest = "x > 1"', "T1 needs a rule in words"),
        ('id = "T1"\nsays = "s"\nmeasure = "m"\ncases = "x"', "T1 needs a rule in words"),
        ('id = "X1"\nsays = "s"\nmeasure = "m"\nverdict = "undecided"', "no section 'X'"),
        ('id = "first"\nsays = "s"\nmeasure = "m"\nverdict = "undecided"', "no id"),
        ('id = "T1"\nsays = "s"\nmeasure = "m"\nverdict = "undecided"\n[[claim]]\nid = "T1"\nsays = "s"\nmeasure = "m"'
         '\nverdict = "undecided"', "stands twice"),
    ],
)  # fmt: skip
def test_a_wrong_ledger_is_refused(tmp_path, entry, message):
    with pytest.raises(LedgerError, match=message):
        book(tmp_path, entry)


@pytest.mark.parametrize("value, verdict", [(True, "holds"), (False, "fails"), (None, "undecided")])
def test_a_test_gives_the_verdict(tmp_path, value, verdict):
    claim = book(tmp_path, 'id = "T1"\nsays = "s"\nmeasure = "m"\ntest = "x"\nexact = true').claims["T1"]
    assert judged(claim, lambda expression: value, Evidence([Findings(STUDY, tmp_path / "none.jsonl")])) == verdict


def test_every_statement_has_a_measurement_and_its_command():
    stated = check_ledger.stated((ROOT / "docs" / LEDGER).read_text("utf-8"))
    text = (ROOT / "docs" / LEDGER).read_text("utf-8")
    assert len(stated) == 122
    for id, (said, _) in stated.items():
        assert f"- `python -m scripts.guides.claim {id}`: " in text
        assert len(said.splitlines()[1]) > 20, id
    quoted = {line for _, pairs in stated.values() for _, line in pairs if line}
    assert quoted == set(json.loads(LINES.read_text("utf-8")).values())


@pytest.mark.parametrize(
    "id", ["T2", "N3", "N8", "N9", "P8", "P11", "R6", "R9", "R10", "M7", "M8", "D2", "D7", "D8", "D10", "D11", "A10"]
)
def test_the_command_of_a_statement_gives_what_the_ledger_says(id):
    """Cheap ones, from the weights and from results; scripts/guides/check_ledger.py runs them all."""
    assert list(check_ledger.differences([id], slow=False)) == []


def test_a_wrong_figure_in_the_ledger_is_found(tmp_path, monkeypatch):
    text = (ROOT / "docs" / LEDGER).read_text("utf-8")
    assert "`·the` is 262" in text
    (tmp_path / LEDGER).write_text(text.replace("`·the` is 262", "`·the` is 263"))
    monkeypatch.setattr(check_ledger, "DOCS", tmp_path)
    (found,) = check_ledger.differences(["T2"], slow=False)
    assert "`·the` is 263" in found
    assert "`·the` is 262" in found


@pytest.mark.parametrize(
    "want, got, verdict",
    [
        ("69% [67%, 72%]", "70% [67%, 71%]", True), ("69% of 12", "69% of 13", False), ("69%", "72%", False),
        ("0.41 nats", "0.42 nats", True), ("0.41 nats", "0.44 nats", False), ("about 4e-05", "about 6e-05", True),
        ("1,536 losses", "1,537 losses", False), ("holds", "fails", False), ("4 of 4", "4 of 4", True),
    ],
)  # fmt: skip
def test_texts_are_compared_up_to_rounding(want, got, verdict):
    assert check_ledger.agree(want, got) is verdict


def test_a_training_is_named_where_a_statement_rests_on_one(rendered):
    book, evidence = rendered[0].book.claims, rendered[0].evidence
    studies = {id: claim.studies(evidence) for id, claim in book.items()}
    assert studies["A1"] == ["minute", "gpu"]
    assert studies["D10"] == ["dropout"]
    assert "collapse" in studies["R10"]
    assert studies["D5"] == studies["T5"] == []
    assert [id for id in ("A1", "D10", "T5", "N1") if book[id].exploratory] == ["A1", "D10", "T5"]


def test_the_contrast_that_no_document_named_is_what_the_results_say():
    gpu = Findings(DEEP, ROOT / "results" / "ablation" / "gpu.jsonl")
    ours, theirs = ([r["val_loss"] for r in gpu.of(name)] for name in ("post-norm-no-warmup", "baseline"))
    each = [a - b for a, b in zip(ours, theirs, strict=True)]
    assert len(each) == 4
    assert max(each) < 0
    found = of_all([gpu])["gpu", "post-norm-no-warmup - baseline"]
    assert found.mean == pytest.approx(sum(each) / 4)
    assert (round(found.mean, 3), round(found.low, 3), round(found.high, 3)) == (-0.018, -0.030, -0.006)
    alone = adjusted([gpu], "gpu", "post-norm-no-warmup - baseline")
    both = adjusted([gpu, Findings(STUDY, ROOT / "results" / "ablation" / "minute.jsonl")], "gpu",
                    "post-norm-no-warmup - baseline")  # fmt: skip
    assert alone[0] < 0.05 < both[0]
    assert alone[1] < both[1]


def test_what_a_statement_is_judged_by_is_its_own_contrast():
    folder = ROOT / "results" / "ablation"
    evidence = Evidence([Findings(STUDY, folder / "minute.jsonl"), Findings(DEEP, folder / "gpu.jsonl")])
    (needed,) = evidence.crossed("post-norm-no-warmup", "post-norm", "no-warmup")  # gpu has no post-norm with warm-up
    assert (needed.where, len(needed.differences)) == ("minute", 5)
    assert needed.mean == pytest.approx(0.170, abs=0.001)
    assert evidence.broken("no-norm") == [("minute", 4.0), ("gpu", 2.0)]
    assert evidence.broken("no-attention") == []
    start, end = (evidence.reach("no-residuals-12", when) for when in ("at_start", "at_end"))
    assert len(start) == len(end) == 14
    assert max(end) < 1e-6 < min(start)
    control = evidence.beyond("sinusoidal-positions", "no-positions")
    assert control.low < 0 < control.high
    assert evidence.at_level("heads-1", 0.95).low == evidence.first.setting("heads-1").low
    assert evidence.at_level("heads-1", 0.99375).low < 0.02 < evidence.at_level("heads-1", 0.95).low


# The study


def results(tmp_path: Path, contestant: str, change: float, seeds: int, file=STUDY, **fields: object) -> Findings:
    """A results file in which `contestant` differs from the baseline by about `change` in every seed."""
    study = load_study(file)
    lines = []
    for seed in range(seeds):
        for name, loss in (("baseline", 3.0 + seed / 10), (contestant, 3.0 + seed / 10 + change + seed / 1e5)):
            job = Job(name, "report", seed, 1.0)
            own = fields if name == contestant else {}
            record = {"key": job.key(study), "study": study.name, "contestant": name, "purpose": "report",
                      "seed": seed, "rate": 1.0, "share": 1.0,
                      "val_loss": loss, "diverged_at": None, **own}  # fmt: skip
            lines.append(json.dumps(record))
    path = tmp_path / f"{study.name}.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return Findings(file, path)


def test_what_was_not_run_says_so(tmp_path):
    findings = Findings(STUDY, tmp_path / "none.jsonl")
    assert str(findings.contrast("no-mlp")) == "not run yet"
    assert findings.setting("no-mlp") is None
    assert Evidence([findings]).verdict("no-mlp", "higher") == "undecided"
    assert findings.mean("baseline", "val_loss") is None
    assert not findings.complete
    with pytest.raises(KeyError):
        findings.contrast("no-such")


def test_a_complete_contrast_gives_a_verdict(tmp_path):
    findings = results(tmp_path, "no-mlp", 0.2, 10)
    setting = findings.setting("no-mlp")
    assert of_difference(setting, "higher") == "holds"
    assert of_difference(setting, "lower") == "fails"
    assert len(setting.differences) == 10
    assert findings.expected("no-mlp") == "expected at least 0.05: hit"
    assert str(findings.contrast("no-mlp")).startswith("+0.200 [+0.200, +0.200] (minute, 10 seeds, 99.375%)")


def test_a_partial_contrast_is_shown_and_undecided(tmp_path):
    findings = results(tmp_path, "no-mlp", 0.2, 4)
    assert "4 of 10 seeds so far" in str(findings.contrast("no-mlp"))
    assert Evidence([findings]).verdict("no-mlp", "higher") == "undecided"


def test_diverged_runs_are_counted_and_not_averaged(tmp_path):
    findings = results(tmp_path, "no-norm", 0.2, 10, diverged_at=7, val_loss=None)
    assert str(findings.contrast("no-norm")) == "10 of 10 runs diverged"


def test_results_of_another_study_file_do_not_count(tmp_path):
    findings = results(tmp_path, "no-mlp", 0.2, 10, key="0123456789abcdef")
    assert str(findings.contrast("no-mlp")) == "not run yet"


def test_studies_that_disagree_say_on_what_it_depends(tmp_path):
    small, nothing = results(tmp_path, "no-mlp", 0.2, 10), Findings(DEEP, tmp_path / "none.jsonl")
    assert Evidence([small, nothing]).verdict("no-mlp", "higher") == "holds"
    both = Evidence([small, results(tmp_path, "no-mlp", -0.2, 4, DEEP)])
    assert both.verdict("no-mlp", "higher") == "depends"
    assert both.by_study("no-mlp", "higher").startswith(
        "minute: holds (the study expected at least 0.05: hit); gpu: fa"
    )


def test_a_deep_baseline_answers_for_the_deep_contestants_of_a_shallow_study(tmp_path):
    deep = results(tmp_path, "no-residuals", 2.0, 4, DEEP, at_end={"gradient_norm": [1.0, 2.0]})
    both = Evidence([Findings(STUDY, tmp_path / "none.jsonl"), deep])
    assert [there for f, there in both.of("no-residuals-12") if f is deep] == ["no-residuals"]
    assert [there for f, there in both.of("no-residuals") if f is deep] == []
    assert "(gpu, 4 seeds, 99.375%)" in both.contrast("no-residuals-12")
    assert both.deep("no-residuals-12", "at_end", "gradient_norm") == [1.0, 2.0]
    assert [there for f, there in both.of("plain-12") if f is deep] == ["baseline"]


def test_the_guides_render_while_the_study_runs(tmp_path):
    renderer = Renderer(KEPT["numbers"], dict(KEPT["outputs"]), results=tmp_path)
    text = " ".join(renderer.document("component_functions.md").split())
    assert "The study is not complete" in text
    assert "not run yet" in text


def test_the_guides_render_when_the_study_is_complete(tmp_path):
    for file in (STUDY, DEEP):
        study = load_study(file)
        lines = []
        for k, name in enumerate(study.contestants):
            scales = {"activation_rms": [0.1, 1.0], "gradient_norm": [0.2, 0.1]}
            for seed in study.seeds_of(name):
                job = Job(name, "report", seed, 1.0)
                record = {"key": job.key(study), "study": study.name, "contestant": name, "purpose": "report",
                      "seed": seed, "rate": 1.0, "share": 1.0,
                          "diverged_at": None, "val_loss": 3 + k / 9 + seed / 99, "train_loss": 2.0, "at_end": scales,
                          "val_loss_with_mask": 9.0, "longer_losses": [3.0, 3.1, 3.2, 3.3]}  # fmt: skip
                lines.append(json.dumps(record))
        (tmp_path / f"{study.name}.jsonl").write_text("\n".join(lines) + "\n")
    renderer = Renderer(KEPT["numbers"], dict(KEPT["outputs"]), results=tmp_path)
    for name in DOCUMENTS:
        text = " ".join(renderer.document(name).split())
        assert "not run yet" not in text.replace("“not run yet”", "")
        assert "is not complete:" not in text
    assert renderer.judge(renderer.book.claims["A16"]) == "holds"
    assert renderer.judge(renderer.book.claims["P11"]) == "undecided"  # the control rises as much


# The pieces


def test_a_part_of_an_output_is_cut_and_marked():
    lines = ["a", "b start", "c", "", "d end", "e"]
    assert render.cut(lines, "start", "end") == ["...", "b start", "c", "..."]
    assert render.cut(lines, "", "end") == ["a", "b start", "c", "..."]
    with pytest.raises(ValueError, match="'nowhere'"):
        render.cut(lines, "nowhere", "")


def test_code_is_the_source():
    text = render.code("gpt2.block.MLP.forward")
    assert "[gpt2/block.py](../gpt2/block.py), `MLP.forward`" in text
    assert "self.activation(pre)" in text
    with pytest.raises(ValueError, match=r"no gpt2\.block\.NLP"):
        render.code("gpt2.block.NLP")


def test_sizes_are_the_published_ones():
    totals = [int(row.split("|")[-2].replace(",", "")) for row in sizes.parameters().splitlines()[2:]]
    assert totals[:4] == [124_439_808, 354_823_168, 774_030_080, 1_557_611_200]
    assert "38,597,376" in sizes.weights(PRESETS["gpt2"])
    assert sizes.cache_bytes(PRESETS["gpt2"]) == 12 * 2 * 768 * 2
