"""Results as rows, and the table over many of them: outcomes, refusals by reason, how often each field was drawn."""

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.oracle.compare import Result
from tests.oracle.draws import Case

LEAST = 50  # draws of each field in a run of 2,000 cases
BAD = ("DIFFERENT", "TRACEBACK", "REFUSED UNNAMED")


@dataclass
class Row:
    """What is kept of a case."""

    number: int
    family: bool
    adapter: bool
    drawn: dict[str, Any]
    odd: list[str]
    outcome: str
    sentence: str
    theirs: str
    generation: str
    differences: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, case: Case, result: Result) -> "Row":
        found = case.number, case.family, case.adapter is not None, case.drawn, case.odd
        return cls(*found, result.outcome, result.sentence, result.theirs, result.generation, result.differences)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def bad(row: Row) -> bool:
    return row.outcome in BAD


def reason(sentence: str) -> str:
    """A sentence without paths, numbers and quoted values, so that like refusals count together."""
    sentence = re.sub(r"\S*/case-\d+/\S*", "FILE", sentence)
    sentence = re.sub(r"\[.*\]|\{.*\}", "...", sentence)
    sentence = re.sub(r"h\.\d+", "h.N", sentence)
    return re.sub(r"-?\b\d+(\.\d+)?(e-?\d+)?\b", "N", sentence)[:150]


def table(rows: list[Row]) -> str:
    """All counts, as text."""
    lines = [f"{len(rows)} cases"]
    lines += counted("outcome", Counter(row.outcome for row in rows))
    family = [row for row in rows if row.family]
    loaded = [row for row in family if row.outcome in ("equal", "DIFFERENT")]
    readable = [row for row in family if not row.theirs]
    lines.append(
        f"built from the family: {len(family)}, which transformers reads: {len(readable)}, loaded here: {len(loaded)}"
        f" ({len(loaded) / max(1, len(readable)):.1%} of what transformers reads)"
    )
    kinds = Counter(re.split(": ", row.generation)[0].split(";")[0] or "not reached" for row in rows)
    lines += counted("generation", kinds)
    refused = [row for row in rows if row.outcome in ("refused", "both refuse")]
    lines += counted("refused when loading, by reason", Counter(reason(row.sentence) for row in refused))
    late = [row.generation for row in rows if row.generation.startswith("refused")]
    lines += counted("refused when generating, by reason", Counter(map(reason, late)))
    apart = [row for row in rows if row.outcome == "only ours loads"]
    lines += counted("only ours loads; theirs says", Counter(reason(row.theirs) for row in apart))
    draws = Counter(name for row in rows for name in row.drawn)
    if len(rows) >= 2000:
        rare = {name: count for name, count in draws.items() if count < LEAST}
        lines += counted(f"fields drawn fewer than {LEAST} times", Counter(rare))
    lines += [f"draws of each of {len(draws)} fields:"]
    lines += ["  " + ", ".join(f"{name} {count}" for name, count in sorted(draws.items()))]
    lines += wrong(rows)
    return "\n".join(lines)


def counted(title: str, counts: "Counter[str]") -> list[str]:
    return [f"{title}:", *(f"  {count:5d}  {name}" for name, count in counts.most_common())]


def wrong(rows: list[Row]) -> list[str]:
    """The wrong cases by cause, each cause with its case numbers and one full sentence."""
    causes: dict[str, list[tuple[int, str]]] = {}
    for row in filter(bad, rows):
        for sentence in row.differences or [row.sentence]:
            key = f"{row.outcome}: {reason(sentence.split(' of ')[0].split(' after ')[0])[:60]}"
            causes.setdefault(key, []).append((row.number, sentence))
    lines = []
    for key, found in sorted(causes.items(), key=lambda item: -len(item[1])):
        numbers = ", ".join(str(number) for number, _ in found[:8])
        lines.append(f"{len(found):4d} {key}\n     cases {numbers}; first: {found[0][1][:400]}")
    return lines
