"""The report of a study says what was planted in its records, counts what diverged, and names what is missing."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gpt2.ablation import variants
from gpt2.ablation.report import plots
from gpt2.ablation.report.contrasts import beside, diverged, exploratory, nulls, primary
from gpt2.ablation.report.document import Commands, document, write_report
from gpt2.ablation.report.findings import Findings
from gpt2.ablation.report.markdown import chance, expectation, interval, signed, table
from gpt2.ablation.statistics import Difference, holm, paired
from gpt2.ablation.study import Job, load_study
from gpt2.ablation.switched_off import read_switched_off, write_switched_off
from gpt2.cli.main import main
from tests.ablation_records import BASE, EFFECTS, NOISE, STUDY, planted, records, study
from tests.docs.test_docs import broken_links

ROOT = Path(__file__).parents[2]
COMMANDS = Commands("gpt2 ablate made.toml", "gpt2 ablate off made.toml", "gpt2 ablate report made.toml")
OFF = {
    "study": "made", "tokens": 96, "tokens_of_means": 32, "losses": {"0": 3.0, "1": 3.1},
    "off": [{"title": "position vectors", "variant": "no-positions", "kind": "mean", "addresses": "embed.pos",
             "losses": {"0": 3.7, "1": 3.9}}],
}  # fmt: skip


def unfolded(text: str) -> str:
    """The text as one line."""
    return " ".join(text.split())


def row(text: str, first: str) -> list[str]:
    """The cells of the only table row that begins with these words."""
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_planted_differences_are_found_with_their_verdicts(tmp_path: Path) -> None:
    s = study(tmp_path)
    found = Findings(s, records(s))
    by_name = {c.contestant.name: c for c in found.contrasts}
    assert {name: c.verdict for name, c in by_name.items()} == {
        "no-positions": "hit", "no-residuals": "miss", "no-mask": "hit", "wide": "undecided", "dropout": "hit",
    }  # fmt: skip
    assert not any(c.partial for c in found.contrasts)
    first = paired([0.3 + n for n in NOISE], [0.0] * 4, family=2)
    assert vars(by_name["no-positions"].difference) == pytest.approx(vars(first))  # simultaneous over two
    assert vars(by_name["wide"].difference) == pytest.approx(vars(paired(NOISE[:3], [0.0] * 3)))  # three seeds, plain
    p = [paired([EFFECTS[n] + x for x in NOISE], [0.0] * 4).p for n in ("no-positions", "no-residuals")]
    assert [c.adjusted for c in found.primary] == pytest.approx(holm(p))
    assert by_name["no-positions"].tokens == "the plain model reaches this loss with 0.59 of the tokens"  # 2^(-3/4)
    assert by_name["no-mask"].tokens == ""  # its loss measures copying


def test_the_tables_show_what_was_found(tmp_path: Path) -> None:
    s = study(tmp_path)
    found = Findings(s, records(s))
    text = primary(found, None)
    assert "**1 hit, 1 missed, 0 undecided**" in text
    assert row(text, "no positions")[:5] == ["no positions", "GPT-2", "4", "+0.3000", "+0.2816 to +0.3184"]
    assert row(text, "no positions")[6:] == ["at least 0.1", "**hit**", "–"]
    assert "with 0.59 of the tokens" in unfolded(text)
    assert row(exploratory(found, None), "no mask")[2:5] == ["3", "−1.9987", "−2.0242 to −1.9732"]
    assert "- **wide**: +0.0013, −0.0242 to +0.0268." in nulls(found)
    assert "no positions" not in nulls(found)


def test_who_is_compared_with_another_stands_beside_the_baseline_too(tmp_path: Path) -> None:
    further = '[contestants.paired]\nvariant = "no-mask"\nagainst = "no-positions"\nexpect = ">= 0.0"\n'
    s = study(tmp_path, STUDY + further)

    def loss(job: Job) -> float | None:
        return planted(replace(job, contestant="wide") if job.contestant == "paired" else job)

    found = Findings(s, records(s, loss))
    (made,) = found.beside  # dropout reads another text, all others are compared with the baseline anyway
    assert made.contestant.name == "paired"
    assert made.difference is not None
    assert vars(made.difference) == pytest.approx(vars(paired(NOISE[:3], [0.0] * 3)))
    p = [1.0 if c.difference is None else c.difference.p for c in (made, *found.contrasts)]
    assert made.adjusted == pytest.approx(holm(p)[0])
    assert row(beside(found), "paired")[-1] == "1 of 3"  # the noise is below 0 in one of three seeds
    assert beside(Findings(study(tmp_path), {})) == ""


def test_switched_off_has_a_column_of_its_own(tmp_path: Path) -> None:
    s = study(tmp_path)
    write_switched_off(OFF, tmp_path / "off.json")
    off = read_switched_off(tmp_path / "off.json")
    found = Findings(s, records(s))
    assert row(primary(found, off), "no positions")[-1] == "+0.7500 (+0.1147 to +1.3853)"
    assert row(primary(found, off), "no positions")[3] == "+0.3000"
    assert row(primary(found, off), "no residuals")[-1] == "no counterpart"
    assert row(exploratory(found, off), "wide")[-1] == "no counterpart"


def test_a_run_that_diverged_is_counted_and_in_no_mean(tmp_path: Path) -> None:
    s = study(tmp_path)

    def lost(job: Job) -> float | None:
        one = (job.contestant, job.purpose, job.seed) == ("no-positions", "report", 0)
        return None if one else planted(job)

    found = Findings(s, records(s, lost))
    contrast = found.primary[0]
    assert contrast.difference is not None
    assert contrast.difference.pairs == 3
    assert contrast.difference.mean == pytest.approx(0.3 + sum(NOISE[1:]) / 3)
    assert "- **no positions**: 1 of 4 runs." in diverged(found)
    text = primary(found, None)
    assert row(text, "no positions")[2] == "3 of 4"
    assert "1 of 4 runs of no positions diverged: the interval is over the others." in text
    every = Findings(s, records(s, lambda job: None if job.contestant == "no-residuals" else planted(job)))
    assert every.primary[1].difference is None
    assert every.primary[1].adjusted == 1.0
    assert row(primary(every, None), "no residuals")[7] == "all runs diverged"
    assert "- **no residuals**: 4 of 4 runs." in diverged(every)
    assert "7 runs diverged" in diverged(every)  # its search: three rates, then four below them


def test_a_partial_file_names_what_is_missing(tmp_path: Path) -> None:
    s = study(tmp_path)
    whole = records(s)
    search = Job("wide", "tune", 100, 0.5, s.tune_share).key(s)
    gone = {Job("no-positions", "report", seed).key(s) for seed in (2, 3)} | {search}
    found = Findings(s, {key: r for key, r in whole.items() if key not in gone})
    text = document(found, COMMANDS, home=tmp_path)
    assert f"{len(whole) - 3 - 3} runs are done, at least 3 are missing" in text  # without its search wide has no rate
    assert "- **no positions**: 2 of 4 seeds." in text
    assert "- Learning rate still being searched, so no run to report: wide." in text
    assert row(primary(found, None), "no positions")[7] == "**undecided** so far"  # two seeds
    assert row(exploratory(found, None), "wide")[3:7] == ["–", "–", "at most −0.01", "no result yet"]
    assert "missing" not in document(Findings(s, whole), COMMANDS, home=tmp_path)


def test_every_prefix_of_a_results_file_makes_a_report(tmp_path: Path) -> None:
    s = study(tmp_path)
    whole = list(records(s).items())
    for count in (1, 3, 18, 20, 25, len(whole) - 1):
        assert "## Limits" in document(Findings(s, dict(whole[:count])), COMMANDS, home=tmp_path)


def test_records_of_another_study_are_not_counted(tmp_path: Path) -> None:
    s = study(tmp_path)
    (tmp_path / "other").mkdir()
    other = study(tmp_path / "other", (tmp_path / "made.toml").read_text().replace("steps = 4", "steps = 8"))
    both = {**records(s), **records(other)}
    assert len(Findings(s, both).used) == len(records(s))


def test_the_document_and_its_pictures(tmp_path: Path) -> None:
    s = study(tmp_path)
    found = Findings(s, records(s))
    written = write_report(found, tmp_path / "docs" / "report.md", COMMANDS)
    text = written[0].read_text()
    assert [p.name for p in written] == ["report.md", *(f"{name}.png" for name in plots.PLOTS)]
    assert broken_links(written[0]) == []
    assert text.isascii() or not re.search(r"[ \t]+\n\n\n", text)
    assert "gpt2 prepare some.txt --out data/some" in text  # the study file's own commands
    assert inspect.getsource(variants.NoPositions).strip() in text
    assert "```python" not in text  # excerpts, which no test should run
    assert "| no positions | 4 | 3.375 | 4.375 | 5.375 | 6.375 |" in text
    assert "| repeated | 0.1 | 3 | 3.1000 | 3.1513 | +0.0513 |" in text
    assert "Guessing every token with the same probability has a loss of 3.87: this one lies above it." in unfolded(
        text
    )
    for name, make in plots.PLOTS.items():
        figure = make(found)
        assert figure is not None
        picture = Image.open(tmp_path / "docs" / "images" / "ablation" / "made" / f"{name}.png")
        assert picture.text[plots.DIGEST] == plots.digest(figure)


def test_a_picture_of_other_numbers_has_another_digest(tmp_path: Path) -> None:
    s = study(tmp_path)

    def changed(job: Job) -> float:
        return planted(job) + 1e-3 * (job.contestant == "wide")

    first, second = (plots.contrasts(Findings(s, records(s, loss))) for loss in (planted, changed))
    assert first is not None
    assert second is not None
    assert plots.digest(first) != plots.digest(second)


def test_scales_side_by_side(tmp_path: Path) -> None:
    s = study(tmp_path)
    (tmp_path / "large").mkdir()
    (tmp_path / "none").mkdir()
    large, none = study(tmp_path / "large"), study(tmp_path / "none")

    def weaker(job: Job) -> float:
        return planted(job) - 0.25 * (job.contestant == "no-positions" and job.purpose == "report")

    others = [Findings(large, records(large, weaker)), Findings(none, {})]
    text = document(Findings(s, records(s)), COMMANDS, None, others, tmp_path)
    part = text.split("## At another scale")[1]
    want = ["+0.300 (+0.282 to +0.318)", "**hit**", "+0.050 (+0.032 to +0.068)", "**miss**", "–", "no result yet"]
    assert row(part, "no positions")[1:] == want


def test_numbers_as_they_are_written() -> None:
    assert [signed(x) for x in (0.12344, -0.1, 1e-5, -1e-5, None)] == ["+0.1234", "−0.1000", "0.0000", "0.0000", "–"]
    assert interval(Difference(1.0, float("-inf"), float("inf"), 1.0, 1)) == "one seed: none"
    assert [chance(p) for p in (1e-9, 0.0123, 0.5, 1.0, None)] == ["< 0.0001", "0.0123", "0.50", "1.00", "–"]
    read = [expectation(e) for e in (">= 0.1", "<= -0.2", "within 0.02")]
    assert read == ["at least 0.1", "at most −0.2", "within 0.02"]
    assert table(["a", ">b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"
    assert BASE == 3.0


@pytest.mark.parametrize("name", ["gpu", "gpu-small"])
def test_the_larger_studies_ask_the_same_questions(name: str) -> None:
    minute, larger = (load_study(ROOT / "recipes" / "ablation" / f"{n}.toml") for n in ("minute", name))
    asked = [{c.name.removesuffix("-12") for c in one.primary} for one in (minute, larger)]
    assert asked[0] == asked[1]
    assert len(larger.primary) == 8
    assert all(larger.recipe(c).train.dtype == "bfloat16" for c in larger.contestants)


@pytest.mark.parametrize("name", ["ablation_study", "ablation_study_gpu"])
def test_a_committed_report_is_what_its_command_writes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Change the results, the code of a variant or the report's own words, and it must be written again."""
    committed = ROOT / "docs" / f"{name}.md"
    command = re.search(r"^gpt2 (ablate report .*)$", committed.read_text("utf-8"), re.MULTILINE)
    assert command is not None
    for folder in ("recipes", "results"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    assert main(command[1].split()) == 0
    assert (tmp_path / "docs" / f"{name}.md").read_text("utf-8") == committed.read_text("utf-8")
    shown = re.findall(r"^!\[.*\]\((.*\.png)\)$", committed.read_text("utf-8"), re.MULTILINE)
    assert sorted(shown) == sorted(str(p.relative_to(tmp_path / "docs")) for p in tmp_path.glob("docs/images/**/*.png"))
    for path in shown:
        made, kept = (Image.open(root / "docs" / path).text[plots.DIGEST] for root in (tmp_path, ROOT))
        assert made == kept, path
