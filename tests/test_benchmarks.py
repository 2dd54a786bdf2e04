"""The benchmark runs, and its result has the shape that is published. No figure is judged here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import report
from benchmarks.__main__ import options
from benchmarks.cases import BY_NAME, CASES, QUICK_CASES, Case, Size, rows
from benchmarks.engines import NotRun, Place, engine
from benchmarks.random_model import make_tokenizer
from benchmarks.run import Benchmark, _again
from benchmarks.worker import Job, _measure, work

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Ours and transformers on every case of --quick, in this process: (result, lines of progress, files' stem)."""
    pytest.importorskip("transformers")
    out = tmp_path_factory.mktemp("benchmarks") / "quick"
    chosen = options(["--quick", "--peers", "transformers", "--rounds", "2", "--out", str(out)])
    lines: list[str] = []
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        result = Benchmark(chosen, launch=work, say=lines.append).run()
    finally:
        torch.use_deterministic_algorithms(deterministic)
    return result, lines, out


def test_every_contestant_of_every_case_is_measured_in_every_round(quick):
    result, _, _ = quick
    want = {
        (case.name, c.name, number)
        for case in QUICK_CASES
        for c in BY_NAME.values()
        if c.software in ("ours", "transformers") and case.kind in c.kinds and not c.compiled
        for number in (1, 2)
    }
    assert {(run["case"], run["contestant"], run["round"]) for run in result["runs"]} == want
    for run in result["runs"]:
        assert len(run["seconds"]) == 3
        assert all(s > 0 for s in run["seconds"])


def test_the_second_round_goes_backwards(quick):
    result, _, _ = quick
    order = {number: [] for number in (1, 2)}
    for run in result["runs"]:
        if run["case"] == "decode-b1":
            order[run["round"]].append(run["contestant"])
    assert order[1] == order[2][::-1]
    assert order[1][:2] == ["ours-fp32", "transformers-fp32"]


def test_the_result_names_machine_versions_commit_and_model(quick):
    result, _, _ = quick
    assert result["schema"] == 1
    assert result["complete"] is True
    assert {"processor", "cores", "memory_gib", "capabilities", "system", "python"} <= result["machine"].keys()
    assert {"avx512_f", "avx512_bf16", "amx_bf16"} <= result["machine"]["capabilities"].keys()
    assert {"glassbox-gpt2", "torch", "transformers"} <= result["versions"].keys()
    assert {"commit", "changed_since", "date"} <= result.keys()
    assert result["model"]["parameters"] == 2 * 12_704 + (512 + 64) * 32 + 64
    assert result["command"] == ("python -m benchmarks --quick --peers transformers --rounds 2 --out PATH")


def test_who_did_not_run_is_named_with_the_reason(quick):
    result, _, _ = quick
    reasons = {entry["contestant"]: entry["reason"] for entry in result["not_run"]}
    assert reasons["llama-cpp-fp32"].startswith("only with --with llama-cpp")
    assert reasons["nanogpt-fp32"].startswith("only with --nanogpt PATH")
    assert reasons["ctranslate2-int8"] == "left out by --peers"


def test_everybody_did_the_same_work(quick):
    """Greedy ids and the first loss in fp32: the weights arrived, and nobody stopped early."""
    result, _, _ = quick
    for entry in result["summary"]:
        if entry["contestant"] == "transformers-fp32" and entry["case"].startswith("train"):
            assert entry["agreement"] < 1e-5
        elif entry["contestant"] == "transformers-fp32":
            assert entry["agreement"] == 1


def test_the_files_hold_the_result_and_a_table_of_each_case(quick):
    result, _, out = quick
    assert json.loads(out.with_suffix(".json").read_text()) == json.loads(json.dumps(result))
    assert sorted(path.name for path in out.parent.iterdir()) == ["quick.json", "quick.md"]
    page = out.with_suffix(".md").read_text()
    for case in QUICK_CASES:
        assert page.count(f"## {case.title}\n") == 1
    assert "| transformers fp32 |" in page
    assert "ours fp32 / it" in page
    assert str(out.parent) not in page
    widths = {
        line.count("|") for line in page.split("## Decoding, batch 1")[1].split("##")[0].splitlines() if "|" in line
    }
    assert len(widths) == 1


