"""What the records of a study say, in numbers: runs a contestant, contrasts with intervals and verdicts, budgets.

In: a `Study` and its records, all of them or the first few. Out: `Findings`, from which every sentence, table and plot
of the report is made. Nothing is averaged over a run that diverged; such runs are counted.
Read next: contrasts.py, which writes the tables, and plots.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from gpt2.ablation.conduct import Records, Tuning, due, tuning
from gpt2.ablation.statistics import Difference, Verdict, equal_tokens, holm, paired, verdict
from gpt2.ablation.study import BASELINE, Contestant, Job, Purpose, Study

Record = Mapping[str, Any]
SEES = "no-mask"  # the variant whose loss is no measure of prediction: it reads the token that it is to predict


@dataclass(frozen=True)
class Runs:
    """The runs of one contestant for one purpose.

    finished   records by seed, of runs that did not diverge
    diverged   seeds of those that did
    missing    seeds that have no record yet
    search     how its learning rate was found
    """

    contestant: Contestant
    finished: Mapping[int, Record]
    diverged: tuple[int, ...]
    missing: tuple[int, ...]
    search: Tuning

    def values(self, field: str) -> list[float]:
        """A number of every finished run that has it, by seed."""
        return [r[field] for r in self.finished.values() if r.get(field) is not None]

    def lists(self, field: str) -> list[list[float]]:
        """A list of numbers of every finished run that has it, by seed."""
        return [r[field] for r in self.finished.values() if r.get(field)]

    def mean(self, field: str) -> float | None:
        """The mean of a number over the finished runs; None where none has it."""
        values = self.values(field)
        return sum(values) / len(values) if values else None

    def estimate(self, field: str) -> Difference | None:
        """The mean with its 95% t interval over seeds."""
        values = self.values(field)
        return paired(values, [0.0] * len(values)) if values else None


@dataclass(frozen=True)
class Contrast:
    """A contestant against another.

    difference  in validation loss, paired by seed; None while no seed has finished on both sides
    adjusted    Holm's p over the primary contrasts, those without a pair counted as 1; None for exploratory ones
    verdict     on the expectation; None without a difference
    tokens      with which share of the baseline's tokens a plain model reaches this loss, in words; "" where that says
                nothing
    pairs_due   seeds that the study wants
    """

    runs: Runs
    against: Runs
    difference: Difference | None
    adjusted: float | None
    verdict: Verdict | None
    tokens: str
    pairs_due: int

    @property
    def contestant(self) -> Contestant:
        """Who is compared."""
        return self.runs.contestant

    @property
    def mean(self) -> float | None:
        """The mean difference."""
        return None if self.difference is None else self.difference.mean

    @property
    def partial(self) -> bool:
        """Whether runs are missing on either side."""
        return bool(set(self.runs.missing + self.against.missing) & set(self._seeds))

    @property
    def null(self) -> bool:
        """Whether the interval holds 0."""
        return self.difference is not None and self.difference.low <= 0 <= self.difference.high

    @property
    def _seeds(self) -> list[int]:
        return [*self.runs.finished, *self.runs.diverged, *self.runs.missing]


@dataclass(frozen=True)
class Findings:
    """A study's results, seen as a whole; see the module."""

    study: Study
    records: Records

    @cached_property
    def searches(self) -> dict[str, Tuning]:
        """The search for the learning rate of every contestant."""
        return {name: tuning(self.study, name, self.records) for name in self.study.contestants}

    @cached_property
    def runs(self) -> dict[str, Runs]:
        """The report runs of every contestant."""
        return {name: self._runs(name, "report") for name in self.study.contestants}

    @cached_property
    def used(self) -> list[Record]:
        """The records that belong to this study as it stands now, in the order in which they were written."""
        jobs = [
            Job(name, "tune", seed, rate, self.study.tune_share)
            for name in self.study.contestants for rate in self.searches[name].losses for seed in self.study.tune_seeds
        ]  # fmt: skip
        seeds = self.study.seeds_of
        for name, search in self.searches.items():
            if search.rate is not None:
                jobs += [Job(name, "report", seed, search.rate) for seed in seeds(name)]
                shares = self.study.budgets if name == BASELINE else ()
                jobs += [Job(name, "budget", seed, search.rate, share) for share in shares for seed in seeds(name)]
        keys = {job.key(self.study) for job in jobs}
        return [record for key, record in self.records.items() if key in keys]

    @cached_property
    def left(self) -> list[Job]:
        """Runs that are missing, as far as it can be foreseen."""
        return due(self.study, self.records)

    @cached_property
    def budgets(self) -> dict[float, Runs]:
        """The baseline by share of the budget, its report runs (1) among them."""
        shares = sorted({*self.study.budgets, 1.0})
        return {s: self._runs(BASELINE, "report" if s == 1 else "budget", s) for s in shares}

    @cached_property
    def primary(self) -> list[Contrast]:
        """The contrasts named beforehand: intervals that hold together, p-values by Holm."""
        family = self.study.primary
        made = [self._contrast(c, len(family)) for c in family]
        adjusted = holm([1.0 if c.difference is None else c.difference.p for c in made])
        return [replace(c, adjusted=p) for c, p in zip(made, adjusted, strict=True)]

    @cached_property
    def exploratory(self) -> list[Contrast]:
        """The others: plain intervals, each for itself."""
        return [self._contrast(c, 1) for c in self.study.contestants.values() if c.kind == "exploratory"]

    @cached_property
    def beside(self) -> list[Contrast]:
        """The contestants that the study compares with another one than the baseline, beside the baseline: p adjusted.

        Left out are those that read another text. No expectation was written for these, so they are exploratory; Holm's
        method counts them together with all other contrasts of the study.
        """
        text = self.study.recipe(BASELINE).data.train
        names = [
            c.name
            for c in self.study.contestants.values()
            if c.name != BASELINE and (c.kind == "reference" or c.against != BASELINE)
            and self.study.recipe(c.name).data.train == text
        ]  # fmt: skip
        made = []
        for name in names:
            runs, plain = self.runs[name], self.runs[BASELINE]
            both = set(self.study.seeds_of(name)) & set(self.study.seeds_of(BASELINE))
            made.append(Contrast(runs, plain, difference_of(runs, plain), None, None, "", len(both)))
        every = [*made, *self.contrasts]
        adjusted = holm([1.0 if c.difference is None else c.difference.p for c in every])
        return [replace(c, adjusted=p) for c, p in zip(made, adjusted)]

    @property
    def contrasts(self) -> list[Contrast]:
        """All of them, the primary ones first."""
        return [*self.primary, *self.exploratory]

    def tokens(self, loss: float) -> str:
        """With which share of the tokens the baseline reaches a loss; "" while too few of its budgets are finished."""
        known = [(share, mean) for share, runs in self.budgets.items() if (mean := runs.mean("val_loss")) is not None]
        try:
            return equal_tokens(loss, known)[1] if len(known) > 1 else ""
        except ValueError as error:
            return str(error)

    def _runs(self, name: str, purpose: Purpose, share: float = 1.0) -> Runs:
        search, seeds = self.searches[name], self.study.seeds_of(name)
        found: dict[int, Record] = {}
        if search.rate is not None:
            keys = {seed: Job(name, purpose, seed, search.rate, share).key(self.study) for seed in seeds}
            found = {seed: self.records[key] for seed, key in keys.items() if key in self.records}
        return Runs(
            self.study.contestants[name],
            {seed: r for seed, r in found.items() if r["diverged_at"] is None and r.get("val_loss") is not None},
            tuple(seed for seed, r in found.items() if r["diverged_at"] is not None or r.get("val_loss") is None),
            tuple(seed for seed in seeds if seed not in found),
            search,
        )

    def _contrast(self, contestant: Contestant, family: int) -> Contrast:
        runs, against = self.runs[contestant.name], self.runs[contestant.against]
        difference = difference_of(runs, against, family)
        judged = None if difference is None else verdict(difference, contestant.expect)
        mean = runs.mean("val_loss")
        comparable = contestant.against == BASELINE and contestant.variant != SEES
        tokens = self.tokens(mean) if comparable and mean is not None else ""
        both = set(self.study.seeds_of(contestant.name)) & set(self.study.seeds_of(contestant.against))
        return Contrast(runs, against, difference, None, judged, tokens, len(both))


def difference_of(runs: Runs, against: Runs, family: int = 1, field: str = "val_loss") -> Difference | None:
    """The paired difference over the seeds that both finished, None where there is none."""
    seeds = [seed for seed in runs.finished if seed in against.finished]
    ours, theirs = ([side.finished[seed][field] for seed in seeds] for side in (runs, against))
    return paired(ours, theirs, family=family) if seeds else None
