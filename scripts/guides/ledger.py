"""The ledger: every statement of the original guide, and what became of it.

In: docs/claims.toml. Out: `Ledger`, which judges and prints them. A claim's verdict is written down, or computed: by a
`test` over measured numbers, or by a contestant of the ablation study and the difference that the statement implies.
Read next: render.py.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scripts.guides.study import Evidence

Verdict = Literal["holds", "fails", "illustration", "undecided"]
VERDICTS = ("holds", "fails", "illustration", "undecided")


class LedgerError(ValueError):
    """A ledger that cannot be rendered; the sentence names the claim."""


@dataclass(frozen=True)
class Claim:
    """One statement of the original guide.

    id          section letter and number, T3
    says        the statement, in our own words
    measure     what was measured or looked up, a template
    verdict     one of VERDICTS, where it is not computed
    test        an expression over the measured numbers: true, it holds; false, it fails; none, undecided
    contestant  of the ablation study, with `expect`, the difference in loss that the statement implies
    command     what to type to see it
    """

    id: str
    says: str
    measure: str = ""
    verdict: str | None = None
    test: str | None = None
    contestant: str | None = None
    expect: str | None = None
    command: str = ""

    def check(self) -> None:
        """Raises LedgerError for a claim without exactly one way to a verdict, or without a measure."""
        if not re.fullmatch(r"[A-Z][1-9]\d?", self.id):
            raise LedgerError(f"{self.id!r} is no id: a section's letter and a number.")
        ways = [self.verdict, self.test, self.contestant]
        if sum(way is not None for way in ways) != 1 or (self.contestant is None) != (self.expect is None):
            raise LedgerError(f"{self.id} needs a verdict, a test, or a contestant with what is expected of it: one.")
        if self.verdict is not None and self.verdict not in VERDICTS:
            raise LedgerError(f"{self.id}: the verdict {self.verdict!r} is none of {', '.join(VERDICTS)}.")
        if not self.says or (not self.measure and self.contestant is None):
            raise LedgerError(f"{self.id} needs what it says, and what was measured.")


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


def judged(claim: Claim, evaluate: Callable[[str], Any], evidence: Evidence) -> str:
    """The verdict, computed where it is not written down; `evaluate` gives an expression's value."""
    if claim.verdict is not None:
        return claim.verdict
    if claim.contestant is not None and claim.expect is not None:
        return evidence.verdict(claim.contestant, claim.expect)
    value = evaluate(claim.test or "")
    return "undecided" if value is None else "holds" if value else "fails"


def measured(claim: Claim, fill: Callable[[str], str], evidence: Evidence) -> str:
    """What was measured, with its numbers; `fill` renders a template."""
    said = fill(claim.measure)
    if claim.contestant is None:
        return said
    contestants = evidence.first.study.contestants
    c = contestants[claim.contestant]
    found = evidence.contrast(claim.contestant)
    scales = evidence.by_scale(claim.contestant, claim.expect or "")
    text = f"{c.title} against {contestants[c.against].title}: {found}. The statement implies {claim.expect}: {scales}."
    return f"{text} {said}".rstrip()
