"""What a file of texts or pairs holds that is not read, or cannot be judged, is said once."""

import json
from pathlib import Path

import pytest

from gpt2.base import notes
from gpt2.evaluation import minimal_pairs, stimuli


@pytest.fixture(autouse=True)
def afresh() -> None:
    notes.forget()


def test_a_context_under_another_name_is_said(tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text("id,prefix,condition,text\n1,Once upon a time,A,the cat sat.\n")
    with pytest.warns(notes.Note, match=r"no text has a context, and prefix is not read: .* must be called context\."):
        stimuli.read(file)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("columns", ["id,context,gloss,text\n1,a b,c d,e.", "id,condition,text\n1,A,the cat."])
def test_other_columns_are_nothing_to_say(columns: str, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text(columns)
    assert len(stimuli.read(file)) == 1


def test_pairs_of_one_text_are_said(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [{"sentence_good": good, "sentence_bad": "a b."} for good in ("b a.", "a b.", "a b.")]
    file.write_text("\n".join(map(json.dumps, rows)))
    with pytest.warns(notes.Note, match=r"2 pairs with the same text .* the first at .*pairs\.jsonl, line 2: such a"):
        assert len(minimal_pairs.read(file)) == 3
