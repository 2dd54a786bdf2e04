"""From the measurements to a summary and a Markdown table.

In: the result dictionary without its summary. Out: the summary (median, best, rate, ratios), and the page as text.
"""

import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.cases import BY_NAME, Case

Summary = list[dict[str, Any]]


def summarise(runs: Iterable[dict[str, Any]], cases: Iterable[Case]) -> Summary:
    """One entry for each case and contestant: median and best over every measurement of all rounds.

    `ratio_of` holds, for each of ours, its median rate divided by this contestant's: above 1 ours is the faster.
    """
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        grouped.setdefault((run["case"], run["contestant"]), []).append(run)
    summary: Summary = []
    for case in cases:
        entries = [_entry(case, who, grouped[case.name, who]) for who in BY_NAME if (case.name, who) in grouped]
        ours = [entry for entry in entries if BY_NAME[entry["contestant"]].software == "ours"]
        reference = grouped.get((case.name, "ours-fp32"))
        for entry in entries:
            rate, check = entry["median_tokens_per_s"], grouped[case.name, entry["contestant"]][0]["check"]
            entry["ratio_of"] = {own["contestant"]: own["median_tokens_per_s"] / rate for own in ours}
            entry["agreement"] = None if reference is None else _agreement(check, reference[0]["check"])
        summary += entries
    return summary


def _entry(case: Case, who: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    tokens, seconds = found[0]["tokens"], [s for run in found for s in run["seconds"]]
    size = found[0]["size"]
    asked = {"batch": case.size.batch, "length": case.size.length, "new": case.size.new}
    return {
        "case": case.name,
        "contestant": who,
        "measurements": len(seconds),
        "median_s": statistics.median(seconds),
        "best_s": min(seconds),
        "median_tokens_per_s": tokens / statistics.median(seconds),
        "best_tokens_per_s": tokens / min(seconds),
        "peak_memory_mib": max(run["peak_memory_mib"] or 0 for run in found),
        "smaller_size": None if size == asked else size,
    }


def _agreement(check: Any, reference: Any) -> float:
    """Ids: the share equal to the reference's, position by position. Losses: the relative difference."""
    if isinstance(check, list):
        pairs = [pair for row, other in zip(check, reference) for pair in zip(row, other)]
        return sum(a == b for a, b in pairs) / max(1, len(pairs))
    return abs(check - reference) / abs(reference)


def markdown(result: dict[str, Any], cases: Iterable[Case]) -> str:
    """The page beside the JSON file."""
    return "\n".join(_page(result, list(cases))) + "\n"


def _page(result: dict[str, Any], cases: list[Case]) -> Iterator[str]:
    machine, model, settings = result["machine"], result["model"], result["settings"]
    able = [name for name, there in machine["capabilities"].items() if there]
    lacks = [name for name, there in machine["capabilities"].items() if not there]
    yield f"# GPT-2 side by side, {result['date'][:10]}"
    yield ""
    if not result["complete"]:
        yield "**Stopped before the end: fewer rounds than asked for.**"
        yield ""
    size = f"{machine['cores']} cores, {machine['memory_gib']} GiB"
    yield f"- Machine: {machine['processor']}, {size}, {machine['system']}"
    yield f"- Instructions: {', '.join(able) or 'none of those looked for'}; not {', '.join(lacks) or 'missing any'}"
    changed = ", with changes not committed" if result["changed_since"] else ""
    yield f"- Commit: {(result['commit'] or 'unknown')[:12]}{changed}; Python {machine['python']}"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result["versions"].items()))
    yield f"- Versions: {versions}"
    yield (
        f"- Model: {model['parameters']:,} parameters ({model['n_layer']} blocks, width {model['n_embd']}), random "
        f"weights of seed {model['seed']}, the same for all; greedy, no token ends a text"
    )
    yield (
        f"- Rounds: {settings['rounds']}, threads: {settings['threads']}; contestants one after another within a "
        "round, every second round in reverse; each case in a process of its own, up to "
        f"{settings['repeats']} measurements after its warm-up"
    )
    yield f"- Command: `{result['command']}`"
    for case in cases:
        entries = [entry for entry in result["summary"] if entry["case"] == case.name]
        if entries:
            yield ""
            yield from _table(case, entries)
    if result["not_run"]:
        yield ""
        yield "## Not run"
        yield ""
        for reason, who in _by_reason(result["not_run"]).items():
            yield f"- {', '.join(who)}: {reason}"
    yield ""
    yield "## How each is called"
    yield ""
    for software, how in {
        BY_NAME[e["contestant"]].software: BY_NAME[e["contestant"]].how for e in result["summary"]
    }.items():
        yield f"- {software}: {how}"


def _table(case: Case, entries: Summary) -> Iterator[str]:
    ours = list(entries[0]["ratio_of"])
    unit = "ms" if case.kind == "prefill" else "s"
    scale = 1000 if case.kind == "prefill" else 1
    check = "loss differs from ours fp32" if case.kind == "train" else "ids equal to ours fp32"
    head = ["software", "tokens/s", "best", f"median {unit}", f"best {unit}", "memory MiB"]
    head += [f"{BY_NAME[who].label} / it" for who in ours] + [check]
    yield f"## {case.title}"
    yield ""
    yield "| " + " | ".join(head) + " |"
    yield "| --- " + "| ---: " * (len(head) - 1) + "|"
    smaller: dict[str, list[str]] = {}
    for entry in entries:
        label = BY_NAME[entry["contestant"]].label
        if entry["smaller_size"]:
            size = entry["smaller_size"]
            new = f" and {size['new']} new" if size["new"] > 1 else ""
            smaller.setdefault(f"{size['batch']} x {size['length']} tokens{new}", []).append(label)
            label += " \\*"
        agreement = entry["agreement"]
        shown = "" if agreement is None else f"{agreement:.1e}" if case.kind == "train" else f"{agreement:.0%}"
        ratios = [f"{entry['ratio_of'][who]:.2f}" for who in ours]
        numbers = [entry["median_tokens_per_s"], entry["best_tokens_per_s"]]
        numbers += [entry["median_s"] * scale, entry["best_s"] * scale]
        cells = [label, *map(_digits, numbers), str(entry["peak_memory_mib"]), *ratios, shown]
        yield "| " + " | ".join(cells) + " |"
    yield ""
    yield f"Tokens/s from medians over {min(e['measurements'] for e in entries)} or more measurements each."
    for size, labels in smaller.items():
        yield f"\\* Too slow here for the whole case; measured on {size}: {', '.join(labels)}."


def _by_reason(not_run: list[dict[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for entry in not_run:
        who = BY_NAME[entry["contestant"]].label + (f" ({entry['case']})" if entry["case"] else "")
        grouped.setdefault(entry["reason"], []).append(who)
    return grouped


def _digits(x: float) -> str:
    """Three significant digits, no exponent."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}" if x >= 1 else f"{x:.3f}"
