"""The ledger: every statement of the original guide, and what became of it.

In: docs/claims.toml. Out: `Ledger`, which judges and prints them. A verdict is computed: by a test over measured
numbers, by a share, or by differences in loss, each by the one rule of verdicts.py. Only what nothing was to prove (an
illustration) and what was not measured (undecided) has a verdict that is written down. Read next: render.py.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from scripts.guides.study import Evidence
from scripts.guides.verdicts import (
    VERDICTS,
    Direction,
    Interval,
    Verdict,
    depending,
    of_cases,
    of_difference,
    of_settings,
    of_share,
)

WRITTEN = ("illustration", "undecided")
STUDIES = {"minute": ("--jobs 2 --threads 1", "minute"), "gpu": ("--jobs 4 --threads 1", "gpu")}


class LedgerError(ValueError):
    """A ledger that cannot be rendered; the sentence names the claim."""


@dataclass(frozen=True)
class Claim:
    """One statement of the original guide, and one way to its verdict.

    id          section letter and number, T3
    says        the statement, in our own words
    measure     what was measured or looked up, a template
    verdict     illustration or undecided, with no way to another one
    test        an expression over the measured numbers: true, it holds; false, it fails; none, undecided
    share       an expression for a share with its interval, [mean, low, high]
    contestant  of the ablation study: the statement `implies` that its loss is "higher" or "lower"
    settings    an expression for a list of intervals of differences, with the same `implies`
    room        an expression for the largest effect that there could have been, where that is bounded
    cases       an expression for [words, whether it is so there] pairs: moments of a training, learning rates
    rule        in words, when a test with a threshold, or each case, counts as so
    exact       whether a test has no threshold that somebody chose: an equality, a count, arithmetic
    planned     whether the rule and what was expected were written before these runs
    command     a command of gpt2 that shows more;  shows: a text in the line of its output that the ledger quotes
    """

    id: str
    says: str
    measure: str = ""
    verdict: Verdict | None = None
    test: str | None = None
    share: str | None = None
    contestant: str | None = None
    settings: str | None = None
    implies: Direction | None = None
    room: str | None = None
    cases: str | None = None
    rule: str = ""
    exact: bool = False
    planned: bool = False
    command: str = ""
    shows: str = ""

    def check(self) -> None:
        """Raises LedgerError for a claim without exactly one way to a verdict, or without a measure."""
        if not re.fullmatch(r"[A-Z][1-9]\d?", self.id):
            raise LedgerError(f"{self.id!r} is no id: a section's letter and a number.")
        ways = [self.verdict, self.test, self.share, self.contestant, self.settings, self.cases]
        directed = self.contestant is not None or self.settings is not None
        if sum(way is not None for way in ways) != 1 or directed != (self.implies is not None):
            raise LedgerError(
                f"{self.id} needs one of a test, a share, cases, or a contestant or settings with implies."
            )
        if self.verdict is not None and self.verdict not in WRITTEN:
            raise LedgerError(f"{self.id}: the verdict {self.verdict!r} is not {' or '.join(WRITTEN)}: compute it.")
        if self.implies not in (None, "higher", "lower"):
            raise LedgerError(f"{self.id} implies {self.implies!r}: write higher or lower.")
        if not self.says or (not self.measure and self.contestant is None):
            raise LedgerError(f"{self.id} needs what it says, and what was measured.")
        chosen = self.cases is not None or (self.test is not None and not self.exact)
        if chosen != bool(self.rule):
            raise LedgerError(f"{self.id} needs a rule in words if a test or a case has a threshold, and only then.")
        if bool(self.shows) > bool(self.command):
            raise LedgerError(f"{self.id} shows a line of no command.")

    @property
    def text(self) -> str:
        """All that is computed of it, to see what it rests on."""
        return " ".join(filter(None, (self.measure, self.test, self.share, self.settings, self.cases)))

    @property
    def sections(self) -> list[str]:
        """The sections of measured numbers that it needs."""
        return list(dict.fromkeys(re.findall(r"\bn\.(\w+)", self.text)))

    @property
    def exploratory(self) -> bool:
        """Whether the rule that judges it was written with its figures known."""
        return self.verdict is None and not self.exact and not self.planned

    def studies(self, evidence: Evidence) -> list[str]:
        """The studies whose runs it rests on, by name."""
        found = [s.where for s in evidence.settings(self.contestant)] if self.contestant else []
        if re.search(r"study\.(?:first|mean|means|crossed|beyond|reach|broken)\b", self.text):
            found.append(evidence.first.study.name)
        if re.search(r"study\.(?:larger|deep|reach|broken)\b", self.text):
            found.append(evidence.larger.study.name)
        for name in re.findall(r"study\.(?:contrast|settings)\('([\w-]+)'", self.text):
            found += [f.study.name for f, there in evidence.of(name) if f.setting(there)]
        found += [name for name in ("dropout", "collapse") if re.search(rf"(?<!n\.)\b{name}\.", self.text)]
        return list(dict.fromkeys(found))


class Ledger:
    """The claims by id, and which of them a document has cited."""

    def __init__(self, path: Path) -> None:
        table = tomllib.loads(path.read_text("utf-8"))
        self.sections: dict[str, str] = table["sections"]
        self.claims: dict[str, Claim] = {}
        for entry in table["claim"]:
            try:
                claim = Claim(**entry)
            except TypeError as error:
                raise LedgerError(f"{entry.get('id')}: {str(error).split('() ')[-1]}.") from None
            claim.check()
            if claim.id in self.claims:
                raise LedgerError(f"{claim.id} stands twice.")
            if claim.id[0] not in self.sections:
                raise LedgerError(f"{claim.id}: there is no section {claim.id[0]!r}.")
            self.claims[claim.id] = claim
        self.cited: set[str] = set()

    def of(self, section: str) -> list[Claim]:
        """The claims of a section, in their order. Raises LedgerError for an unknown one."""
        if section not in self.sections:
            raise LedgerError(f"there is no section {section!r}.")
        return [claim for claim in self.claims.values() if claim.id[0] == section]

    def cite(self, id: str) -> Claim:
        """A claim, which counts as cited from now on. Raises LedgerError for an id that the ledger lacks."""
        if id not in self.claims:
            raise LedgerError(f"there is no claim {id!r} in docs/claims.toml.")
        self.cited.add(id)
        return self.claims[id]


def judged(claim: Claim, evaluate: Callable[[str], Any], evidence: Evidence) -> Verdict:
    """The verdict, by the one rule; `evaluate` gives an expression's value."""
    if claim.verdict is not None:
        return claim.verdict
    if claim.contestant is not None and claim.implies is not None:
        return evidence.verdict(claim.contestant, claim.implies)
    if claim.settings is not None and claim.implies is not None:
        return of_settings(evaluate(claim.settings), claim.implies, evaluate(claim.room) if claim.room else inf)
    if claim.cases is not None:
        return of_cases([(words, so) for words, so in evaluate(claim.cases)])
    if claim.share is not None:
        _, low, high = evaluate(claim.share)
        return of_share(low, high)
    value = evaluate(claim.test or "")
    return "undecided" if value is None else "holds" if value else "fails"


