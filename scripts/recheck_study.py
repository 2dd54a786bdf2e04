"""Check an ablation report's printed figures against its raw results, without the code that wrote it.

    python -m scripts.recheck_study                          the published reports, and docs/ablation_evening.md
    python -m scripts.recheck_study REPORT.md RESULTS.jsonl  one report

It was written without sight of gpt2.ablation, and imports nothing of it. Each figure is computed again from what the
reports say in words, and has to agree to the last printed digit. There is a line for each figure that differs, and one
for columns that are not checked. Start it in the repository's root.
"""

import json
import math
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, stats

Values = list[float] | str  # what a cell should hold: its numbers, or its text
Row = dict[str, Values]  # by the names of the columns
NUMBER = re.compile(r"[+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
NO_FIGURE = ("", "–", "no counterpart", "one seed: none", "no result yet")
RECIPES, RESULTS, DOCS = Path("recipes/ablation"), Path("results/ablation"), Path("docs")


class Tally:
    """Counts the figures that were compared, and prints those that differ."""

    def __init__(self, document: Path) -> None:
        self.document, self.compared, self.differing = document.name, 0, 0

    def check(self, where: str, printed: str, computed: Values) -> None:
        """Compare what is printed with a text, or with as many numbers as it holds."""
        printed = printed.replace("**", "").removesuffix(" so far")
        texts = NUMBER.findall(printed.partition(" of ")[0] if where.endswith(", seeds") else printed)
        if isinstance(computed, str) or len(texts) != len(computed):
            return self.count(where, printed, str(computed), printed == computed)
        for text, value in zip(texts, computed, strict=True):
            rounded = float(f"{value:.{len(text.partition('.')[2])}f}")  # to as many digits as are printed
            same = value < number(text) if printed.startswith("<") else rounded == number(text)
            self.count(where, text, f"{value:.6g}", same)

    def count(self, where: str, printed: str, computed: str, same: bool) -> None:
        """Count one figure, and say so if it differs."""
        self.compared, self.differing = self.compared + 1, self.differing + (not same)
        if not same:
            print(f"{self.document}: {where}: printed {printed!r}, recomputed {computed!r}")

    def finish(self) -> bool:
        """Print the counts. Do all figures agree?"""
        print(f"{self.document}: {self.compared} figures compared, {self.differing} differ")
        return self.differing == 0


def number(text: str) -> float:
    """The number that a text prints, whatever its minus sign and thousands mark."""
    return float(text.replace("−", "-").replace(",", ""))


def mean_interval(values: list[float], level: float = 0.95) -> list[float]:
    """Mean, low and high end of a t interval over seeds; of fewer than two values the mean alone."""
    mean, n = float(np.mean(values)) if values else math.nan, len(values)
    if n < 2:
        return [mean]
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return [mean, mean - half, mean + half]


def holm(samples: list[list[float]]) -> list[float]:
    """Two-sided p of each t test that the mean is 0 (1 without two values), adjusted by Holm's method."""
    ps = [float(stats.ttest_1samp(values, 0).pvalue) if len(values) > 1 else 1.0 for values in samples]
    adjusted, running = [0.0] * len(ps), 0.0
    for rank, index in enumerate(np.argsort(ps)):
        running = max(running, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = running
    return adjusted


def detectable(spread: float, n: int, alpha: float = 0.05 / 8, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided paired t test finds with this chance, and with the right sign."""
    critical = stats.t.ppf(1 - alpha / 2, n - 1)
    shift = optimize.brentq(lambda ncp: power - stats.nct.sf(critical, n - 1, ncp), 0.1, 12 + 6 * critical)
    return float(shift) * spread / math.sqrt(n)


def verdict(expected: str, interval: list[float]) -> str:
    """Hit if the whole interval lies where it was expected, miss if no part of it does, undecided otherwise."""
    sign, bound = expected.split()[0], float(expected.split()[1])
    low, high = interval or (-math.inf, math.inf)
    least, most = {">=": (bound, math.inf), "<=": (-math.inf, bound), "within": (-bound, bound)}[sign]
    return "hit" if least <= low and high <= most else "miss" if high < least or low > most else "undecided"


class Study:
    """A study file and its runs. A run that diverged, or whose seed the study file does not name, does not count."""

    def __init__(self, recipe: Path, results: Path) -> None:
        data = tomllib.loads(recipe.read_text())
        self.seeds, self.budgets = data["study"]["seeds"], sorted([1.0, *data["study"]["budgets"]])
        self.contestants: dict[str, dict[str, Any]] = data["contestants"]
        self.titles: dict[str, str] = {c.get("title", n.replace("-", " ")): n for n, c in self.contestants.items()}
        self.titles["GPT-2"] = "baseline"
        self.against: dict[str, str] = {n: c.get("against", "baseline") for n, c in self.contestants.items()}
        self.primary = [n for n, c in self.contestants.items() if c.get("kind") == "primary"]
        self.exploratory = [n for n, c in self.contestants.items() if "expect" in c and n not in self.primary]
        self.runs = [json.loads(line) for line in results.read_text().splitlines()]
        off = results.with_name(f"{results.stem}-off.json")
        self.off: dict[str, Any] = json.loads(off.read_text()) if off.exists() else {"off": []}

    def name(self, title: str) -> str:
        """The contestant of a title. A depth that another study has to name may be this study's own."""
        return self.titles[title] if title in self.titles else self.titles[re.sub(r", \d+ blocks$", "", title)]

    def finished(self, name: str, share: float = 1.0) -> dict[int, dict[str, Any]]:
        """The runs of a contestant that count, by seed: those of the report, or of another share of the budget."""
        wanted = (name, "report" if share == 1 else "budget", share)
        mine = [r for r in self.runs if (r["contestant"], r["purpose"], r["share"]) == wanted]
        return {r["seed"]: r for r in mine if r["seed"] in self.seeds and r["diverged_at"] is None}

    def column(self, name: str, key: str, share: float = 1.0) -> list[float]:
        """One figure of each run that has it."""
        return [r[key] for r in self.finished(name, share).values() if r.get(key) is not None]

    def mean(self, name: str, key: str, share: float = 1.0) -> float:
        """The mean of one figure over runs."""
        return mean_interval(self.column(name, key, share))[0]

    def differences(self, name: str, against: str) -> list[float]:
        """The validation loss minus that of another contestant, for each seed that both finished."""
        mine, other = self.finished(name), self.finished(against)
        return [mine[seed]["val_loss"] - other[seed]["val_loss"] for seed in sorted(mine.keys() & other.keys())]

    def contrast(self, name: str) -> list[float]:
        """Mean and interval of a planned contrast: by Bonferroni over all primary ones, plain if it is exploratory."""
        level = 1 - 0.05 / len(self.primary) if name in self.primary else 0.95
        return mean_interval(self.differences(name, self.against[name]), level)

    def planned(self, names: list[str]) -> list[list[float]]:
        """The differences of planned contrasts."""
        return [self.differences(n, self.against[n]) for n in names]

    def switched_off(self, kind: str, key: str, value: str | None) -> list[float]:
        """What switching off does to the trained baseline's loss, seed by seed: of the first row with this value."""
        rows = [r["losses"] for r in self.off["off"] if (r["kind"], r[key]) == (kind, value)]
        return [loss - self.off["losses"][seed] for seed, loss in rows[0].items()] if rows else []

    def tokens_needed(self, loss: float) -> float:
        """The share of the budget with which the baseline reaches a loss: a straight line in log tokens."""
        curve = [(self.mean("baseline", "val_loss", share), math.log(share)) for share in self.budgets]
        for (above, x), (below, y) in pairwise(curve):
            if below <= loss <= above:
                return math.exp(x + (above - loss) / (above - below) * (y - x))
        return self.budgets[0] if loss > curve[0][0] else math.nan


def contrast_row(study: Study, title: str) -> Row:
    """A row of primary or exploratory contrasts."""
    name = study.name(title)
    contestant, interval = study.contestants[name], study.contrast(name)
    row: Row = {"difference": interval[:1], "interval": interval[1:], "seeds": [len(study.planned([name])[0])]}
    row["against"] = next(t for t, n in study.titles.items() if n == study.against[name])
    row["expected"] = contestant["expect"].replace(">=", "at least").replace("<=", "at most").replace("-", "−")
    row["verdict"] = verdict(contestant["expect"], interval[1:])
    row["tokens"] = [study.tokens_needed(study.mean(name, "val_loss"))]
    row["switched off afterwards"] = mean_interval(study.switched_off("mean", "variant", contestant.get("variant")))
    if name in study.primary:
        row["p (Holm)"] = [holm(study.planned(study.primary))[study.primary.index(name)]]
    return row


def beside_row(study: Study, title: str, titles: list[str]) -> Row:
    """A row of contrasts with GPT-2 itself. Holm's family: all planned contrasts, and the rows of this table."""
    beside = [study.differences(study.name(t), "baseline") for t in titles]
    mine, interval = beside[titles.index(title)], mean_interval(beside[titles.index(title)])
    p = holm(beside + study.planned(study.primary + study.exploratory))[titles.index(title)]
    row: Row = {"seeds": [len(mine)], "difference": interval[:1], "interval": interval[1:], "p (Holm)": [p]}
    return row | {"seeds with the lower loss": [sum(d < 0 for d in mine), len(mine)]}


def off_row(change: list[float]) -> Row:
    """A row of what is switched off in the trained baseline."""
    row: Row = {"seeds": [len(change)], "loss change": mean_interval(change)[:1]}
    return row | {"95% interval over seeds": mean_interval(change)[1:]}


def mean_row(study: Study, name: str, share: float = 1.0) -> Row:
    """The figures that are means over a contestant's runs: budgets, costs, what a model does inside, the mask."""
    row: Row = {"seeds": [len(study.finished(name, share))], "GPT-2": [study.mean("baseline", "val_loss")]}
    keys = {"validation loss": "val_loss", "training loss": "train_loss", "bits per byte": "val_bits_per_byte"}
    keys |= {"tokens per second": "tokens_per_s", "parameters": "parameters", "validation loss, as trained": "val_loss"}
    keys |= {"with the mask put back": "val_loss_with_mask", "tokens": "tokens"}
    row |= {title: [study.mean(name, key, share)] for title, key in keys.items()}
    spread = {"validation loss": "val_loss", "in-context score": "in_context_score", "induction score": "induction"}
    row |= {f"{title} (95% interval)": mean_interval(study.column(name, key, share)) for title, key in spread.items()}
    row["memory"] = [study.mean(name, "peak_memory_bytes", share) / 2**20]
    return row | {"dead neurons": [100 * study.mean(name, "dead_neurons", share)]}


def branched(study: Study, name: str, share: float) -> dict[int, dict[str, Any]]:
    """What a contestant's runs recorded at the decay that was branched off at a share of the budget, by seed."""
    found = {}
    for seed, run in study.finished(name).items():
        points = {b["share"]: b for b in run.get("branches") or []} | {1.0: run}
        if points.get(share, {}).get("val_loss") is not None:
            found[seed] = points[share]
    return found


def budget_row(study: Study, first: str, header: list[str]) -> Row:
    """A row of the loss against the budget: a contrast at each share, or the baseline itself at one."""
    if first in study.titles:
        name, row = study.titles[first], Row()
        for column in header[1:]:
            ours, theirs = (branched(study, n, float(column.split()[0])) for n in (name, study.against[name]))
            both = sorted(ours.keys() & theirs.keys())
            row[column] = mean_interval([ours[seed]["val_loss"] - theirs[seed]["val_loss"] for seed in both])
        return row
    points = branched(study, "baseline", float(first)).values()
    row = {"seeds": [len(points)], "validation loss": mean_interval([p["val_loss"] for p in points])}
    return row | {"context use": mean_interval([p["context_use"]["use"] for p in points])}


def block_row(study: Study, title: str) -> Row:
    """A row of a contrast's seeds, with their spread and the difference that they could detect."""
    name = study.titles[title]
    ours, theirs = study.finished(name), study.finished(study.against[name])
    each = {seed: ours[seed]["val_loss"] - theirs[seed]["val_loss"] for seed in ours.keys() & theirs.keys()}
    row: Row = {f"seed {seed}": [difference] for seed, difference in each.items()}
    if len(each) > 1:
        spread = float(np.std([*each.values()], ddof=1))
        row |= {"spread": [spread], "detectable": [detectable(spread, len(each))]}
    return row


def tables(text: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Every table of a document: the heading above it, its header, its rows."""
    section, lines = "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip() for cell in line.strip("|").split("|")])
        elif lines:
            yield section, lines[0], lines[2:]
            lines = []
        section = line.lstrip("# ") if line.startswith("#") else section


def check_tables(tally: Tally, studies: list[Study], text: str) -> None:
    """All tables of a report of the first study whose columns have a definition above."""
    study = studies[0]
    makers: dict[str, Callable[[list[str], list[str]], Row]] = {
        "Beside GPT-2 itself": lambda cells, titles: beside_row(study, cells[0], titles),
        "Switched off afterwards": lambda cells, _: off_row(study.switched_off(cells[1], "title", cells[0])),
        "What more training gives": lambda cells, _: mean_row(study, "baseline", float(cells[0])),
    }
    for section in ("Primary contrasts", "Exploratory contrasts"):
        makers[section] = lambda cells, _: contrast_row(study, cells[0])
    makers["Loss against budget"] = lambda cells, _: budget_row(study, cells[0], header)
    makers["Blocks"] = lambda cells, _: block_row(study, cells[0]) if cells[0] in study.titles else {}
    for section in ("Without the causal mask", "What the models do inside", "Costs"):
        makers[section] = lambda cells, _: mean_row(study, study.name(cells[0]))
    for section, header, rows in tables(text):
        unknown = set(header[1:])
        for cells in rows if section in makers else []:
            row = makers[section](cells, [r[0] for r in rows])
            unknown -= row.keys()
            for column, cell in zip(header[1:], cells[1:], strict=True):
                if column in row and cell not in NO_FIGURE:
                    tally.check(f"{section}, {cells[0]}, {column}", cell, row[column])
        for cells in rows if section == "At another scale" else []:
            for other, cell, judged in zip(studies, cells[1::2], cells[2::2], strict=True):
                tally.check(f"{section}, {cells[0]}", cell, other.contrast(other.name(cells[0])))
                tally.check(f"{section}, {cells[0]}, verdict", judged, contrast_row(other, cells[0])["verdict"])
        if section != "At another scale" and unknown:
            print(f"{tally.document}: not checked under {section!r}: {', '.join(sorted(unknown))} ({len(rows)} rows)")


def check_counts(tally: Tally, study: Study, text: str) -> None:
    """The sentences that count hits, misses and what is undecided."""
    counts = re.findall(r"Of \d+ expectations: \*\*(\d+ hit, \d+ missed, \d+ undecided)\*\*", text)
    for names, printed in zip((study.primary, study.exploratory), counts, strict=False):
        seen = [n for n in names if study.differences(n, study.against[n])]
        found = Counter(verdict(study.contestants[n]["expect"], study.contrast(n)[1:]) for n in seen)
        tally.check("expectations", printed, [found["hit"], found["miss"], found["undecided"]])


def check_report(report: Path, results: Path) -> bool:
    """One report of a study, with the studies that it is set beside: the study files are those that it links."""
    text, tally = report.read_text(), Tally(report)
    own, *others = dict.fromkeys(re.findall(r"recipes/ablation/([\w-]+)\.toml\)", text))
    studies = [Study(RECIPES / f"{own}.toml", results)]
    studies += [Study(RECIPES / f"{name}.toml", RESULTS / f"{name}.jsonl") for name in others]
    check_tables(tally, studies, text)
    check_counts(tally, studies[0], text)
    return tally.finish()


def check_power(document: Path, search: Path, minute: Path) -> bool:
    """The second edition's plan: spreads over seeds, of its search and of the first edition, and what is detectable."""
    text, tally, losses = document.read_text(), Tally(document), defaultdict(list)
    chosen, first = re.findall(r"The choice: `([\w-]+)`", text), Study(RECIPES / "minute.toml", minute)
    for run in map(json.loads, search.read_text().splitlines()):
        if run["name"] in chosen and run["rate"] == 1:
            losses[run["tokens"]].append(run["val_loss"])
    searched = [(float(np.std(v, ddof=1)), len(v)) for _, v in sorted(losses.items()) if len(v) > 1]
    spreads = [float(np.std(d, ddof=1)) for d in first.planned(first.primary)]
    known = {"smallest": min(spreads), "largest of": max(spreads), "√2": math.sqrt(2) * max(searched)[0]}
    for section, header, rows in tables(text):
        for cells in rows if section == "What the primary contrasts can detect" else []:
            spread = next(value for word, value in known.items() if word in cells[1])
            tally.check(f"spread, {cells[1]}", cells[0], [spread])
            for head, cell in zip(header[2:], cells[2:], strict=True):
                value = detectable(spread, int(NUMBER.findall(head)[0]))
                tally.check(f"{cells[1]} ({spread:.5f}), {head}", cell, [value])
    flat = " ".join(text.split())
    for said, values in zip(re.findall(r"(0\.\d+) at [\d.]+ million tokens \((\d) seeds", flat), searched, strict=True):
        tally.check("spread of the search's losses", " ".join(said), [*values])
    said = re.findall(r"losses had a spread of (\S+) .*? spreads of (\S+) to (\S+) \(", flat)
    baseline = float(np.std(first.column("baseline", "val_loss"), ddof=1))
    tally.check("spreads of the first edition", " ".join(*said), [baseline, min(spreads), max(spreads)])
    return tally.finish()


def main() -> int:
    """Check one report, or all that are published; 0 if nothing differs."""
    if len(sys.argv) == 3:
        return int(not check_report(Path(sys.argv[1]), Path(sys.argv[2])))
    same = check_report(DOCS / "ablation_study.md", RESULTS / "minute.jsonl")
    same &= check_report(DOCS / "ablation_study_gpu.md", RESULTS / "gpu.jsonl")
    same &= check_report(DOCS / "ablation_study_evening.md", RESULTS / "evening.jsonl")
    same &= check_power(DOCS / "ablation_evening.md", RESULTS / "evening-search.jsonl", RESULTS / "minute.jsonl")
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
