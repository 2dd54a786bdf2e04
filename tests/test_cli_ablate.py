"""`gpt2 ablate`: the study of this repository can be planned, and wrong options are refused."""

import json
from pathlib import Path

import pytest

from gpt2.cli.main import main

MINUTE = str(Path(__file__).parents[1] / "recipes" / "ablation" / "minute.toml")


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
    ],
)
def test_mistakes_get_one_sentence(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
