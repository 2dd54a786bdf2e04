"""How `benchmarks.decode_rate` chooses, counts and reports. Nothing is timed here, and no process starts."""

from types import SimpleNamespace

import pytest

from benchmarks import decode_contestants, decode_report
from benchmarks.decode_contestants import NAMES, Case, Peers, Team
from benchmarks.decode_rate import cases, chosen
from benchmarks.decode_worker import answer
from benchmarks.engines import NotRun, Place, node_llama

FOUND = {
    "rates": {
        "idle": {"batch 1": {"ours int8": [10.0, 30.0, 20.0], "ct2 int8": [16.0], "llama q8_0": [25.0]}},
        "busy": {"batch 1": {"ours int8": [5.0], "ct2 int8": [8.0]}},
    },
    "bandwidth": 1e9,
    "bytes_per_token": {"ours int8": 25e6},
    "ids": {"batch 1": {"ours int8": [[1, 2, 3, 4]], "ct2 int8": [[1, 2, 3, 9]]}},
    "ways": {"batch 1": {"ct2 int8": "MKL"}},
    "not_run": {"hf fp32": "the package transformers is not installed"},
}


def test_the_table_shows_medians_the_ceiling_the_busy_share_and_the_way():
    head, ours, ct2, llama = decode_report.table(FOUND, "batch 1")
    assert ours.split() == ["ours", "int8", "20.0", "10.0", "30.0", "25.0", "40.0", "0.50", "5.0", "0.25", "100%"]
    assert ct2.split() == ["ct2", "int8", "16.0", "16.0", "16.0", "8.0", "0.50", "75%", "MKL"]
    assert head.index("same ids") == ours.index("100%") - 4 == ct2.index("75%") - 5
    assert llama.split()[:3] == ["llama", "q8_0", "25.0"]


def test_what_is_asked_of_ours_is_compared_and_a_lack_is_named():
    assert list(decode_report.bars(FOUND, "batch 1")) == [
        "  ours int8 / llama q8_0: 0.80 (at least 1.00) SHORT",
        "  ours int8 / ct2 int8: 1.25 (at least 1.00)",
        "  ours int8, busy share of idle, beside ct2 int8: 0.25 (at least 0.50) SHORT",
    ]


def test_a_prompt_is_compared_with_the_best_peer():
    rates = {"ours fp32": 90.0, "ours bf16": 120.0, "hf fp32": 100.0, "llama bf16": 110.0}
    assert list(decode_report.prefill_bars(rates)) == [
        "  ours bf16 / llama bf16, the best of each: 1.09 (at least 1.00)",
        "  ours fp32 / hf fp32: 0.90 (at least 1.00) SHORT",
    ]


def test_who_did_not_run_is_named_with_the_reason():
    assert list(decode_report.lines(FOUND))[-1] == "not run: hf fp32: the package transformers is not installed"


def test_a_rate_counts_new_tokens_but_the_first_or_the_prompt():
    said = {"first": 2.0, "rest": 3.0}
    decode, prefill = cases([8], [512], 128)
    assert (decode.name, decode.tokens, decode.seconds(said)) == ("batch 8", 8 * 127, 3.0)
    assert (prefill.name, prefill.tokens, prefill.seconds(said)) == ("prefill 512", 512, 2.0)
    assert len({tuple(row) for row in decode.prompts}) == 8


def test_contestants_are_named_by_software_by_precision_or_whole():
    assert chosen("") == list(NAMES)
    assert chosen("ct2, bf16") == ["ours bf16", "hf bf16", "ct2 fp32", "ct2 int8", "llama bf16"]
    assert chosen("ours fp32") == ["ours fp32"]
    with pytest.raises(ValueError, match="nobody is called q5"):
        chosen("ours,q5")


def test_llama_cpp_says_what_to_install(tmp_path, monkeypatch):
    place = Place(tmp_path, 1)
    with pytest.raises(NotRun, match="needs --llama DIR"):
        node_llama.command(place, "f32", None, {})
    monkeypatch.setattr(node_llama.shutil, "which", lambda _: "node")
    with pytest.raises(NotRun, match="npm install node-llama-cpp"):
        node_llama.command(place, "f32", tmp_path, {})


def test_who_stops_early_is_not_measured():
    short = SimpleNamespace(generate=lambda prompts, new: [[0]] * len(prompts))
    assert answer(short, [[1], [2]], 1)["ids"] == [[0], [0]]
    with pytest.raises(NotRun, match="asked for 4 new tokens each"):
        answer(short, [[1], [2]], 4)


def test_the_fastest_way_of_each_case_is_kept_and_the_others_end(tmp_path, monkeypatch):
    """Of three ways one does not start; of the other two each is faster in one case, or one in both."""
    seconds = {"sdpa": {1: 2.0, 4: 2.0}, "eager": {1: 3.0, 4: 1.0}}

    class Worker:
        def __init__(self, words, threads, environment):
            self.about = {"versions": {}}
            self.attention = next(name for name in ("sdpa", "eager", "flex") if name in words[-1])
            if self.attention == "flex":
                raise NotRun("it has no flex")
            self.process = SimpleNamespace(returncode=None)

        def ask(self, prompts, new, context):
            took = seconds[self.attention][new]
            return {"ids": [[0] * new], "first": took, "rest": took}

        def close(self):
            self.process.returncode = -9

    ways = tuple(decode_contestants.Way(name, {"attention": name}) for name in ("flex", "sdpa", "eager"))
    monkeypatch.setattr(decode_contestants, "Worker", Worker)
    monkeypatch.setitem(decode_contestants.WAYS, "hf", ways)
    with Team(Place(tmp_path, 1), Peers(), [Case("batch 1", [[1]], 4), Case("prefill 1", [[1]], 1)]) as team:
        team.add("hf fp32")
        assert team.ways == {"batch 1": {"hf fp32": "eager"}, "prefill 1": {"hf fp32": "sdpa"}}
        assert team.not_run == {"hf fp32, flex": "it has no flex"}
        assert len(team.workers) == 2
        seconds["eager"][1] = 1.0
        team.add("hf bf16")
        assert team.ways["prefill 1"]["hf bf16"] == "eager"
        assert len(team.workers) == 3
