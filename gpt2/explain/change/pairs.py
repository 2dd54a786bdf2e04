"""Pairs of prompts: one prompt is an anecdote, a hundred pairs are an experiment.

In: a .jsonl file, with the texts `clean`, `corrupt`, `target`, `foil` on each line; or the name of a bundled set.
Out: a `PairSet` of token ids, each pair checked; `accuracy`, how often the model prefers the right word.
Read next: pair_effects.py, which asks what carries the preference.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.foreign import shortened
from gpt2.base.given import read_given
from gpt2.base.onednn import forward_only
from gpt2.base.plain import plain
from gpt2.base.twin import in_evaluation
from gpt2.checkpoint.opened import Model, opened
from gpt2.data.json_lines import json_lines
from gpt2.explain.change.intervals import ONE_PAIR, Estimate, bootstrap, wilson
from gpt2.explain.change.patching import check_prompts
from gpt2.explain.show.result import Result, table
from gpt2.model import GPT2
from gpt2.text.words import encode, token_id

if TYPE_CHECKING:
    from rich.table import Table

BUNDLED = Path(__file__).parents[2] / "assets" / "pairs"
BEHAVIOURS = {
    "pronoun": "a pronoun agrees with the name before it",
    "name": "a name that was mentioned comes again",
    "verb": "a verb agrees in number with its noun",
    "quote": "an opened quotation mark is closed",
}
FIELDS = ("clean", "corrupt", "target", "foil")


@dataclass(frozen=True)
class Pair:
    """Two prompts of one length, as token ids, and the word that is right after the clean one, and after the other."""

    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    target: int
    foil: int


@dataclass(frozen=True, eq=False, repr=False)
class PairSet(Result):
    """Pairs that one model can read. `where` holds each pair's place in the file, `texts` what stands there."""

    name: str
    pairs: tuple[Pair, ...]
    texts: tuple[dict[str, str], ...]
    where: tuple[str, ...]

    def by_length(self) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor, Tensor]]:
        """Pairs of equal length together: their numbers, clean [N, T], corrupt [N, T], target [N], foil [N]."""
        for length in sorted({len(pair.clean) for pair in self.pairs}):
            numbers = [n for n, pair in enumerate(self.pairs) if len(pair.clean) == length]
            chosen = [self.pairs[n] for n in numbers]
            clean, corrupt = (torch.tensor([getattr(p, side) for p in chosen]) for side in ("clean", "corrupt"))
            target, foil = (torch.tensor([getattr(p, word) for p in chosen]) for word in ("target", "foil"))
            yield numbers, clean, corrupt, target, foil

    def table(self) -> "Table":
        """Every pair."""
        made = table(*FIELDS, title=f"{self.name}: {counted(len(self.pairs), 'pair')}")
        for text in self.texts:
            made.add_row(*(text[name] for name in FIELDS))
        return made

    def to_dict(self) -> dict[str, Any]:
        """Name and texts."""
        return {"name": self.name, "pairs": [dict(text) for text in self.texts]}


def read_pairs(model: Model, file: str | os.PathLike[str]) -> PairSet:
    """The pairs of a file, or of a bundled set ("pronoun", "name", "verb", "quote"), in this model's tokens.

    Raises ValueError, with file and line, for what is no such object, a target or foil that is not one token, prompts
    of unequal length or equal text; UsageError for a bare GPT2, which cannot read texts.
    """
    gpt, tokenizer = opened(model)
    if tokenizer is None:
        raise UsageError("a bare GPT2 has no tokenizer to read pairs with: give what gpt2.load(name) returns.")
    path = BUNDLED / f"{file}.jsonl" if str(file) in BEHAVIOURS else Path(file)
    try:
        content = read_given(path)
    except OSError as error:
        known = ", ".join(BEHAVIOURS)
        raise ValueError(f"{file} cannot be read ({error.strerror}): give a .jsonl file, or one of {known}.") from None
    pairs, texts, where = [], [], []
    for line, record in json_lines(Path(path.name), BytesIO(content)):
        place = line.rstrip(",")
        text = _fields(record, place)
        try:
            clean, corrupt = (encode(gpt, tokenizer, text[side]) for side in ("clean", "corrupt"))
            check_prompts(clean, corrupt, tokenizer)
            target, foil = (token_id(gpt, tokenizer, text[word]) for word in ("target", "foil"))
        except UsageError as error:
            raise ValueError(f"{place}: {error}") from None
        if target == foil:
            raise ValueError(f"{place}: target and foil are both {shortened(text['target'])}.")
        pairs.append(Pair(tuple(clean[0].tolist()), tuple(corrupt[0].tolist()), target, foil))
        texts.append(text)
        where.append(place)
    if not pairs:
        raise ValueError(f"{path.name} holds no pairs: write one object per line, with {', '.join(FIELDS)}.")
    return PairSet(str(file) if str(file) in BEHAVIOURS else path.name, tuple(pairs), tuple(texts), tuple(where))