def test_progress_tells_the_time_left(quick):
    _, lines, _ = quick
    assert sum("left" in line for line in lines) == len(quick[0]["runs"])


def test_the_command_itself():
    words = ["--quick", "--only", "prefill", "--peers", "", "--precisions", "fp32", "--repeats", "1", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# GPT-2 side by side")
    assert "| ours fp32 |" in done.stdout
    assert "round 1/1" in done.stderr


@pytest.mark.parametrize(
    "words", [["--only", "decoding"], ["--peers", "vllm"], ["--rounds", "0"], ["--precisions", "fp16"]]
)
def test_wrong_use_ends_with_code_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        options(words)
    assert ended.value.code == 2
    assert words[1] in capsys.readouterr().err


def test_llama_cpp_and_nanogpt_take_part_when_asked_for(tmp_path):
    assert options([]).software == ("transformers", "ctranslate2")
    chosen = options(["--with", "llama-cpp", "--nanogpt", str(tmp_path)])
    assert chosen.software == ("transformers", "ctranslate2", "llama-cpp", "nanogpt")
    assert str(tmp_path) not in chosen.command


def test_a_checkout_without_a_model_is_refused_by_name(tmp_path):
    place = Place(tmp_path, 1, nanogpt=tmp_path)
    with pytest.raises(NotRun, match=r"holds no model\.py"):
        engine("nano").prepare(place, "fp32")


def test_a_failing_contestant_is_reported_and_the_others_go_on(tmp_path):
    def launch(job: Job):
        if job.action == "model":
            return {"capabilities": {}, "parameters": 1}
        if job.action == "prepare":
            return {"versions": {}}
        if job.contestant == "transformers-fp32":
            raise RuntimeError("out of memory")
        return {
            "size": {"batch": 1, "length": 16, "new": 1}, "tokens": 16, "seconds": [0.5, 1.5], "peak_memory_mib": 1,
            "check": [[1]],
        }  # fmt: skip

    lines: list[str] = []
    result = Benchmark(
        options(["--quick", "--only", "prefill", "--peers", "transformers", "--rounds", "2"]),
        launch=launch,
        say=lines.append,
    ).run()
    failed = [entry for entry in result["not_run"] if entry["contestant"] == "transformers-fp32"]
    assert failed == [{"contestant": "transformers-fp32", "case": "prefill-16", "reason": "failed: out of memory"}]
    (ours,) = (entry for entry in result["summary"] if entry["contestant"] == "ours-fp32")
    assert ours["measurements"] == 4
    assert ours["median_s"] == 1.0
    assert ours["best_tokens_per_s"] == 32
    assert "  not run: failed: out of memory" in lines


def run_of(contestant: str, seconds: list[float], check: object, size: Size = CASES[0].size) -> dict:
    size_fields = {"batch": size.batch, "length": size.length, "new": size.new}
    return {
        "case": CASES[0].name, "contestant": contestant, "round": 1, "size": size_fields, "tokens": size.tokens,
        "seconds": seconds, "peak_memory_mib": 7, "check": check,
    }  # fmt: skip


def test_ratios_are_of_median_rates_and_name_ours_first():
    summary = report.summarise(
        [
            run_of("ours-fp32", [1.0, 2.0, 9.0], [[1, 2, 3, 4]]),
            run_of("ours-bf16", [4.0], [[1, 2, 3, 9]]),
            run_of("ctranslate2-int8", [3.0, 1.0], [[1, 2, 0, 0]]),
        ],
        CASES,
    )
    int8 = next(entry for entry in summary if entry["contestant"] == "ctranslate2-int8")
    assert int8["ratio_of"] == {"ours-fp32": 1.0, "ours-bf16": 0.5}
    assert int8["agreement"] == 0.5
    assert summary[0]["median_tokens_per_s"] == 32


class Clock:
    """A contestant whose call takes `per_token` seconds a token, and a clock that only it moves."""

    def __init__(self, per_token: float) -> None:
        self.now, self.per_token, self.calls = 0.0, per_token, []

    def perf_counter(self) -> float:
        return self.now

    def generate(self, prompts, new):
        self.calls.append(new)
        self.now += new * self.per_token
        return [[0] * new for _ in prompts]


def measured(monkeypatch, per_token: float, **fields) -> tuple[dict, list[int]]:
    clock = Clock(per_token)
    monkeypatch.setattr("benchmarks.worker.time", clock)
    module = type("module", (), {"Decoder": staticmethod(lambda place, precision: clock)})
    monkeypatch.setattr("benchmarks.worker.engine", lambda name: module)
    job = Job.measuring(
        CASES[0], BY_NAME["ours-bf16"], work="", threads=1, model={"vocab_size": 9}, repeats=3, limit_s=60.0
    )
    if "earlier" in fields:
        job = _again(job, fields["earlier"])
    return _measure(job), clock.calls


def test_a_fast_contestant_is_warmed_up_and_measured_at_full_size(monkeypatch):
    result, calls = measured(monkeypatch, 0.1)
    assert calls == [4, 16, 64, 64, 64, 64]
    assert result["seconds"] == pytest.approx([6.4] * 3)


def test_a_slow_contestant_is_measured_on_fewer_tokens_within_the_limit(monkeypatch):
    result, calls = measured(monkeypatch, 1.0)
    assert calls == [4, 16, 16]
    assert result["size"] == {"batch": 1, "length": 16, "new": 16}
    assert sum(calls) * 1.0 < 60


def test_later_rounds_keep_the_size_of_the_first(monkeypatch):
    for per_token in (0.1, 1.0, 100.0):
        first, _ = measured(monkeypatch, per_token)
        again, calls = measured(monkeypatch, per_token, earlier=first)
        assert again["size"] == first["size"]
        assert len(again["seconds"]) == len(first["seconds"])
        assert calls[0] == 4  # the check of a training step is that of the same first call


def test_a_case_on_fewer_tokens_says_so_in_the_table():
    runs = [run_of("ours-fp32", [1.0], [[1]]), run_of("ours-bf16", [1.0], [[1]], Size(1, 16, 4))]
    table = "\n".join(report._table(CASES[0], report.summarise(runs, CASES)))
    assert "| ours bf16 \\* |" in table
    assert "measured on 1 x 16 tokens and 4 new: ours bf16." in table


def test_stopping_early_is_an_error_not_a_good_figure(monkeypatch):
    monkeypatch.setattr(Clock, "generate", lambda self, prompts, new: [[0]])
    with pytest.raises(RuntimeError, match="asked for 4 new tokens"):
        measured(monkeypatch, 0.1)


def test_rows_are_the_same_for_everybody_and_never_hold_eos():
    size = Size(8, 512)
    assert rows(size, 300) == rows(size, 300)
    assert max(max(row) for row in rows(size, 300)) == 298
    assert [len(row) for row in rows(size, 300, extra=1)] == [513] * 8


def test_the_sizes_of_a_case_grow_about_fourfold():
    for case in CASES:
        assert isinstance(case, Case)
        for smaller, larger in zip(case.sizes, case.sizes[1:]):
            assert larger.tokens == 4 * smaller.tokens


def test_the_tokenizer_fills_the_vocabulary():
    tokenizer = make_tokenizer(512)
    assert tokenizer.vocab_size == 512
    assert tokenizer.eot_id == 511
    assert tokenizer.decode(tokenizer.encode("The cat sat.")) == "The cat sat."
