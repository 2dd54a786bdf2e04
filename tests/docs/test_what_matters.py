"""The page in plain words says what the studies' results say: its orders, signs and crossings, from the records."""

import json
import math

import pytest

from gpt2.ablation.study import Job, load_study
from scripts.guides.render import RESULTS
from scripts.guides.study import Findings
from tests.docs.test_readme import ROOT

RECIPES = ROOT / "recipes" / "ablation"
MINUTE, GPU, EVENING = (Findings(RECIPES / f"{s}.toml", RESULTS / f"{s}.jsonl") for s in ("minute", "gpu", "evening"))


def mean(findings, name):
    return findings.contrast(name).difference.mean


def test_what_is_worth_more_where():
    assert mean(MINUTE, "no-mlp") > mean(MINUTE, "no-attention")
    assert mean(MINUTE, "no-residuals") > mean(MINUTE, "no-mlp") > max(mean(MINUTE, n) for n in ("no-norm", "no-mask"))
    assert mean(GPU, "no-attention") > mean(GPU, "no-mlp")
    assert mean(EVENING, "no-attention") > mean(EVENING, "no-mlp")
    for findings in (MINUTE, GPU, EVENING):
        assert findings.contrast("no-norm").difference.low > 0.02
        assert findings.contrast("no-mlp").difference.low > 0.02
    assert MINUTE.contrast("no-positions").difference.high < 0 < GPU.contrast("no-positions").difference.low


def test_every_miss_is_discussed():
    text = (ROOT / "docs" / "what_matters.md").read_text("utf-8")
    assert "not discussed yet" not in text
    missed = sum(f.expected(name).endswith(": miss") for f in (MINUTE, GPU, EVENING) for name in f.study.contestants)
    rows = [line for line in text.splitlines() if line.startswith(("| minute |", "| gpu |", "| evening |"))]
    assert len(rows) == missed > 5


def test_the_three_crossings():
    ahead = {"no-positions": 0.125, "post-norm": 0.25}
    for name, share in ahead.items():
        assert EVENING.at_budget(name, share).high < 0 < EVENING.contrast(name).difference.low
    assert EVENING.at_budget("no-positions", 0.25).low > 0
    dropout = EVENING.contrast("small-dropout-1").difference
    assert all(EVENING.at_budget("small-dropout-1", share).low > 0 for share in (0.125, 0.25, 0.5))
    assert dropout.high < 0


def test_what_is_called_a_detail_is_small():
    for name in ("relu", "squared-relu", "untied-head", "heads-1", "heads-2", "heads-8", "mlp-2", "mlp-8"):
        assert abs(mean(MINUTE, name)) <= 0.06


def test_a_small_text_is_read_as_often_as_the_page_says():
    recipe = EVENING.study.recipe("small")
    tokens = recipe.train.steps * recipe.train.batch_size * recipe.model.n_positions
    assert round(tokens / 124_926) == 16  # what `gpt2 prepare` printed for data/evening-small


@pytest.fixture
def halving(tmp_path):
    """A baseline whose loss falls by 0.5 with each doubling of its text, and a contestant 0.25 behind at the end."""
    file = RECIPES / "evening.toml"
    study, lines = load_study(file), []
    for name, behind in (("baseline", 0.0), ("no-mlp", 0.25)):
        for seed in range(2):
            points = [
                {"share": share, "steps": 1, "tokens": 1, "val_loss": 2 + behind - 0.5 * math.log2(share),
                 "context_use": {"use": share + seed, "full": 2.0, "short": 3.0, "error": 0.1}}
                for share in (0.125, 0.25, 0.5, 1.0)
            ]  # fmt: skip
            record = {"key": Job(name, "report", seed, 1.0).key(study), "study": study.name, "contestant": name}
            record |= {"purpose": "report", "seed": seed, "rate": 1.0, "diverged_at": None}
            record |= {"branches": points[:3], **points[3]}
            lines.append(json.dumps(record))
    path = tmp_path / "evening.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return Findings(file, path)


def test_a_loss_is_translated_into_a_share_of_the_text(halving):
    assert halving.loss_at(0.25) == pytest.approx(3.0)
    assert halving.at_budget("no-mlp", 0.5).mean == pytest.approx(0.25)
    assert halving.reached("no-mlp") == pytest.approx(2**-0.5)
    assert halving.context_use(0.5) == pytest.approx(1.0)
    assert halving.reached("no-norm") is None  # not run
    assert halving.at_budget("no-norm", 0.5) is None