def _fields(record: Any, place: str) -> dict[str, str]:
    missing = [name for name in FIELDS if not isinstance(record, dict) or not isinstance(record.get(name), str)]
    if missing:
        raise ValueError(f"{place}, has no text in {missing[0]!r}: it needs {', '.join(FIELDS)}.")
    return {name: record[name] for name in FIELDS}


@dataclass(frozen=True, eq=False, repr=False)
class Accuracy(Result):
    """How often a model is right on N pairs; 95% Wilson intervals. A fixed preference for one word scores a half.

    leads           [N, 2], logit(target) - logit(foil) after the clean and after the corrupt prompt
    clean, corrupt  share of pairs with a lead above 0 after the clean, below 0 after the corrupt prompt
    both            share of pairs that are right on both sides
    lead            mean lead after the clean prompt, in logits, with its bootstrap interval over pairs
    """

    name: str
    leads: Tensor

    @property
    def clean(self) -> Estimate:
        """The share of pairs with a lead above 0 after the clean prompt."""
        return self._share(self.leads[:, 0] > 0)

    @property
    def corrupt(self) -> Estimate:
        """The share of pairs with a lead below 0 after the corrupt prompt."""
        return self._share(self.leads[:, 1] < 0)

    @property
    def both(self) -> Estimate:
        """The share of pairs that are right after both prompts."""
        return self._share((self.leads[:, 0] > 0) & (self.leads[:, 1] < 0))

    @property
    def lead(self) -> Estimate:
        """The mean lead after the clean prompt, in logits, with its bootstrap interval over pairs."""
        return bootstrap(self.leads[:, 0])

    @property
    def present(self) -> bool:
        """Whether the model has this behaviour: its accuracy on the clean prompts is surely above a half."""
        return self.clean.low.item() > 0.5

    @staticmethod
    def _share(right: Tensor) -> Estimate:
        return wilson(int(right.sum()), len(right))

    def table(self) -> "Table":
        """The three shares."""
        caption = None if len(self.leads) > 1 else f"mean lead: {ONE_PAIR}"
        made = table("pairs", ">clean right", ">corrupt right", ">both right", ">mean lead", caption=caption)
        shares = (f"{share:.2f}" for share in (self.clean, self.corrupt, self.both))
        made.add_row(f"{self.name} ({len(self.leads)})", *shares, f"{self.lead:+.2f}")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Shares with intervals, and every pair's leads."""
        shares = {name: getattr(self, name).to_dict() for name in ("clean", "corrupt", "both", "lead")}
        return plain({"name": self.name, "pairs": len(self.leads), **shares, "leads": self.leads})


def accuracy(model: Model, pairs: PairSet) -> Accuracy:
    """How often the model prefers the target after the clean prompt, and the foil after the corrupt one."""
    gpt, _ = opened(model)
    found = torch.zeros(len(pairs.pairs), 2, dtype=torch.float64)
    for numbers, clean, corrupt, target, foil in pairs.by_length():
        found[numbers, 0], found[numbers, 1] = leads(gpt, clean, target, foil), leads(gpt, corrupt, target, foil)
    return Accuracy(pairs.name, found)


def leads(model: GPT2, ids: Tensor, target: Tensor, foil: Tensor) -> Tensor:
    """logit(target) - logit(foil) after each prompt, without dropout: ids [N, T], target and foil [N] -> [N]."""
    device, quiet = model.lm_head.weight.device, in_evaluation(model)
    with forward_only(model.lm_head.weight):
        logits = quiet.head(quiet.hidden(ids.to(device))[:, -1]).cpu()  # (N, V)
    return (logits.gather(1, target[:, None]) - logits.gather(1, foil[:, None]))[:, 0].double()
