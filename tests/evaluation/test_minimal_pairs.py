"""Minimal pairs against sums of transformers' log probabilities, and BLiMP's table beside them."""

import json
import math

import pytest
import torch

from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.evaluation.blimp_published import ACCURACY, PHENOMENON, published
from gpt2.evaluation.measures import accuracy
from gpt2.evaluation.minimal_pairs import Pair, evaluate, read
from gpt2.text.tokenizer import Tokenizer
from tests.twins import twins

CONFIG = GPT2Config(vocab_size=257, n_positions=48, n_embd=16, n_layer=2, n_head=2)
SENTENCES = ["A dog barks.", "A dog bark.", "She likes tea", "She like tea", "Go!", "Goes!", "Same", "Same"]
PARADIGMS = ["anaphor_gender_agreement", "animate_subject_trans", "causative", "animate_subject_trans"]


def lines(path, records):
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


@pytest.fixture
def pairs(tmp_path):
    terms = ["anaphor_agreement", "s-selection", "argument_structure", "s-selection"]
    rows = zip(SENTENCES[::2], SENTENCES[1::2], PARADIGMS, terms, strict=True)
    return lines(
        tmp_path / "pairs.jsonl",
        [
            {"sentence_good": a, "sentence_bad": b, "UID": u, "linguistics_term": t, "pairID": str(n)}
            for n, (a, b, u, t) in enumerate(rows)
        ],
    )


def test_the_likelier_sentence_is_chosen(pairs):
    ours, hf = twins(CONFIG, 3, torch.randint(257, (1, 16), generator=torch.Generator().manual_seed(0)))
    found = read(pairs)
    assert [p.phenomenon for p in found] == ["anaphor_agreement", *["argument_structure"] * 3]
    result = evaluate(ours, Tokenizer.bytes(), found)
    totals = []
    for sentence in SENTENCES:
        ids = torch.tensor([[256, *Tokenizer.bytes().encode(sentence)]])
        with torch.no_grad():
            log_p = hf(ids).logits[0, :-1].log_softmax(-1)
        totals.append(log_p.gather(1, ids[0, 1:, None]).sum().item())
    assert [x for j in result.judgements for x in (j.good, j.bad)] == pytest.approx(totals, abs=1e-9)
    right = [good > bad for good, bad in zip(totals[::2], totals[1::2], strict=True)]
    assert [j.right for j in result.judgements] == [*right[:3], False]  # two that are alike are not right
    wanted = accuracy(right, 0.5)
    assert (result.overall.value, result.overall.low, result.overall.high) == (wanted.value, wanted.low, wanted.high)
    assert result.phenomena["argument_structure"].value == sum(right[1:]) / 3
    assert result.paradigms["animate_subject_trans"].value == (right[1] + right[3]) / 2
    assert result.counts() == {"anaphor_agreement": 1, "argument_structure": 3}
    assert result.phenomena["anaphor_agreement"].published == 0.994
    assert result.phenomena["argument_structure"].published == pytest.approx((0.849 + 0.782) / 2)
    assert json.loads(json.dumps(result.to_dict()))["pairs"] == 4


def test_the_published_table():
    assert len(PHENOMENON) == 67
    assert len(ACCURACY) == 12
    assert published(PHENOMENON) == pytest.approx(0.830238806)  # the table's own line "overall"
    assert published(ACCURACY["quantifiers"]) == pytest.approx(0.79025)
    assert published(["causative", "mine"]) is None
    assert published([]) is None


def test_pairs_of_ones_own_need_only_two_sentences(tmp_path):
    path = lines(tmp_path / "own.jsonl", [{"sentence_good": "a", "sentence_bad": "b"}] * 2)
    assert read(path) == [Pair(str(n), "all pairs", "all pairs", "a", "b") for n in (1, 2)]


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([], "holds no pair"),
        ([{"sentence_good": "a"}], "line 1, has no text in a field 'sentence_bad'"),
        ([{"good": "a", "bad": "b"}], "in the fields 'sentence_good' and 'sentence_bad' .it has good, bad.: write {"),
        (
            [{"sentence_good": 3, "sentence_bad": "b"}],
            "line 1, has the number 3 in 'sentence_good': write a text there",
        ),
        ([{"sentence_good": "a", "sentence_bad": " "}], "line 1, has no text in 'sentence_bad': write some there, or"),
    ],
)
def test_files_that_are_refused(records, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        read(lines(tmp_path / "x.jsonl", records))


def test_nothing_to_judge():
    with pytest.raises(UsageError, match="no pair to judge"):
        evaluate(None, Tokenizer.bytes(), [])
    assert math.isclose(accuracy([True], 0.5).low, 0.2065, abs_tol=1e-4)
