"""Rows as others write them, and files that are no JSON: the sentence holds what to write, or the command to type."""

import json
from pathlib import Path
from typing import Any

import pytest

from gpt2.base.notes import Note, forget
from gpt2.data.completions import completions
from gpt2.data.documents import documents
from gpt2.data.files import sources
from gpt2.data.meant import tell_unread
from gpt2.text.tokenizer import Tokenizer

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
ROW = {"prompt": "a", "completion": "b"}
FILES: list[tuple[str, Any, str]] = [
    ("a.jsonl", {"question": "a", "answer": "b"}, 'rename "question" to "prompt" and "answer" to "completion"; for a'),
    ("a.jsonl", {"input_text": "a", "target_text": "b"}, '"input_text" to "prompt" and "target_text" to "completion"'),
    ("a.jsonl", {"inputText": "a", "Output": "b"}, 'rename "inputText" to "prompt" and "Output" to "completion"'),
    ("a.jsonl", {"instruction": "a", "context": "", "response": "b"}, 'rename "context" to "input" and "response" to'),
    ("a.jsonl", {"question": "a", "context": "c", "answers": {"text": ["b"]}}, 'write a text in "output" \\(an object'),
    ("a.jsonl", {"system_prompt": "s", "question": "a", "response": "b"}, 'the text of "system_prompt" as the first'),
    ("a.jsonl", {"conversations": [{"from": "human", "value": "a"}]}, 'for gpt2 finetune, write {"messages": '),
    ("a.jsonl", {"dialog": [{"speaker": "user", "text": "a"}]}, 'for gpt2 finetune, write {"messages": '),
    ("a.jsonl", {"one": "a", "two": "b"}, 'with field; for gpt2 finetune on answers, rename what is asked to "prompt"'),
    ("a.jsonl", {"body": "a"}, r"\(it has body\): name the one that holds the text with field\.$"),
    ("a.jsonl", TURNS, "list of messages: .*type `jq -c '{messages: .}' < a.jsonl > lines.jsonl`, and use lines.jsonl"),
    ("a.json", [TURNS], r"`jq -c '.\[\] \| {messages: .}' < a.json > lines.jsonl`"),
    ("a.json", TURNS, "is one message, .*`jq -c '{messages: .}' < a.json > lines.jsonl`"),
    ("a.jsonl", [ROW, ROW], r"is a list of 2 objects: .*`jq -c '.\[\]' < a.jsonl > lines.jsonl`"),
    ("a.json", {"data": [ROW] * 3}, "a list of 3 rows in 'data': .*`jq .data < a.json > rows.json`, and use rows.json"),
    ("rows.json", {"train": [ROW], "test": []}, "`jq .train < rows.json > new_rows.json`"),
    ("a.json", {"my rows": [ROW]}, r"""`jq '.\["my rows"\]' < a.json > rows.json`"""),
    ("a.json", {"texts": ["a", "b"]}, r"`jq '\[.texts\[\] \| {text: .}\]' < a.json > rows.json`"),
    ("a.json", {"x": ROW, "y": ROW}, r"holds 2 objects, each under a name: .*`jq '\[.\[\]\]' < a.json"),
    ("a.json", {"one": {"0": "a"}, "two": {"0": "b"}}, "holds columns, .* transpose"),
    ("a.csv", "What is it?,Red\na,b\n", r"put the line prompt,completion before it: type `\(echo prompt,completion; c"),
    ("a.tsv", "It was red and blue\nb\n", r"`\(echo text; cat a.tsv\) > named_a.tsv`, and use named_a.tsv"),
    ("a.csv", "Question,Answer\na,b\n", 'rename "Question" to "prompt" and "Answer" to "completion"'),
    ("a.csv", "a\tb\n1\t2\n", "not by tabs, so save the table .*, or let the name of the file end in .tsv"),
    ("a.jsonl", '[\n{"text": "a"}\n]', r"line 1, begins a list: .*`jq -c '.\[\]' < a.jsonl > lines.jsonl`"),
    ("a.jsonl", '[{"text": "a"},\n{"text": "b"}]', "line 1, begins a list"),
    ("lines.jsonl", '{\n"text": "a"\n}', "`jq -c . < lines.jsonl > new_lines.jsonl`"),
    ("a.jsonl", '{"text": "a"},\n{"text": "b"},', r"stands after the row: type `sed 's/,\[\[:space:\]\]\*\$//' <"),
    ("a.jsonl", "{'text': 'a'}", "as Python writes it, .*: type `python3 -c 'import ast, .*' < a.jsonl > lines.jsonl`"),
    ("a.jsonl", '{"text": "a", "b": None}', "as Python writes it"),
    ("a.json", "[{'text': 'a'}]", r"as Python writes it, .*sys.stdin.read\(\).*> rows.json`"),
    ("a.jsonl", '{"text": "a" "b": 1}', r"is not JSON: a comma is missing, or .*\(at character 14\)\.$"),
    ("a.jsonl", '{"text": "a"} {"text": "b"}', "more stands after the end of the value, which has a line of its own"),
    ("a.jsonl", "Once upon a time", "a file of plain text must end in .txt"),
    ("a.json", '{"text": "a"}\n{"text": "b"}', r"where each line is a row, let the name of the file end in \.jsonl"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "sentence"), FILES)
def test_the_sentence_mends(
    name: str, content: Any, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=sentence):
        list(documents(name))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, 'has no text in "completion" .*: rename "chosen" to "comple'),
        ({"prompt": TURNS[:1], "completion": TURNS[1:]}, 'has messages in "prompt": write {"messages": '),
        ({"prompt": {"0": "a"}, "completion": {"0": "b"}}, "holds columns"),
    ],
)
def test_prompts_and_completions_are_mended_too(row: Any, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match=sentence):
        list(completions(tmp_path / "a.jsonl", Tokenizer.bytes(), 32))


def test_a_table_with_tabs_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('text\tn\nOne, two\t1\n"a\tb"\t2\n')
    assert list(documents(tmp_path / "a.tsv")) == ["One, two", "a\tb"]
    (tmp_path / "b.tsv").write_text("text\tn\na\tb\tc\n")
    with pytest.raises(ValueError, match="put a text with tabs or line ends between double quotes"):
        list(documents(tmp_path / "b.tsv"))


def test_fields_that_are_not_read_are_told() -> None:
    forget()
    with pytest.warns(Note, match=r'^a.jsonl: "system" and "id" are not read. A system message is a message: write'):
        tell_unread("a.jsonl", ["system", "id"])
    with pytest.warns(Note, match=r'^a.jsonl: "a", "b", "c", "d", "e" and 2 more are not read.$'):
        tell_unread("a.jsonl", list("abcdefg"))


def test_half_of_a_row_is_told(tmp_path: Path) -> None:
    forget()
    (tmp_path / "a.csv").write_text("Question,Answer\na,b\n")
    with pytest.warns(Note, match="a.csv: only 'Question' is read, as a text; to fine-tune on answers, rename"):
        assert list(documents(tmp_path / "a.csv", "Question")) == ["a"]


@pytest.mark.parametrize("weights", ["model.safetensors", "model/adapter_model.safetensors"])
def test_a_model_is_no_text(weights: str, tmp_path: Path) -> None:
    file = tmp_path / "run" / weights
    file.parent.mkdir(parents=True)
    file.touch()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=f"holds a model, not text: name it with model='{file.parent}', or name fil"):
        sources([tmp_path / "run"])
    with pytest.raises(ValueError, match="storyteller is the name of a model, not text"):
        sources(["storyteller"])
