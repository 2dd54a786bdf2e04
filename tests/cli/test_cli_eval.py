"""`gpt2 eval`: what it prints for eyes and for machines, and what it refuses."""

import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from gpt2.cli import eval as command
from gpt2.cli.main import main

FIXTURES = Path(__file__).parents[1] / "fixtures" / "lm_eval"
MODEL = str(FIXTURES / "model")


@pytest.fixture
def run(capsys):
    """Run `gpt2 eval --model FIXTURE ...`: (exit code, standard output, standard error)."""

    def run(*words):
        code = main(["eval", "--model", MODEL, *map(str, words)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "a.txt").write_text("One day a fox.\n<|endoftext|>\nThe end.\n<|endoftext|>\n")
    (tmp_path / "b.jsonl").write_text('{"body": "The train was late."}\n')
    return tmp_path


def test_json_of_texts(run, texts):
    code, out, err = run(texts / "a.txt", "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert next(iter(figures)) == "model"
    assert figures.keys() >= {"documents", "tokens", "bytes", "loss_per_token", "perplexity", "bits_per_byte"}
    assert (figures["model"], figures["documents"], figures["words"], figures["bytes"]) == (MODEL, 2, 6, 22)
    assert (figures["context"], figures["stride"], figures["joined"]) == (96, 48, False)


def test_files_directories_and_formats(run, texts):
    (texts / "c.txt.gz").write_bytes(gzip.compress(b"The end."))
    (texts / "b.jsonl").rename(texts / "b.other")
    figures = json.loads(run(texts, "--json")[1])
    assert figures["documents"] == 3  # what a directory holds, but for files of other kinds
    (texts / "b.other").rename(texts / "b.jsonl")
    figures = json.loads(run(texts / "b.jsonl", "--field", "body", "--json")[1])
    assert (figures["documents"], figures["bytes"]) == (1, 19)
    assert json.loads(run(texts / "a.txt", "--limit", "1", "--json")[1])["documents"] == 1


def test_window_and_protocol_reach_the_figures(run, texts):
    whole = json.loads(run(texts / "a.txt", "--json")[1])
    narrow = json.loads(run(texts / "a.txt", "--json", "--context", "4", "--stride", "1")[1])
    joined = json.loads(run(texts / "a.txt", "--json", "--joined")[1])
    assert (narrow["context"], narrow["stride"]) == (4, 1)
    assert narrow["tokens"] == whole["tokens"]
    assert narrow["bits_per_byte"] != whole["bits_per_byte"]
    assert (joined["documents"], joined["bytes"], joined["joined"]) == (1, 24, True)


@pytest.fixture
def pipe(monkeypatch):
    """Put bytes on standard input."""

    def pipe(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return pipe


def rows_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_standard_input_is_read_as_a_txt_file_is(run, texts, pipe):
    wanted = run(texts / "a.txt", texts / "a.txt", "--json")[1]
    pipe((texts / "a.txt").read_bytes())
    assert run("-", texts / "a.txt", "--json")[1] == wanted


def test_a_task_reads_standard_input(run, pipe):
    file = FIXTURES / "lambada.jsonl"
    wanted = run("--task", "lambada", file, "--limit", "3", "--json")[1]
    pipe(file.read_bytes())
    assert run("--task", "lambada", "-", "--limit", "3", "--json")[1] == wanted


def test_a_row_for_each_document(run, texts):
    out = texts / "rows.jsonl"
    whole = json.loads(run(texts / "a.txt", texts / "b.jsonl", "--field", "body", "--items", out, "--json")[1])
    rows = rows_of(out)
    files = [str(texts / "a.txt")] * 2 + [str(texts / "b.jsonl")]
    assert [(row["file"], row["document"], row["words"]) for row in rows] == list(zip(files, (1, 2, 1), (4, 2, 4)))
    assert sum(row["tokens"] for row in rows) == whole["tokens"]
    assert sum(row["loss"] for row in rows) == pytest.approx(whole["loss"], rel=1e-12)
    alone = json.loads(run(texts / "b.jsonl", "--field", "body", "--json")[1])
    assert rows[2]["loss"] == pytest.approx(alone["loss"], rel=1e-5)


def test_a_row_for_each_item_and_style(run, tmp_path):
    harness = json.loads((FIXTURES / "harness.json").read_text("utf-8"))
    out = tmp_path / "rows.jsonl"
    run("--task", "lambada", FIXTURES / "lambada.jsonl", "--items", out, "--limit", "5")
    rows = [row for row in rows_of(out) if row["style"] == "last word"]
    assert [row["item"] for row in rows] == [1, 5, 9, 13, 17]
    for row in rows:
        log_p, greedy = harness["lambada"][row["item"] - 1]
        assert (row["log_prob"], row["right"]) == (pytest.approx(log_p, abs=1e-4), greedy)
    text = json.loads((FIXTURES / "lambada.jsonl").read_text("utf-8").splitlines()[4])["text"]
    assert text == rows[1]["context"] + rows[1]["target"]
    assert rows[1]["target"] == " " + text.rpartition(" ")[2]
    run("--task", "hellaswag", FIXTURES / "hellaswag.jsonl", "--items", out, "--limit", "5")
    for row in (row for row in rows_of(out) if row["style"] == "harness"):
        assert row["log_probs"] == pytest.approx(harness["hellaswag"][row["item"] - 1], abs=1e-4)
        assert row["chosen"]["acc"] == row["log_probs"].index(max(row["log_probs"]))
        assert row["right"] == {name: place == row["label"] for name, place in row["chosen"].items()}


def test_nothing_is_written_over_what_is_read(run, tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_bytes(data := (FIXTURES / "lambada.jsonl").read_bytes())
    code, _, err = run("--task", "lambada", file, "--items", file)
    assert code == 2
    assert "which is read here" in err
    assert file.read_bytes() == data


def test_texts_for_eyes(run, texts):
    code, out, _ = run(texts / "a.txt")
    assert code == 0
    for part in ("bits per byte", "perplexity per word", "each document alone", "context 96, stride 48"):
        assert part in out
    assert max(map(len, out.splitlines()[1:])) <= 80
    assert "all as one text" in run(texts / "a.txt", "--joined")[1]


@pytest.mark.parametrize("task", ["lambada", "hellaswag"])
def test_json_of_a_task(run, task):
    code, out, err = run("--task", task, FIXTURES / f"{task}.jsonl", "--json", "--limit", "6")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["model"], found["task"], found["items"]) == (MODEL, task, 6)
    styles = {"lambada": ["last token", "last word"], "hellaswag": ["completion", "harness"]}[task]
    assert list(found["figures"]) == styles
    for figures in found["figures"].values():
        for figure in figures.values():
            assert figure["low"] <= figure["value"] <= figure["high"]
            assert figure["chance"] is not None
            assert figure["published"] is None


@pytest.mark.parametrize("task", ["lambada", "hellaswag"])
def test_a_task_for_eyes(run, task, monkeypatch):
    code, out, _ = run("--task", task, FIXTURES / f"{task}.jsonl")
    assert code == 0
    assert f"on {task}, 20 items" in out
    assert "chance" in out
    assert "published" not in out
    monkeypatch.setattr("gpt2.evaluation.published.size_of", lambda config: "gpt2")
    out = run("--task", task, FIXTURES / f"{task}.jsonl")[1]
    assert "published: for OpenAI's gpt2, see docs/evaluation.md in the repository" in out
    assert {"lambada": "45.99%", "hellaswag": "31.14%"}[task] in out


def test_perplexities_and_shares_stay_short():
    assert [command.short(x) for x in (5.7989, 123456.7, 1e9, 3.2e217)] == [
        "5.7989", "123,456.7000", "1.0000e+09", "3.2000e+217"
    ]  # fmt: skip
    from gpt2.evaluation.measures import Figure

    cells = command._cells(Figure(123_456.7, 9.876, 1e9, 8192.0, None), "perplexity", True)
    assert cells == ["123,457", "9.88 to 1.0e+09", "8,192", "-"]
    assert command._cells(Figure(0.5, 0.0, 1.0, 2e-5), "accuracy", False) == ["50.00%", "0.00% to 100.00%", "2e-05"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "no file: name the texts"),
        (["nowhere.txt"], 1, "nowhere.txt does not exist"),
        (["a.txt", "--limit", "0"], 2, "--limit is 0"),
        (["a.txt", "--context", "500"], 2, "--context is 500: this model takes 1 to 96"),
        (["a.txt", "--stride", "200"], 2, "--stride is 200: it must be 1 to the context, 96"),
        (["b.jsonl"], 1, "no text in a field 'text'"),
        (["--task", "lambada", "a.txt"], 1, 'write each item into one (also .gz or .zst) as a line {"text": '),
        (["--task", "lambada", "b.jsonl"], 1, "line 1, has no text in a field 'text' (it has body)"),
        (["--task", "lambada", "a.txt", "b.jsonl"], 2, "--task lambada takes one file, not 2"),
        (
            ["--task", "hellaswag", "b.jsonl"],
            1,
            "no text in the fields 'activity_label' and 'ctx' (it has body): write {",
        ),
        (["--task", "hellaswag", "b.jsonl", "--stride", "4"], 2, "--stride is for texts"),
        (["a.txt", "--items", "rows.csv"], 2, "--items is 'rows.csv': its rows are lines of JSON"),
        (["a.txt", "--items", "none/rows.jsonl"], 2, "there is no directory none"),
        (["a.txt", "--items", "rows.jsonl", "--joined"], 2, "leave one out"),
        (["-", "-"], 2, "standard input is named twice"),
        (["--task", "hellaswag", "b.jsonl", "--joined"], 2, "--joined is for texts"),
        (["--task", "lambada", "empty.jsonl"], 1, "holds no passage"),
        (["--task", "hellaswag", "empty.jsonl"], 1, "holds no item"),
        (["--task", "lambada", "cut.jsonl"], 1, "line 2, is not JSON"),
        (["--task", "lambada", "list.jsonl"], 1, "line 1, holds no object"),
        (["--task", "lambada", "space.jsonl"], 1, "ends with a space"),
        (
            ["--task", "hellaswag", "label.jsonl"],
            1,
            "has the label 4: the 2 endings have the labels 0 to 1; where a",
        ),
        (["--task", "hellaswag", "nolabel.jsonl"], 1, "has no label, so its right ending"),
        (["--task", "hellaswag", "endings.jsonl"], 1, "has no list of endings"),
    ],
)
def test_refusals_are_one_sentence(words, code, sentence, run, texts, monkeypatch):
    monkeypatch.chdir(texts)
    item = {"activity_label": "x", "ctx": "y", "endings": ["a", "b"], "label": 0}
    files = {
        "empty": [], "cut": ['{"text": "a b"}', '{"text'], "list": ["[1]"], "space": ['{"text": "a b "}'],
        "label": [json.dumps(item | {"label": 4})], "nolabel": [json.dumps(item | {"label": ""})],
        "endings": [json.dumps(item | {"endings": "ab"})],
    }  # fmt: skip
    for name, lines in files.items():
        Path(f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert run(*words)[:2] == (code, "")
    found = run(*words)[2]
    assert found.startswith("gpt2: ")
    assert sentence in found
    assert found.count("\n") == 1


def test_context_use(run, texts):
    (texts / "long.txt").write_text("One day a fox ran to the train and the train was late. " * 8)
    code, out, err = run(texts / "long.txt", texts / "a.txt", "--task", "context-use", "--json", "--visible", "4")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert (figures["visible"], figures["first"], figures["context"], figures["documents"]) == (4, 48, 96, 1)
    assert figures["use"] == pytest.approx(figures["short"] - figures["full"])
    assert (figures["low"], figures["high"]) == (None, None)  # one document is long enough
    shown = run(texts / "long.txt", "--task", "context-use")[1]
    assert "loss with the last 8 " in shown
    assert "95% interval" not in shown
    assert "context 96, targets from position 48 on" in shown
    for words, says in [
        (("--task", "context-use", "--joined"), "--joined is not for context use"),
        (("--task", "context-use", "--stride", "3"), "--stride is not for context use"),
        (("--visible", "3"), "--visible is for context use"),
        (("--task", "context-use", "--visible", "49"), "it must be 1 to 48"),
    ]:
        code, _, err = run(texts / "long.txt", *words)
        assert code == 2
        assert says in err
