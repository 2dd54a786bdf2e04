"""`gpt2 runs`: what it finds, says and draws."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from gpt2.base import notes
from gpt2.base.costs import n_params
from gpt2.base.palette import KINDS
from gpt2.checkpoint.files import save
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from gpt2.training.run.directory import hold
from gpt2.training.run.history import read_history

CONFIG = GPT2Config(vocab_size=50, n_positions=8, n_embd=16, n_layer=2, n_head=2)


def write_run(path: Path, steps: int, of_steps: int | None, offset: float = 0.0, evaluate: bool = True) -> Path:
    """A run as gpt2 train leaves it: losses 5, 4.9, ..., evaluated every 4 steps, the second time best."""
    path.mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for step in range(steps):
        at = {"step": step, "tokens": 64 * (step + 1)}
        speed = 1000.0 if step else 10.0  # the first step compiles
        lines.append({**at, "loss": 5 - step / 10 + offset, "tokens_per_s": speed, "elapsed_s": 30.0 * (step + 1)})
        if evaluate and step % 4 == 3:
            loss = {3: 4.0, 7: 3.0}.get(step, 3.5) + offset
            lines.append(
                {**at, "val": {"data/books-val": loss, "data/tales-val": loss + 1}, "elapsed_s": 31.0 + 30 * step}
            )
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if of_steps is not None:
        (path / "recipe.json").write_text(json.dumps({"train": {"steps": of_steps}}))
        save(GPT2(CONFIG), None, path / "checkpoints" / f"step-{steps:06d}" / "model")
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs" / "wide", 12, 12)
    write_run(tmp_path / "runs" / "deep", 10, 12, offset=0.25)
    return tmp_path / "runs"


def test_the_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(runs / "wide"), str(runs / "deep")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert rows[0] == ["run", "parameters", "steps", "tokens", "loss", "tokens/s", "time", "state"]
    size = f"{n_params(CONFIG) / 1e3:.2f}k"
    assert rows[1] == ["wide", size, "12", "768", "3.9000", "1.00k", "6", "min", "finished"]
    assert rows[2] == ["deep", size, "10/12", "640", "4.3500", "1.00k", "5", "min", "stopped"]
    assert rows[3] == ["validation", "loss", "books-val", "tales-val"]
    assert rows[4] == "wide 3.5000 (best 3.0000 at 8) 4.5000 (best 4.0000 at 8)".split()
    assert rows[5] == ["deep", "3.2500", "4.2500"]  # its last one is its best


def test_a_directory_of_runs_stands_for_all_of_them(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(runs), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [run["name"] for run in found] == ["deep", "wide"]
    assert found[1]["validation"]["books-val"] == {"final": 3.5, "best": 3.0, "best_step": 8}
    assert found[1]["parameters"] == n_params(CONFIG)
    assert (found[0]["steps"], found[0]["of_steps"], found[0]["state"]) == (10, 12, "stopped")
    assert (found[0]["seconds"], found[0]["tokens_per_s"]) == (300.0, 1000.0)


def test_a_run_at_work_is_running(runs: Path) -> None:
    with hold(runs / "deep"):
        assert read_history(runs / "deep").state == "running"
    assert read_history(runs / "deep").state == "stopped"


def test_a_log_alone(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = (runs / "wide" / "metrics.jsonl").rename(runs.parent / "old.jsonl")
    assert main(["runs", str(log)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == "old - 12 768 3.9000 1.00k 6 min -".split()


def test_runs_of_one_name_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        write_run(tmp_path / folder / "run", 1, None)
    assert main(["runs", str(tmp_path / "a"), str(tmp_path / "b" / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [run["name"] for run in found] == [str(tmp_path / "a" / "run"), str(tmp_path / "b" / "run")]


def test_parts_of_one_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(runs / "wide"), str(runs / "deep"), "--join", "--json"]) == 0
    [run] = json.loads(capsys.readouterr().out)["runs"]
    assert run["name"] == "wide + deep"
    assert (run["steps"], run["of_steps"], run["tokens"], run["seconds"]) == (22, 24, 768 + 640, 361.0 + 300.0)
    assert run["validation"]["tales-val"] == {"final": 4.25, "best": 4.0, "best_step": 8}


def test_two_sets_of_one_name_keep_their_paths(tmp_path: Path) -> None:
    val = {"a/val": 1.0, "b/val": 2.0, "c/other": 3.0}
    lines = [{"step": 0, "tokens": 1, "loss": 1.0}, {"step": 0, "tokens": 1, "val": val}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert list(read_history(tmp_path).validation) == ["a/val", "b/val", "other"]


def test_lines_with_a_sample_or_from_an_older_version(tmp_path: Path) -> None:
    """Versions before checkpoints wrote the validation losses into the line of the step."""
    lines = [{"step": 0, "tokens": 8, "loss": 2.0, "val": {"v": 2.5}}, {"step": 0, "tokens": 8, "sample": "Once"}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    history = read_history(tmp_path)
    assert history.training == [(8, 2.0)]
    assert history.validation == {"v": [(1, 8, 2.5)]}


def test_the_picture(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three panels side by side, each with something drawn in the colours of both runs."""
    out = runs.parent / "curves.png"
    assert main(["runs", str(runs), "--png", str(out)]) == 0
    assert f"saved {out}" in capsys.readouterr().out
    picture = imread(out)[..., :3]
    width = picture.shape[1]
    assert width == pytest.approx(3 * picture.shape[0], rel=0.3)
    for colour in (tuple(bytes.fromhex(kind[1:])) for kind in KINDS[:2]):
        drawn = (abs(picture * 255 - colour).max(axis=-1) < 3).any(axis=0)
        for panel in range(3):
            assert drawn[panel * width // 3 : (panel + 1) * width // 3].sum() > 50


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "name at least one run: gpt2 runs DIR"),
        (["nowhere"], 2, "there is no nowhere: name a directory of gpt2 train"),
        (["empty"], 2, "empty holds no run, since there is no metrics.jsonl in it"),
        (["young"], 1, "young/metrics.jsonl has no step yet"),
        (["text.txt"], 1, "text.txt is not a log of gpt2 train"),
        (["runs", "--png", "curves"], 2, "--png is curves: name a picture that ends with .png, .svg or .pdf"),
        (["runs", "--png", "curves.doc"], 1, "Format 'doc' is not supported"),
    ],
)
def test_refusals(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], code: int, sentence: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(runs.parent)
    Path("empty").mkdir()
    Path("young").mkdir()
    Path("young/metrics.jsonl").write_text('{"step": 0')
    Path("text.txt").write_text("Once upon a time\n")
    assert main(["runs", *words]) == code
    assert sentence in capsys.readouterr().err


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    notes.forget()
    assert main(["runs", *words]) == 0
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda lines: [*lines[:3], *lines[6:]], "it has no line of step 3 and 1 more"),
        (lambda lines: [*lines, b"\xff\xfe\n"], "line 16 cannot be read"),
        (lambda lines: [*lines, b"\0\0\0"], "its end cannot be read"),
        (lambda lines: [*lines, b'{"step": 1'], ""),
        (lambda lines: [*lines[:3], *lines[2:]], "line 4 repeats step 2 of line 3"),
    ],
)
def test_a_damaged_log_is_said(
    runs: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[list[bytes]], list[bytes]], why: str
) -> None:
    log = runs / "wide" / "metrics.jsonl"
    log.write_bytes(b"".join(damage(log.read_bytes().splitlines(keepends=True))))
    said = f"gpt2: {log} is damaged: {why}; the figures are those of the lines that can be read.\n" if why else ""
    assert told([str(runs / "wide")], capsys) == said


def test_a_recipe_that_is_lost_is_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "deep" / "recipe.json").write_text("{")
    assert "recipe.json cannot be read: how many steps" in told([str(runs / "deep")], capsys)
    (runs / "deep" / "recipe.json").unlink()
    assert "recipe.json is missing: how many steps" in told([str(runs / "deep")], capsys)


def test_a_log_that_is_no_file_is_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = runs / "wide" / "metrics.jsonl"
    log.unlink()
    log.symlink_to("/dev/zero")
    for path in (log, log.parent):
        assert main(["runs", str(path)]) == 2
        assert f"{log} is a device, where a file of a run belongs" in capsys.readouterr().err
