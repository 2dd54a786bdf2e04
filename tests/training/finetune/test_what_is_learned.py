"""What a fine-tune learns from and what is held out: texts, and prompts with completions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tuned import EOT, PAIRS, TEXT, ids_of, loss_by_transformers

from gpt2.base.errors import UsageError
from gpt2.base.notes import Note
from gpt2.cli.main import main
from gpt2.data.completions import completions
from gpt2.data.examples import Examples
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.finetune.finetune import FineTune, Settings
from gpt2.training.loop import TrainingRun


def test_the_end_of_a_text_is_held_out(base: str, text: str) -> None:
    tuning = FineTune(Settings((text,), model=base))
    ids = [*ids_of(TEXT), EOT]
    held = round(0.1 * len(ids))
    train = [token for e in tuning.train.examples for token in e.ids[e.first :].tolist()]
    val = [token for e in tuning.val.examples for token in e.ids[e.first :].tolist()]
    assert [ids[0], *train, *val] == ids
    assert len(val) == held


def test_whole_documents_are_held_out(base: str, tmp_path: Path) -> None:
    stories = [f"story {n} " * 5 for n in range(30)]
    path = tmp_path / "stories.jsonl"
    path.write_text("".join(json.dumps({"story": story}) + "\n" for story in stories))
    tuning = FineTune(Settings((str(path),), model=base, field="story"))
    found = []
    for examples in (tuning.train, tuning.val):
        first, *others = examples.examples
        ids = [*first.ids.tolist(), *(token for e in others for token in e.ids[1:].tolist())]
        found.append(Tokenizer.bytes().decode(token for token in ids if token != EOT))
    assert sorted(len(part) for part in found)[0] <= 0.1 * sum(map(len, stories))
    assert [story for story in stories if story in found[0]] == [story for story in stories if story not in found[1]]
    assert found[1]


def test_a_file_to_validate_on(base: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("something else")
    tuning = FineTune(Settings((text,), model=base, val=str(tmp_path / "val.txt")))
    assert tuning.val.examples[0].ids.tolist() == [*ids_of("something else"), EOT]
    assert tuning.train.tokens == len(TEXT)


def test_only_completions_count(base: str, pairs: str) -> None:
    """The validation loss, and the loss of a training step with micro-batches, beside transformers'."""
    settings = Settings((pairs,), model=base, val=pairs, batch_size=len(PAIRS), micro_batch_size=3)
    tuning = FineTune(settings)
    expected = loss_by_transformers(
        base,
        [([*ids_of(p["prompt"] + p["completion"]), EOT], len(p["prompt"])) for p in PAIRS],
    )
    run = TrainingRun(tuning.recipe, tuning.task)
    assert list(run.evaluate().values()) == pytest.approx([expected], abs=1e-5)
    assert run.step(0)["loss"] == pytest.approx(expected, abs=1e-5)


