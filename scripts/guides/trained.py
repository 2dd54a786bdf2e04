"""What the trainings made for the ledger gave: gaps in evaluation mode, what happens without residuals.

In: results/ablation/dropout.jsonl and collapse.jsonl, which `python -m scripts.guides.train` writes. Out: intervals
and means. Read next: ledger.py.
"""

import math
from typing import Any

from scripts.guides.study import Findings
from scripts.guides.verdicts import Interval, mean_of

DATA = {"fresh": ("baseline", "dropout-1", "dropout-3"), "repeated": ("small", "small-dropout-1", "small-dropout-3")}
RATES = {"0": 0, "0.1": 1, "0.3": 2}


class Dropout:
    """The study of dropout, by data ("fresh", "repeated") and rate ("0", "0.1", "0.3")."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def values(self, data: str, rate: str, field: str) -> dict[int, float]:
        """A number of each seed: "val_loss", "train_loss_eval", "train_loss", "gap" or "tenth_off"."""
        runs = self.findings.of(DATA[data][RATES[rate]])
        if field == "gap":
            return {r["seed"]: r["val_loss"] - r["train_loss_eval"] for r in runs}
        return {r["seed"]: r["neurons"][field] if field == "tenth_off" else r[field] for r in runs}

    def mean(self, data: str, rate: str, field: str) -> float:
        """The mean over seeds. Raises ValueError where nothing has run."""
        values = self.values(data, rate, field).values()
        if not values:
            raise ValueError(f"dropout {rate} on {data} text has not run: python -m scripts.guides.train dropout.")
        return sum(values) / len(values)

    def interval(self, data: str, rate: str, field: str) -> Interval:
        """The mean with its interval over seeds."""
        return _mean_of(list(self.values(data, rate, field).values()), f"{data} text")

    def change(self, data: str, rate: str, field: str) -> Interval:
        """What a rate changes against no dropout, paired by seed."""
        ours, theirs = self.values(data, rate, field), self.values(data, "0", field)
        seeds = sorted(ours.keys() & theirs.keys())
        return _mean_of([ours[s] - theirs[s] for s in seeds], f"{data} text, dropout {rate}")

    def speeds(self) -> list[Interval]:
        """What each rate changes in the loss on text just trained on, for both kinds of data."""
        found = [self.change(data, rate, "train_loss_eval") for data in DATA for rate in ("0.1", "0.3")]
        return [s for s in found if len(s.differences) > 1]

    def gaps(self) -> list[Interval]:
        """The gap without dropout, for each kind of data with two seeds at least."""
        found = [self.interval(data, "0", "gap") for data in DATA]
        return [s for s in found if len(s.differences) > 1]

    @property
    def planned(self) -> int:
        """How many seeds the study was to have."""
        return len(self.findings.study.seeds)

    def seeds(self, data: str) -> int:
        """How many seeds all rates on these data have in common."""
        return len(set.intersection(*(set(self.values(data, rate, "val_loss")) for rate in RATES)))


class Collapse:
    """The study of models without residual additions, by contestant."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    @property
    def counts(self) -> dict[str, float]:
        """The losses of predicting by counts: "unigram", "position_unigram"."""
        from gpt2.ablation.conduct import read_records

        records = read_records(self.findings.results).values()
        return next({k: r[k] for k in ("unigram", "position_unigram")} for r in records if r["contestant"] == "counts")

    def look(self, name: str, key: str, step: int) -> list[float]:
        """What was looked at after a step, block by block: the mean over seeds."""
        return column_means([self._at(r, step)[key] for r in self.findings.of(name)])

    def query_to_value(self, name: str, step: int) -> list[float]:
        """The norm of the queries' gradient as a share of that of the values, block by block."""
        return [q / v if v else 0.0 for q, v in zip(self.look(name, "q", step), self.look(name, "v", step))]

    def first_to_last(self, name: str, step: int) -> float:
        """The gradient norm of the first block's q, k and v together, as a share of the last block's."""
        parts = [self.look(name, key, step) for key in "qkv"]
        first, last = (sum(part[i] ** 2 for part in parts) ** 0.5 for i in (0, -1))
        return first / last

    def loss(self, name: str) -> Interval:
        """The validation loss over seeds."""
        return _mean_of([r["val_loss"] for r in self.findings.of(name)], name)

    def change(self, name: str, against: str) -> Interval:
        """The difference in validation loss, paired by seed."""
        ours, theirs = ({r["seed"]: r["val_loss"] for r in self.findings.of(n)} for n in (name, against))
        seeds = sorted(ours.keys() & theirs.keys())
        return _mean_of([ours[s] - theirs[s] for s in seeds], f"{name} against {against}")

    def by_rate(self, name: str) -> str:
        """The validation loss of each run of the first seed, by its rate of learning."""
        from gpt2.ablation.conduct import read_records

        first = self.findings.study.seeds[0]
        runs = [
            r for r in read_records(self.findings.results).values() if (r["contestant"], r["seed"]) == (name, first)
        ]
        return ", ".join(f"{r['val_loss']:.2f} at a rate of {r['lr']:g}" for r in sorted(runs, key=lambda r: -r["lr"]))

    def seeds(self, name: str) -> int:
        """How many have run."""
        return len(self.findings.of(name))

    @staticmethod
    def _at(record: dict[str, Any], step: int) -> dict[str, Any]:
        return next(look for look in record["looks"] if look["step"] == step)


def column_means(rows: list[list[float]]) -> list[float]:
    """The mean of each place of some lists of one length."""
    return [sum(column) / len(column) for column in zip(*rows)]


def _mean_of(values: list[float], where: str) -> Interval:
    """As `mean_of`; without a value the interval is infinite, and nothing is decided by it."""
    if not values:
        return Interval(math.nan, -math.inf, math.inf, where)
    return mean_of(values, where)
