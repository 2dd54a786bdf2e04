"""The studies' reports, computed again by code that shares nothing with what wrote them, and a fault that it finds."""

import pytest

from scripts import recheck_study
from tests.docs.test_readme import ROOT


@pytest.mark.parametrize(
    "report, results, least",
    [("ablation_study", "minute", 900), ("ablation_study_gpu", "gpu", 200), ("ablation_study_evening", "evening", 500)],
)
def test_a_second_computation_agrees(monkeypatch, capsys, report, results, least):
    monkeypatch.chdir(ROOT)
    assert recheck_study.check_report(recheck_study.DOCS / f"{report}.md", recheck_study.RESULTS / f"{results}.jsonl")
    counts = capsys.readouterr().out.splitlines()[-1]
    assert int(counts.split(": ")[1].split()[0]) > least  # figures compared: not an empty pass
    assert counts.endswith(" 0 differ")


def test_a_planted_fault_is_found(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "ablation_study_gpu.md").read_text("utf-8")
    assert "+0.4512 | +0.4395 to +0.4630" in text
    wrong = tmp_path / "wrong.md"
    wrong.write_text(text.replace("+0.4512 | +0.4395 to +0.4630", "+0.4512 | +0.4395 to +0.4631"), "utf-8")
    assert not recheck_study.check_report(wrong, recheck_study.RESULTS / "gpu.jsonl")
    said = capsys.readouterr().out
    assert "Primary contrasts, no attention, interval: printed '+0.4631'" in said
    assert said.splitlines()[-1].endswith(" 1 differ")


def test_the_power_table_of_the_second_edition_agrees(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    search, minute = (recheck_study.RESULTS / f"{name}.jsonl" for name in ("evening-search", "minute"))
    assert recheck_study.check_power(recheck_study.DOCS / "ablation_evening.md", search, minute)
    assert " 0 differ" in capsys.readouterr().out
