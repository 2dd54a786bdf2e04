"""Rows that a program gives to `gpt2.finetune`: errors name them as it does, and unread fields are not judged."""

import datetime
import json
import math
from pathlib import Path
from typing import Any

import pytest
from tuned import PAIRS

import gpt2
from gpt2.base.notes import Note, forget
from gpt2.training.finetune.finetune import FineTune, Settings

LONG = "a b " * 20
ANSWER = {"role": "assistant", "content": "b"}
WRONG: list[tuple[list[Any], str]] = [
    (["one", "two", 3], r"^rows\[2\] is of type int: give a text"),
    ([LONG, {"text": 5}], r"^rows\[1\] has the number 5 in 'text': write a text there"),
    ([LONG, {"title": "x"}], r"^rows\[1\] has no text in a field 'text' \(it has title\)"),
    ([LONG, PAIRS[0]], r'^rows\[1\] has "prompt" and "completion", while the first row has "text"'),
    (["few"], r"^rows has 4 tokens, too few to learn from"),
    ([PAIRS[0], {"prompt": "a", "completion": ""}], r"^rows\[1\] has an empty completion: .* leave the row out"),
    ([PAIRS[0], {"prompt": "a"}], r'^rows\[1\] has no text in "completion"'),
    ([PAIRS[0], {"prompt": LONG, "completion": "a"}], r"^rows\[1\] has a prompt of 80 tokens.*skip_long=True"),
    ([{"prompt": LONG, "completion": "a"}] * 2, r"32, and all 2 rows are so long: shorten them, or use a model with"),
    ([PAIRS[0], *[{"prompt": LONG, "completion": "a"}] * 2], "and 2 of the 3 rows are so long: .*skip_long=True"),
    ([PAIRS[0]], r"^rows has one example, and none to validate on: add some, or name a file of others with val\.$"),
    ([{"messages": [ANSWER]}, {"messages": [{"role": "user", "content": "a"}]}], r"^rows\[1\] has no message of the"),
    ([{"messages": [ANSWER | {"content": 1}]}], r'^rows\[0\] has the number 1 in "content" of message 1'),
    ([{"instruction": "a", "output": ""}], r"^rows\[0\] has an empty output"),
    ([LONG, {"text": {1, 2}}], r"^rows\[1\] holds what JSON cannot \(Object of type set"),
]


@pytest.mark.parametrize(("rows", "sentence"), WRONG)
def test_a_wrong_row_is_named_by_its_index(rows: list[Any], sentence: str, base: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence) as refusal:
        gpt2.finetune(rows=rows, out=tmp_path / "out", model=base)
    assert "rows.jsonl" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_note_names_rows_too(base: str, tmp_path: Path) -> None:
    forget()
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": (LONG + "<|endoftext|>") * 3}) + "\n")
    with pytest.warns(Note, match=r"^rows: the text spells <\|endoftext\|> 3 times"):
        FineTune(Settings(files=(str(tmp_path / "rows.jsonl"),), model=base), called="rows")


class Begun(Exception):
    """The data was read."""


def test_a_field_that_nothing_reads_may_hold_anything(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: FineTune, *args: Any, **named: Any) -> None:
        raise Begun(self.train.tokens + self.val.tokens)

    monkeypatch.setattr(FineTune, "run", run)
    day = datetime.date(2026, 1, 2)
    rows = [{"text": LONG, "score": math.nan, "day": day}, LONG + "\ud800"]
    with pytest.raises(Begun):
        gpt2.finetune(rows=rows, out=tmp_path / "out", model=base)
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps(pair | {"score": -math.inf}) + "\n" for pair in PAIRS))
    with pytest.raises(Begun):
        gpt2.finetune(file, out=tmp_path / "other", model=base)
    file.write_text('{"text": NaN}\n')
    with pytest.raises(ValueError, match=r"data.jsonl, line 1, has the number nan in 'text'"):
        gpt2.finetune(file, out=tmp_path / "third", model=base)