def measured(claim: Claim, fill: Callable[[str], str], evaluate: Callable[[str], Any], evidence: Evidence) -> str:
    """What was measured, with its numbers; `fill` renders a template."""
    said = fill(claim.measure)
    if claim.contestant is not None and claim.implies is not None:
        contestants = evidence.first.study.contestants
        c = contestants[claim.contestant]
        found = evidence.contrast(claim.contestant)
        each = evidence.by_study(claim.contestant, claim.implies)
        settings = evidence.settings(claim.contestant)
        said = (
            f"{c.title} against {contestants[c.against].title}: {found}. Judged one by one: {each}."
            f"{_on_what(settings, claim.implies)} {said}"
        ).rstrip()
    if claim.settings is not None and claim.implies is not None:
        settings = evaluate(claim.settings)
        room = evaluate(claim.room) if claim.room else inf
        each = "; ".join(f"{s.where}: {shown(s)}, {of_difference(s, claim.implies, room)}" for s in settings)
        said = f"{said} {each or 'Not run yet'}.{_on_what(settings, claim.implies)}".strip()
    if claim.cases is not None:
        words = {True: "so", False: "not so", None: "undecided"}
        said = f"{said} Judged {'; '.join(f'{case}: {words[so]}' for case, so in evaluate(claim.cases))}."
    return f"{said} Rule: {fill(claim.rule)}" if claim.rule else said


def shown(s: Interval) -> str:
    """A difference with its interval, over how many seeds, and at which level."""
    return f"{s.mean:+.3f} [{s.low:+.3f}, {s.high:+.3f}] ({len(s.differences)} seeds, {100 * s.level:g}%)"


def _on_what(settings: list[Interval], direction: Direction) -> str:
    """The two settings on which it depends, in a sentence; "" where it does not."""
    pair = depending(settings, [of_difference(s, direction) for s in settings])
    return f" It depends on the setting: {pair[0]} or {pair[1]}." if pair else ""


def training_command(study: str) -> str:
    """What repeats a study's trainings."""
    if study in STUDIES:
        options, name = STUDIES[study]
        return f"gpt2 ablate recipes/ablation/{name}.toml {options}"
    return f"python -m scripts.guides.train {study}"


__all__ = ["VERDICTS", "Claim", "Ledger", "LedgerError", "judged", "measured", "training_command"]
