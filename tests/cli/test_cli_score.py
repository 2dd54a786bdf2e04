"""`gpt2 score`: what it prints for eyes, as JSON and as CSV, the files that it reads, and what it refuses."""

import csv
import gzip
import io
import json
import sys
from pathlib import Path

import pytest

import gpt2
from gpt2.cli.main import main

FIXTURES = Path(__file__).parents[1] / "fixtures" / "lm_eval"
MODEL = str(FIXTURES / "model")


@pytest.fixture
def run(capsys):
    """Run `gpt2 score --model FIXTURE ...`: (exit code, standard output, standard error)."""

    def run(*words):
        code = main(["score", "--model", MODEL, *map(str, words)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(out):
    return list(csv.DictReader(io.StringIO(out)))


def test_json_and_csv_hold_the_numbers_of_the_library(run):
    text = 'The dog said:\n"Hello", café.'
    checkpoint = gpt2.load(MODEL)
    (want,) = gpt2.score(checkpoint.model, checkpoint.tokenizer, text, words=True)
    code, out, err = run(text, "--words", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["model"], found["bos"], found["context"], found["stride"]) == (MODEL, "<|endoftext|>", 96, 48)
    (one,) = found["texts"]
    assert (one["id"], one["context"], one["text"]) == ("1", "", text)
    assert (one["log_prob"], one["surprisal"]) == (want.log_prob, want.surprisal)
    for row, token in zip(one["tokens"], want.tokens, strict=True):
        assert (row["token_id"], row["token"], row["log_prob"]) == (token.id, token.token, token.log_prob)
        assert (row["surprisal"], row["rank"], row["entropy"]) == (token.surprisal, token.rank, token.entropy)
    assert [w["word"] for w in one["words"]] == text.split()
    rows = table(run(text, "--csv")[1])
    assert [(r["token"], float(r["log_prob"]), int(r["rank"])) for r in rows] == [
        (t.token, t.log_prob, t.rank) for t in want.tokens
    ]
    rows = table(run(text, "--words", "--csv")[1])
    assert [(r["word"], float(r["uncorrected"]), float(r["corrected"])) for r in rows] == [
        (w.word, w.uncorrected, w.corrected) for w in want.words
    ]
    assert [int(r["first_token"]) for r in rows] == [w.first for w in want.words]


def test_tables(run):
    code, out, _ = run("The dog barks.")
    assert code == 0
    assert out.splitlines()[0].split() == ["token", "log", "p", "surprisal", "rank", "entropy"]
    assert out.splitlines()[-1] == "<|endoftext|> before the text; context 96, stride 48"
    out = run("The dog barks.", "--words", "--no-bos")[1]
    assert out.splitlines()[0].split() == ["word", "uncorrected", "corrected", "before", "after"]
    assert out.splitlines()[1].split()[:4] == ["The", "-", "-", "-"]
    assert out.splitlines()[-1].startswith("nothing before the text")


def test_without_a_score_a_cell_is_empty_and_json_has_null(run):
    assert table(run("a b", "--no-bos", "--csv")[1])[0]["log_prob"] == ""
    assert json.loads(run("a b", "--no-bos", "--json")[1])["texts"][0]["tokens"][0]["rank"] is None


def test_a_file_is_the_text_of_the_same_words(run, folder, monkeypatch):
    (folder / "a.txt").write_text("The end.\n")
    (folder / "b.TXT.gz").write_bytes(gzip.compress(b"The end."))
    (folder / "noending").write_text("x")
    want = run("The end.", "--csv")[1]
    assert run("a.txt", "--csv")[1] == want
    assert run("b.TXT.gz", "--csv")[1] == want
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The end.\n")))
    assert run("-", "--csv")[1] == want
    assert "unknown kind" in run("noending")[2]


def test_several_texts_with_ids_and_contexts(run, folder):
    (folder / "items.csv").write_text('\ufeffid,context,text\ns1,The dog,"barks, loudly"\ns2,,One day\n', "utf-8")
    (folder / "items.tsv").write_text("text\tid\tcontext\nbarks, loudly\ts1\tThe dog\r\nOne day\ts2\t\n")
    rows = [{"id": "s1", "context": "The dog", "text": "barks, loudly"}, {"text": "One day", "id": "s2", "more": 1}]
    (folder / "items.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    outputs = [run("--context-file", f"items.{kind}", "--words", "--csv")[1] for kind in ("csv", "tsv", "jsonl")]
    assert outputs[0] == outputs[1] == outputs[2] == run("items.csv", "--words", "--csv")[1]
    assert [(r["id"], r["word"]) for r in table(outputs[0])] == [
        ("s1", "barks,"), ("s1", "loudly"), ("s2", "One"), ("s2", "day"),
    ]  # fmt: skip
    for kind in ("csv", "tsv", "jsonl"):
        renamed = (folder / f"items.{kind}").read_text("utf-8").replace("text", "body").replace("conbody", "context")
        (folder / f"named.{kind}").write_text(renamed, "utf-8")
        assert run("--context-file", f"named.{kind}", "--words", "--csv", "--field", "body")[1] == outputs[0]
    (folder / "lines.txt").write_text("One day\n\nThe end\n")
    found = json.loads(run("--context-file", "lines.txt", "--json")[1])["texts"]
    assert [(one["id"], one["text"]) for one in found] == [("1", "One day"), ("3", "The end")]
    assert run("--context-file", "lines.txt")[1].count("tokens,") == 2


def test_pairs(run, folder):
    rows = [
        {"sentence_good": "A dog barks.", "sentence_bad": "A dog bark.", "UID": uid, "linguistics_term": term}
        for uid, term in [("causative", "argument_structure"), ("irregular_plural", "mine")]
    ]
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    code, out, err = run("--pairs", "pairs.jsonl")
    assert (code, err) == (0, "")
    assert "on 2 minimal pairs" in out
    assert [line.split()[0] for line in out.splitlines()[2:6]] == ["phenomenon", "argument_structure", "mine", "all"]
    assert out.splitlines()[3].endswith("78.2%")
    assert json.loads(run("--pairs", "pairs.jsonl", "--json")[1])["phenomena"]["mine"]["published"] is None
    assert json.loads(run("--pairs", "pairs.jsonl", "--json", "--limit", "1")[1])["pairs"] == 1
    (first, _) = table(run("--pairs", "pairs.jsonl", "--csv")[1])
    assert int(first["right"]) == (float(first["good_log_prob"]) > float(first["bad_log_prob"]))


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([""], 2, "the text is empty"),
        (["two", "words"], 2, "put the whole text in quotation marks"),
        (["nowhere.txt"], 2, "nowhere.txt does not exist"),
        (["--context-file", "nowhere.csv"], 1, "nowhere.csv cannot be read: No such file"),
        (["--context-file", "a.md"], 1, "is of an unknown kind"),
        (["--context-file", "empty.csv"], 1, "holds no text"),
        (["--context-file", "names.csv"], 1, "one of them must be text, or --field must name the one that holds the"),
        (["--context-file", "semi.csv"], 1, "columns are separated by commas here, not by semicolons, so save the tab"),
        (["semi.tsv"], 1, "columns are separated by tabs here, not by semicolons, so save the table again with tabs."),
        (["--context-file", "five.jsonl"], 1, "line 1, has the number 5 in 'text': write a text there, between quotes"),
        (["--context-file", "null.jsonl"], 1, "line 1, has null in 'text': write a text there, between quotes"),
        (["."], 2, ". is a directory: name a file in it, or pipe the text in if it is one."),
        (["--context-file", "cells.csv"], 1, "line 2, has 3 cells and the first row 2"),
        (["--context-file", "quote.csv"], 1, "cannot be read as .csv"),
        (["--context-file", "blank.csv"], 1, "line 3, has an empty text"),
        (["--context-file", "twice.csv"], 1, "line 3, has the id 'a', which a text above has"),
        (["--context-file", "latin.csv"], 1, "is not UTF-8"),
        (["--context-file", "list.jsonl"], 1, "line 1, holds no object"),
        (["--context-file", "id.jsonl"], 1, "line 1, has the id 1.5"),
        (["--context-file", "field.jsonl"], 1, "--field names the field that holds the text"),
        (["--pairs", "names.csv", "--field", "body"], 2, "--field is for texts: leave it out with --pairs"),
        (["--context-file", "field.jsonl"], 1, "line 1, has no text in a field 'text' (it has body)"),
        (["--context-file", "context.jsonl"], 1, "line 1, has the context 3"),
        (["x", "--context-file", "empty.csv"], 2, "two sources of text"),
        (["x", "--json", "--csv"], 2, "--json and --csv"),
        (["x", "--limit", "3"], 2, "--limit is for --pairs"),
        (["x", "--context", "97"], 2, "--context is 97: this model takes 1 to 96"),
        (["x", "--stride", "97"], 2, "--stride is 97: it must be 1 to the context, 96"),
        (["x", "--pairs", "p.jsonl"], 2, "leave out 'x'"),
        (["--pairs", "p.jsonl", "--words"], 2, "--words is for texts"),
        (["--pairs", "p.jsonl", "--no-bos"], 2, "--no-bos is for texts"),
        (["--pairs", "empty.csv"], 1, "empty.csv is not a .jsonl file"),
        ([f"{'a' * 20 + chr(0x65E5) * 60}", "--words", "--context", "20"], 1, "words need a longer context"),
    ],
)
def test_refusals_are_one_sentence(words, code, sentence, run, folder):
    files = {
        "empty.csv": "", "names.csv": "id,body\n", "semi.csv": "id;text\n",
        "semi.tsv": "id;text\na;b\n", "five.jsonl": '{"text": 5}\n', "null.jsonl": '{"text": null}',
        "cells.csv": "id,text\na,b,c\n", "quote.csv": 'text\n"a"b"\n',
        "blank.csv": "id,text\na,b\nc,\n", "twice.csv": "id,text\na,b\na,c\n", "list.jsonl": "[1]\n",
        "id.jsonl": '{"id": 1.5, "text": "a"}\n', "field.jsonl": '{"body": "a"}\n', "a.md": "a",
        "context.jsonl": '{"text": "a", "context": 3}\n',
    }  # fmt: skip
    for name, text in files.items():
        Path(name).write_text(text)
    Path("latin.csv").write_bytes(b"text\ncaf\xe9\n")
    got, out, err = run(*words)
    assert (got, out) == (code, "")
    assert err.startswith("gpt2: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_tokenizer_without_an_opening_token_is_told_what_to_type(run, monkeypatch):
    from gpt2.text.tokenizer import Tokenizer

    load = Tokenizer.load.__func__

    def without(cls, directory):
        found = load(cls, directory)
        found.bos_id = found.eot_id = None
        return found

    monkeypatch.setattr(Tokenizer, "load", classmethod(without))
    assert "score it without one, with --no-bos." in run("a b")[2]
    assert run("a b", "--no-bos", "--words")[0] == 0