def test_prompts_are_read_and_not_predicted(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('\ufeff{"prompt": "ab", "completion": "cd"}\n\n{"completion": "c", "prompt": "a", "id": 7}\n')
    examples = Examples(completions(path, Tokenizer.bytes(), 32))
    ids, targets = examples.rows(0, 2)
    a, b, c, d = ids_of("abcd")
    assert ids.tolist() == [[a, b, c, d], [a, c, 0, 0]]
    assert targets.tolist() == [[-100, c, d, EOT], [c, EOT, -100, -100]]
    assert examples.tokens == 5


def test_a_completion_past_the_context_is_cut(base: str, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(f'{{"prompt": "{"a" * 30}", "completion": "{"b" * 30}"}}\n{{"prompt": "a", "completion": "b"}}\n')
    tuning = FineTune(Settings((str(path),), model=base, val=str(path)))
    assert tuning.cut == 2  # once in what is learned, once in what validates
    assert tuning.train.examples[0].ids.tolist() == ids_of("a" * 30 + "b" * 3)


def test_special_tokens_in_a_text_to_fine_tune_on(base: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello there<|endoftext|>you all\n" * 20)
    with pytest.warns(Note, match="spells <|endoftext|> 20 times"):
        plain = FineTune(Settings((str(path),), model=base, val=str(path)))
    special, split = (
        FineTune(Settings((str(path),), model=base, val=str(path), **{name: True}))
        for name in ("allow_special", "split_inline")
    )
    counts = []
    for tuning in (plain, special, split):
        ids = np.concatenate([example.ids[1:] for example in tuning.val.examples])
        counts.append(int((ids == EOT).sum()))
        assert "endoftext" not in tuning.samples.hint(tuning.samples.prompt())[0]
    assert counts == [1, 21, 21]
    assert special.samples.hint([EOT, *ids_of("ab"), EOT, 97]) == ("ab", False)


@pytest.mark.parametrize("content, said", [
    ("", "holds no document"),
    ("too short", "has 10 tokens, too few to learn from: give at least 32"),
])  # fmt: skip
def test_texts_without_text(base: str, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(ValueError, match=said):
        FineTune(Settings((str(tmp_path / "a.txt"),), model=base))


def test_a_text_shorter_than_a_window_is_learned_all_the_same(base: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("forty characters are enough for a try.")
    tuning = FineTune(Settings((str(tmp_path / "a.txt"),), model=base))
    assert (tuning.train.tokens, tuning.val.tokens, len(tuning.train)) == (34, 4, 2)
    result = tuning.run(tmp_path / "run")
    assert result.finished


@pytest.mark.parametrize("line, said", [
    ('{"prompt": "a"}', r'line 3, has no text in "completion" \(it has prompt\)'),
    ('{"completion": "a", "prompt": 5}', r'line 3, has the number 5 in "prompt"'),
    ('{"prompt": "a", "completion": ""}', "line 3, has an empty completion"),
    ('{"prompt": "", "completion": "a"}', "line 3, has an empty prompt"),
    ('{"prompt": "a" "completion": ""}', "line 3, is not JSON"),
    ('["a", "b"]', "line 3, is not an object"),
    (json.dumps({"prompt": "a" * 33, "completion": "b"}), "line 3, has a prompt of 33 tokens, but the context is 32"),
])  # fmt: skip
def test_lines_that_are_no_prompt_and_completion(base: str, tmp_path: Path, line: str, said: str) -> None:
    good = '{"prompt": "a", "completion": "b"}\n'
    (tmp_path / "a.jsonl").write_text(f"{good}\n{line}\n{good}")
    with pytest.raises(ValueError, match=said):
        FineTune(Settings((str(tmp_path / "a.jsonl"),), model=base))


def test_one_example_cannot_validate_itself(base: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(ValueError, match="has one example, and none to validate on"):
        FineTune(Settings((str(tmp_path / "a.jsonl"),), model=base))


def test_text_and_completions_do_not_mix(base: str, text: str, pairs: str) -> None:
    with pytest.raises(UsageError, match=r"words\.jsonl does not hold text"):
        FineTune(Settings((text, pairs), model=base))
    with pytest.raises(UsageError, match=r"numbers\.txt does not hold prompts and completions"):
        FineTune(Settings((pairs,), model=base, val=text))


@pytest.mark.parametrize("first, other, forms", [
    (PAIRS[0], {"messages": []}, ('"messages"', '"prompt" and "completion"')),
    (PAIRS[0], {"text": "a"}, ('"text"', '"prompt" and "completion"')),
    ({"text": "a" * 40}, PAIRS[0], ('"prompt" and "completion"', '"text"')),
    ({"text": "a" * 40}, {"instruction": "a", "output": "b"}, ('"instruction" and "output"', '"text"')),
    ({"instruction": "a", "output": "b"}, PAIRS[0], ('"prompt" and "completion"', '"instruction" and "output"')),
])  # fmt: skip
def test_rows_of_two_forms_in_a_file(
    base: str, tmp_path: Path, first: dict[str, Any], other: dict[str, Any], forms: tuple[str, str]
) -> None:
    """The sentence spoke of a field that neither form has."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (first, first, other)))
    said = f"line 3, has {forms[0]}, while the first row has {forms[1]}: all rows must have one form, so leave this one"
    with pytest.raises(ValueError, match=said):
        FineTune(Settings((str(path),), model=base))


@pytest.mark.parametrize("long, rows", [
    ({"prompt": "a" * 40, "completion": "b"}, PAIRS),
    ({"instruction": "a" * 40, "output": "b"}, [{"instruction": "a", "output": "b"}] * 8),
])  # fmt: skip
def test_rows_whose_answer_begins_past_the_context(
    base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], long: dict[str, str], rows: list[dict[str, str]]
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (long, *rows)))
    words = ["finetune", str(path), "--model", base, "--out", str(tmp_path / "run"), "--epochs", "0.1"]
    assert main(words) == 1
    assert "but the context is 32: shorten it, or leave such rows out with --skip-long." in capsys.readouterr().err
    tuning = FineTune(Settings((str(path),), model=base, skip_long=True))
    assert (tuning.skipped, len(tuning.train) + len(tuning.val)) == (1, len(rows))
    assert main([*words, "--skip-long"]) == 0
    assert "left out 1 row whose answer would begin past the context of 32 tokens" in capsys.readouterr().out
    path.write_text(json.dumps(long) + "\n")
    with pytest.raises(ValueError, match="the answer of every row begins past the context of 32 tokens"):
        FineTune(Settings((str(path),), model=base, skip_long=True))
