"""What the ablation studies say so far, contrast by contrast, in words that a guide can print.

In: a study file and its results (JSON lines, partial ones too). Out: `Findings`; and `Evidence`, several scales
together. What has not been run says so. Read next: ledger.py.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import exp, log
from pathlib import Path
from typing import Any

from gpt2.ablation.conduct import read_records
from gpt2.ablation.report.markdown import expectation
from gpt2.ablation.statistics import Difference, holm, paired, verdict
from gpt2.ablation.study import BASELINE, Job, Study, counterpart, load_study
from scripts.guides.verdicts import Direction, Interval, Verdict, mean_of, of_difference, of_settings

NOT_RUN = "not run yet"


def of_all(studies: list["Findings"]) -> dict[tuple[str, str], Difference]:
    """Every contrast of some studies that an expectation was written for, and each further one with the baseline.

    By (study, words). A contestant that its study compares with another one is compared with the baseline too, unless
    it reads another text.
    """
    found = {}
    for f in studies:
        for name, c in f.study.contestants.items():
            same_text = f.study.recipe(name).data.train == f.study.recipe(BASELINE).data.train
            pairs = [*([c.against] if c.expect else []), *([BASELINE] if same_text else [])]
            for against in dict.fromkeys(pairs):
                setting = f.setting(name, against) if name not in (against, BASELINE) else None
                if setting is not None and len(setting.differences) > 1:
                    each = setting.differences
                    found[f.study.name, f"{name} - {against}"] = paired(each, [0.0] * len(each))
    return found


def adjusted(studies: list["Findings"], study: str, words: str) -> tuple[float, int]:
    """A contrast's p-value by Holm's method over all contrasts of some studies, and how many those are."""
    found = of_all(studies)
    p = dict(zip(found, holm([d.p for d in found.values()])))
    return p[study, words], len(found)


@dataclass(frozen=True)
class Contrast:
    """study       its name
    difference     of variant - what it is compared with, None with fewer than two seeds that both finished
    seeds, wanted  pairs counted, and pairs that the complete study has
    diverged       runs of the variant that diverged
    primary        whether its interval holds together with those of the other primary contrasts
    level          of the interval: 95%, or more for one of several that hold together
    """

    study: str
    difference: Difference | None
    seeds: int
    wanted: int
    diverged: int
    primary: bool
    level: float = 0.95

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
        kind = [] if self.primary else ["exploratory"]
        notes = [self.study, seeds, *kind, f"{100 * self.level:g}%", *([lost] if lost else [])]
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
        return Contrast(self.study.name, d, len(seeds), wanted, diverged, primary, 1 - 0.05 / family)

    def setting(self, name: str, against: str | None = None) -> Interval | None:
        """The contrast as a setting that a verdict may rest on; None until every run that it asks for is there.

        against   a contestant to compare with in place of the study's own: the interval is then a plain one
        """
        found = self.contrast(name)
        if found.difference is None or not found.complete:
            return None
        ours, theirs = (
            {r["seed"]: r["val_loss"] for r in self.of(n)}
            for n in (name, against or self.study.contestants[name].against)
        )
        each = tuple(ours[s] - theirs[s] for s in sorted(ours.keys() & theirs.keys()))
        d = paired(each, [0.0] * len(each)) if against else found.difference
        return Interval(d.mean, d.low, d.high, self.study.name, each, 0.95 if against else found.level)

    def at_budget(self, name: str, share: float) -> Difference | None:
        """The contrast where the decay was branched off at this share of the budget, with a plain interval."""
        runs = ({r["seed"]: r for r in self.of(n)} for n in (name, self.study.contestants[name].against))
        ours, theirs = (
            {s: b["val_loss"] for s, r in each.items() for b in r.get("branches") or () if b["share"] == share}
            for each in runs
        )
        seeds = [s for s in sorted(ours.keys() & theirs.keys()) if None not in (ours[s], theirs[s])]
        return paired([ours[s] for s in seeds], [theirs[s] for s in seeds]) if len(seeds) > 1 else None

    def reached(self, name: str) -> float | None:
        """The share of the budget with which the baseline has a contestant's mean loss, of those branched off.

        A straight line in the logarithm of the tokens between two of them; None outside of them.
        """
        curve = [(at, log(share)) for share in (*self.study.branches, 1.0) if (at := self.loss_at(share)) is not None]
        loss = self.mean(name, "val_loss")
        for (above, x), (below, y) in pairwise(curve):
            if loss is not None and below <= loss <= above:
                return exp(x + (above - loss) / (above - below) * (y - x))
        return None

    def loss_at(self, share: float) -> float | None:
        """The baseline's validation loss at a share of the budget: the mean over seeds."""
        found = [p["val_loss"] for p in self._points(share) if p.get("val_loss") is not None]
        return sum(found) / len(found) if found else None

    def context_use(self, share: float = 1.0) -> float | None:
        """What the tokens behind the last 8 are worth to the baseline at a share of the budget: the mean over seeds."""
        found = [p["context_use"]["use"] for p in self._points(share) if p.get("context_use")]
        return sum(found) / len(found) if found else None

    def _points(self, share: float) -> list[dict[str, Any]]:
        """What the baseline's runs recorded at a share of the budget."""
        each = ({1.0: r, **{b["share"]: b for b in r.get("branches") or ()}} for r in self.of(BASELINE))
        return [points[share] for points in each if share in points]

    def expected(self, name: str) -> str:
        """What the study expected of the contrast before its runs, and what became of that; "" for a reference."""
        c, found = self.study.contestants[name], self.contrast(name)
        if not c.expect or found.difference is None:
            return ""
        return f"expected {expectation(c.expect)}: {verdict(found.difference, c.expect)}"

    def searched(self, name: str) -> dict[float, bool]:
        """By the factor of the learning rate, whether every trial of the search at it was finished."""
        found: dict[float, bool] = {}
        for r in read_records(self.results).values():
            if (r["contestant"], r["purpose"]) == (name, "tune") and name in self.study.contestants:
                found[r["rate"]] = found.get(r["rate"], True) and r["diverged_at"] is None
        return found

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

    def settings(self, name: str) -> list[Interval]:
        """The contrast in each study that has it whole."""
        found = [f.setting(there) for f, there in self.of(name)]
        return [s for s in found if s is not None]

    def verdict(self, name: str, direction: Direction) -> Verdict:
        """What all studies together say of a statement that implies this direction of the loss."""
        return of_settings(self.settings(name), direction)

    def by_study(self, name: str, direction: Direction) -> str:
        """The verdict of each study by itself, and what the study had expected before its runs."""
        shown = []
        for f, there in self.of(name):
            setting = f.setting(there)
            if setting is not None:
                expected = f.expected(there)
                said = of_difference(setting, direction)
                shown.append(f"{f.study.name}: {said}{f' (the study {expected})' if expected else ''}")
        return "; ".join(shown) or f"undecided: {NOT_RUN}"

    def named(self, name: str, words: str, study: str | None = None, against: str | None = None) -> list[Interval]:
        """As `settings`, with words that say what was compared; of one study alone, against another contestant."""
        found = []
        for f, there in self.of(name) if study is None else self._in(study, name):
            setting = f.setting(there, against)
            if setting is not None:
                found.append(replace(setting, where=f"{f.study.name}, {words}"))
        return found

    def _in(self, study: str, name: str) -> list[tuple[Findings, str]]:
        return [(f, name) for f in self.studies if f.study.name == study and name in f.study.contestants]

    def ahead(self, name: str, against: str) -> str:
        """In how many seeds of the largest study a contestant has the lower loss than another: "4 of 4"."""
        setting = self.larger.setting(name, against)
        each = setting.differences if setting else ()
        return f"{sum(d < 0 for d in each)} of {len(each)}"

    def losses(self, name: str) -> list[float]:
        """The validation losses of a contestant's runs in the first study, seed by seed."""
        return [r["val_loss"] for r in self.first.of(name)]

    def longer(self, name: str) -> Interval | None:
        """By how much the loss at four times the trained length is above that at the trained one."""
        each = [r["longer_losses"][3] - r["longer_losses"][0] for r in self.first.of(name) if r.get("longer_losses")]
        return mean_of(each, self.first.study.name) if len(each) > 1 else None

    def beyond(self, name: str, control: str) -> Interval | None:
        """The same rise minus that of a control, paired by seed."""
        runs = ([r for r in self.first.of(n) if r.get("longer_losses")] for n in (name, control))
        ours, theirs = ({r["seed"]: r["longer_losses"][3] - r["longer_losses"][0] for r in each} for each in runs)
        each = [ours[s] - theirs[s] for s in sorted(ours.keys() & theirs.keys())]
        return mean_of(each, self.first.study.name) if len(each) > 1 else None

    def at_level(self, name: str, level: float) -> Interval | None:
        """A contrast of the first study with its interval at another level."""
        setting = self.first.setting(name)
        if setting is None:
            return None
        d = paired(setting.differences, [0.0] * len(setting.differences), level=level)
        return replace(setting, low=d.low, high=d.high, level=level)

    def crossed(self, both: str, one: str, other: str) -> list[Interval]:
        """An interaction, in each study with its four arms: what `both` adds to `one`, minus `other` to the baseline.

        "post-norm without warm-up", "post-norm", "without warm-up": how much more post-norm needs its warm-up.
        """
        found = []
        for f in self.studies:
            names = (both, one, other, BASELINE)
            if all(n in f.study.contestants for n in names):
                a, b, c, d = ({r["seed"]: r["val_loss"] for r in f.of(n)} for n in names)
                seeds = sorted(a.keys() & b.keys() & c.keys() & d.keys())
                if len(seeds) > 1:
                    found.append(mean_of([a[s] - b[s] - c[s] + d[s] for s in seeds], f.study.name))
        return found

    def reach(self, name: str, when: str, study: str | None = None) -> list[float]:
        """Of each run, the gradient at the embeddings as a share of that after the last block, at_start or at_end."""
        each = [r.get(when) for f, there in self.of(name) if study in (None, f.study.name) for r in f.of(there)]
        norms = [look["gradient_norm"] for look in each if look]
        return [g[0] / g[-1] for g in norms if None not in g]

    def broken(self, name: str) -> list[tuple[str, float]]:
        """Where a contestant's search diverged and the baseline's did not: (study, factor of the learning rate)."""
        found = []
        for f, there in self.of(name):
            ours, plain = f.searched(there), f.searched(BASELINE)
            found += [(f.study.name, rate) for rate in sorted(ours) if not ours[rate] and plain.get(rate)]
        return found

    def masked(self) -> list[Interval]:
        """By how much the loss with the mask put back is above the plain model's, in each study that has it."""
        found = []
        for f, there in self.of("no-mask"):
            plain = {r["seed"]: r["val_loss"] for r in f.of(f.study.contestants[there].against)}
            back = {r["seed"]: r["val_loss_with_mask"] for r in f.of(there) if r.get("val_loss_with_mask")}
            seeds = sorted(plain.keys() & back.keys())
            if len(seeds) > 1:
                found.append(mean_of([back[s] - plain[s] for s in seeds], f.study.name))
        return found

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
