"""`gpt2 tokenize`: the table, the numbers for programs, and an empty text."""

import json

import pytest

from gpt2.cli.main import main
from gpt2.text.tokenizer import EOT


@pytest.fixture
def tokenize(capsys, gpt2_files):
    """Run `gpt2 tokenize` and return (exit code, standard output, standard error)."""

    def run(*words):
        code = main(["tokenize", *words, "--model", str(gpt2_files)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_command_table(tokenize):
    code, out, _ = tokenize("The cat\n🙂[b]")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["position", "id", "token"]
    assert rows[1:4] == [["0", "464", "The"], ["1", "3797", "·cat"], ["2", "198", "\\n"]]
    assert rows[4][2].startswith("\\xf0\\x9f")
    assert "[b]" in "".join(row[2] for row in rows[5:-1])  # brackets are no mark-up
    assert " ".join(rows[-1]) == "8 tokens, 15 bytes, 1.88 bytes per token"


def test_command_json(tokenize, gpt2_files):
    code, out, _ = tokenize(f"The cat{EOT}", "--json", "--allow-special")
    assert code == 0
    ids, tokens = [464, 3797, 50256], ["The", " cat", EOT]
    assert json.loads(out) == {"model": str(gpt2_files), "ids": ids, "tokens": tokens}
    assert 50256 not in json.loads(tokenize(f"The cat{EOT}", "--json")[1])["ids"]


def test_command_refuses_an_empty_text(tokenize):
    code, out, err = tokenize("")
    assert (code, out) == (2, "")
    assert err.startswith("gpt2: the text is empty")
    assert err.count("\n") == 1
