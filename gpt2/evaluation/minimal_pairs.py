"""Minimal pairs: of two sentences that differ in one point, does the model prefer the good one (BLiMP's format)?

In: a model and pairs, {"sentence_good", "sentence_bad", "UID", "linguistics_term"} a line. Out: the share of pairs
whose good sentence has the higher log probability, over all of its tokens, with a 95% interval: by phenomenon
(`linguistics_term`), by paradigm (`UID`) and for all. Each sentence stands alone after the token that opens a text.
Source: Warstadt et al. 2020, "BLiMP: The Benchmark of Linguistic Minimal Pairs for English", section 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.notes import note
from gpt2.evaluation.blimp_published import PHENOMENON, published
from gpt2.evaluation.items import Source, name_of, records, texts_of
from gpt2.evaluation.likelihood import Progress, Question, answer
from gpt2.evaluation.measures import Figure, accuracy
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer, well_formed

CHANCE = 0.5
FORM = '{"sentence_good": "The cats sleep.", "sentence_bad": "The cats sleeps."}'
"""A pair as a line of the file."""


@dataclass(frozen=True)
class Pair:
    """Two sentences, and what they test; `id` is the file's `pairID`, or the number of the pair in the file."""

    id: str
    phenomenon: str
    paradigm: str
    good: str
    bad: str


@dataclass(frozen=True)
class Judgement:
    """Natural log probabilities of the two sentences of a pair."""

    pair: Pair
    good: float
    bad: float

    @property
    def right(self) -> bool:
        """Whether the good sentence is the likelier; two that are alike are not right."""
        return self.good > self.bad


@dataclass(frozen=True)
class PairsResult:
    """The judgements in the order of the pairs, and accuracies: for all, by phenomenon and by paradigm.

    A figure's `published` is the mean over its paradigms for GPT-2 large.
    """

    judgements: tuple[Judgement, ...]
    overall: Figure
    phenomena: Mapping[str, Figure]
    paradigms: Mapping[str, Figure]

    def counts(self) -> dict[str, int]:
        """How many pairs each phenomenon has."""
        return {name: sum(j.pair.phenomenon == name for j in self.judgements) for name in self.phenomena}

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "pairs": len(self.judgements),
            "overall": self.overall.to_dict(),
            "phenomena": {name: figure.to_dict() for name, figure in self.phenomena.items()},
            "paradigms": {name: figure.to_dict() for name, figure in self.paradigms.items()},
        }


def read(source: Source) -> list[Pair]:
    """The pairs of a file. Only the two sentences are needed: a pair without a paradigm belongs to "all pairs".

    A paradigm of BLiMP's stands under the phenomenon of the paper's table, whose argument structure has the two that
    the file calls s-selection. Raises ValueError naming the line for a line that is not a pair.
    """
    found, same = [], list[str]()
    for number, (where, record) in enumerate(records(source, FORM), start=1):
        good, bad = map(well_formed, texts_of(record, ("sentence_good", "sentence_bad"), where, FORM))
        same += [where.rstrip(",")] * (good == bad)
        paradigm = str(record.get("UID") or record.get("linguistics_term") or "all pairs")
        phenomenon = PHENOMENON.get(paradigm) or str(record.get("linguistics_term") or paradigm)
        found.append(Pair(str(record.get("pairID", number)), phenomenon, paradigm, good, bad))
    if not found:
        raise ValueError(f"{name_of(source)} holds no pair: it is empty.")
    if same:
        note(
            f"{counted(len(same), 'pair')} with the same text as sentence_good and as sentence_bad, the first at "
            f"{same[0]}: such a pair counts as wrong, so correct the file."
        )
    return found


def evaluate(
    model: GPT2, tokenizer: Tokenizer, pairs: Sequence[Pair], progress: Progress = lambda done, total: None
) -> PairsResult:
    """Judge each pair. Raises UsageError for no pairs; ValueError for a tokenizer without a token that opens a text,
    and for a sentence longer than the context."""
    if not pairs:
        raise UsageError("there is no pair to judge: give at least one.")
    if tokenizer.bos_id is None:
        raise ValueError("the tokenizer has no token that opens a text: its model cannot judge whole sentences.")
    ids = iter(tokenizer.encode_batch([text for pair in pairs for text in (pair.good, pair.bad)], threads=1))
    questions = [Question([tokenizer.bos_id], [next(ids), next(ids)]) for _ in pairs]
    found = answer(model, questions, progress=progress)
    judged = tuple(Judgement(pair, *(one.total for one in two)) for pair, two in zip(pairs, found, strict=True))
    return PairsResult(
        judged,
        _figure(judged),
        {name: _figure(group) for name, group in _groups(judged, "phenomenon").items()},
        {name: _figure(group) for name, group in _groups(judged, "paradigm").items()},
    )


def _groups(judged: Sequence[Judgement], by: str) -> dict[str, list[Judgement]]:
    found: dict[str, list[Judgement]] = {}
    for one in sorted(judged, key=lambda j: str(getattr(j.pair, by))):
        found.setdefault(getattr(one.pair, by), []).append(one)
    return found


def _figure(judged: Sequence[Judgement]) -> Figure:
    return accuracy([j.right for j in judged], CHANCE, published(j.pair.paradigm for j in judged))
