"""What the ablation studies say so far, contrast by contrast, in words that a guide can print.

In: a study file and its results (JSON lines, partial ones too). Out: `Findings`; and `Evidence`, several scales
together. What has not been run says so. Read next: ledger.py.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gpt2.ablation.conduct import read_records
from gpt2.ablation.statistics import Difference, paired, verdict
from gpt2.ablation.study import Job, Study, counterpart, load_study

VERDICTS = {"hit": "holds", "miss": "fails", "undecided": "undecided"}
NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Contrast:
    """study       its name
    difference     of variant - what it is compared with, None with fewer than two seeds that both finished
    seeds, wanted  pairs counted, and pairs that the complete study has
    diverged       runs of the variant that diverged
    primary        whether its interval holds together with those of the other primary contrasts
    """

    study: str
    difference: Difference | None
    seeds: int
    wanted: int
    diverged: int
    primary: bool

    @property
    def complete(self) -> bool:
        """Whether every run that the study asks for is there."""
        return self.seeds + self.diverged >= self.wanted

    def __str__(self) -> str:
        d = self.difference
        lost = f"{self.diverged} of {self.wanted} runs diverged" if self.diverged else ""
        if d is None:
            return lost or NOT_RUN
        seeds = f"{self.seeds} seeds" if self.complete else f"{self.seeds} of {self.wanted} seeds so far"
        notes = [self.study, seeds, *([] if self.primary else ["exploratory"]), *([lost] if lost else [])]
        return f"{d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}] ({', '.join(notes)})"


class Findings:
    """The contrasts of one study, read from its results."""

    def __init__(self, study: Path, results: Path) -> None:
        self.study: Study = load_study(study)
        self.results = results

    @cached_property
    def runs(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The report runs by (contestant, seed), those alone that the study file as it stands asks for."""
        found = {}
        for record in read_records(self.results).values():
            name, seed = record["contestant"], record["seed"]
            if record["purpose"] != "report" or name not in self.study.contestants:
                continue
            if record["key"] == Job(name, "report", seed, record["rate"]).key(self.study):
                found[name, seed] = record
        return found

    def of(self, name: str) -> list[dict[str, Any]]:
        """The report runs of a contestant that did not diverge. Raises KeyError for a name that the study lacks."""
        seeds = self.study.seeds_of(self.study.contestants[name].name)
        return [r for s in seeds if (r := self.runs.get((name, s))) and r["diverged_at"] is None]

    def contrast(self, name: str) -> Contrast:
        """A contestant against the one that the study compares it with. Raises KeyError for an unknown name."""
        c = self.study.contestants[name]
        ours, theirs = ({r["seed"]: r["val_loss"] for r in self.of(n)} for n in (name, c.against))
        seeds = sorted(ours.keys() & theirs.keys())
        primary = c.kind == "primary"
        family = len(self.study.primary) if primary else 1
        d = paired([ours[s] for s in seeds], [theirs[s] for s in seeds], family=family) if len(seeds) > 1 else None
        diverged = sum(r["diverged_at"] is not None for (n, _), r in self.runs.items() if n == name)
        wanted = min(len(self.study.seeds_of(name)), len(self.study.seeds_of(c.against)))
        return Contrast(self.study.name, d, len(seeds), wanted, diverged, primary)

    def verdict(self, name: str, expectation: str) -> str:
        """What the contrast says of a statement that implies `expectation`; undecided until it is complete."""
        found = self.contrast(name)
        if found.difference is None or not found.complete:
            return "undecided"
        return VERDICTS[verdict(found.difference, expectation)]

    def mean(self, name: str, field: str) -> float | None:
        """The mean over seeds of a number that each run records; None where no run has it."""
        values = [r[field] for r in self.of(name) if r.get(field) is not None]
        return sum(values) / len(values) if values else None

    def means(self, name: str, *path: str) -> list[float] | None:
        """The same for a list of numbers, entry by entry, at a path such as ("at_end", "gradient_norm")."""
        lists = []
        for record in self.of(name):
            value: Any = record
            for key in path:
                value = (value or {}).get(key)
            if value is not None and None not in value:
                lists.append(value)
        return [sum(column) / len(column) for column in zip(*lists)] if lists else None

    @property
    def scale(self) -> str:
        """What was trained, and for how long, in a few words."""
        recipe = self.study.recipe("baseline")
        tokens = recipe.train.steps * recipe.train.batch_size * recipe.model.n_positions
        m = recipe.model
        return f"{self.study.name}: {m.n_layer} blocks, width {m.n_embd}, {tokens / 1000:,.0f}k tokens"

    @property
    def complete(self) -> bool:
        """Whether no report run is missing."""
        return all(self.contrast(n).complete for n, c in self.study.contestants.items() if c.expect)


class Evidence:
    """The same contrasts at several scales. The first study is the one that every contestant runs in."""

    def __init__(self, studies: list[Findings]) -> None:
        self.studies = studies
        self.first, self.larger = studies[0], studies[-1]

    def of(self, name: str) -> list[tuple[Findings, str]]:
        """The studies that have this contestant, and its name there. The first has it, or KeyError comes later."""
        return [(f, there) for f in self.studies if (there := self.name_in(f, name)) is not None]

    def name_in(self, f: Findings, name: str) -> str | None:
        """What a contestant of the first study is called in one of them, None where it has no counterpart."""
        return name if f is self.first else counterpart(name, self.first.study, f.study)

    def contrast(self, name: str) -> str:
        """The contrast at each scale that has been run, or that it has not been."""
        shown = [str(c) for f, there in self.of(name) if str(c := f.contrast(there)) != NOT_RUN]
        return "; ".join(shown) or NOT_RUN

    def verdict(self, name: str, expectation: str) -> str:
        """What the first study says, which has the most seeds; undecided where a larger one says the opposite."""
        first, *others = (f.verdict(there, expectation) for f, there in self.of(name))
        return "undecided" if {"holds", "fails"} <= {first, *others} else first

    def by_scale(self, name: str, expectation: str) -> str:
        """The verdict of each scale that has been run."""
        run = [(f, there) for f, there in self.of(name) if f.contrast(there).difference]
        shown = (f"{f.verdict(there, expectation)} at {f.study.name}" for f, there in run)
        return ", ".join(shown) or f"undecided: {NOT_RUN}"

    def deep(self, name: str, *path: str) -> list[float] | None:
        """As `Findings.means`, of the largest study, for a contestant of 12 blocks by its name in the first."""
        there = self.name_in(self.larger, name)
        return None if there is None else self.larger.means(there, *path)

    def mean(self, name: str, field: str) -> float | None:
        """As `Findings.mean`, of the first study."""
        return self.first.mean(name, field)

    def means(self, name: str, *path: str) -> list[float] | None:
        """As `Findings.means`, of the first study."""
        return self.first.means(name, *path)

    @property
    def complete(self) -> bool:
        """Whether the first study is."""
        return self.first.complete

    @property
    def scales(self) -> str:
        """What each study trained."""
        return "; ".join(f.scale for f in self.studies)
