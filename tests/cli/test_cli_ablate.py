"""`gpt2 ablate`: the study of this repository can be planned, reported and switched off; wrong options are refused."""

import json
from pathlib import Path

import pytest

from gpt2.cli.main import main
from gpt2.cli.terminal import Ended
from tests.ablation_records import records, study

MINUTE = str(Path(__file__).parents[2] / "recipes" / "ablation" / "minute.toml")


def test_the_plan_of_the_minute_study(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    results = ["--results", str(tmp_path / "none.jsonl")]
    assert main(["ablate", MINUTE, "--plan", "--json", *results]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["done"] == 0
    assert {(job["purpose"], job["rate"], job["share"]) for job in plan["due"]} == {
        ("tune", rate, 0.5) for rate in (0.5, 1.0, 2.0)
    }
    assert len({job["contestant"] for job in plan["due"]}) >= 20
    assert main(["ablate", MINUTE, "--plan", "--only", "no-mask", *results]) == 0
    shown = capsys.readouterr().out
    assert "no-mask" in shown
    assert "<= -0.5" in shown
    assert "0 runs done; left: 11.5 runs of full length" in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing.toml"], "there is no study"),
        ([MINUTE, "--only", "nobody"], "no contestant 'nobody'"),
        ([MINUTE, "--jobs", "0"], "at least 1"),
        (["repot", MINUTE], "there is no 'gpt2 ablate repot': choose report or off"),
        (["report", "nothing.toml"], "there is no study"),
        (["report", MINUTE, "--results", "nothing.jsonl"], "there are no results nothing.jsonl"),
        (["off", MINUTE, "--results", "nothing.jsonl"], "there are no results nothing.jsonl"),
    ],
)
def test_mistakes_get_one_sentence(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--help"], ["gpt2 ablate report STUDY.toml", "--jobs", "--plan"]),
        (["report", "--help"], ["Write what a study has found", "--results", "--out", "--beside"]),
        (["off", "--help"], ["Switch components off in the trained baseline", "--kept"]),
    ],
)
def test_help_tells_what_there_is(words: list[str], says: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", *words]) == 0
    out = capsys.readouterr().out
    assert [word for word in says if word not in out] == []


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (Ended(15), 143)])
def test_a_study_that_is_stopped_says_what_is_kept(
    stop: BaseException, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, [one, *_] = tmp_path / "some.jsonl", records(study(tmp_path)).values()

    def conduct(*how: object) -> None:
        results.write_text(json.dumps(one) + "\n")
        raise stop

    monkeypatch.setattr("gpt2.ablation.conduct.conduct", conduct)
    assert main(["ablate", MINUTE, "--results", str(results)]) == code
    said = f"gpt2: {results} holds 1 result: the same command goes on from there.\n"
    assert capsys.readouterr().err.lstrip("\n") == said


def test_report_writes_a_document_or_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = study(tmp_path)
    results, out = tmp_path / "made.jsonl", tmp_path / "report.md"
    lines = [json.dumps(record) for record in records(made).values()]
    results.write_text("\n".join(lines) + "\n")
    words = ["ablate", "report", str(made.source), "--results", str(results)]
    assert main([*words, "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [f"{len(lines)} runs", str(out)]
    assert f"--results {results} --out {out}" in out.read_text()
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] == len(lines)
    assert found["missing"] == 0
    assert {c["contestant"]: c["verdict"] for c in found["contrasts"]}["no-residuals"] == "miss"
    results.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40])  # cut off
    assert main([*words, "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{len(lines) - 1} runs, 1 or more missing")
    assert main([*words, "--out", str(tmp_path / "report.txt")]) == 2
    assert main([*words, "--off", str(tmp_path / "none.json")]) == 2
    assert "gpt2 ablate off writes it" in capsys.readouterr().err
    results.write_text(lines[0].replace('"key": "', '"key": "x') + "\n")
    assert main(words) == 2
    assert "holds no run of" in capsys.readouterr().err
