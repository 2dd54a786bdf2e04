"""The report on blocks: which runs took place together, where, and what the study could detect.

In: `Findings` of a study with `blocks = true`. Out: Markdown. Read next: document.py.
"""

from gpt2.ablation.blocks import Block, Place, blocks
from gpt2.ablation.report.findings import Contrast, Findings
from gpt2.ablation.report.markdown import number, signed, table
from gpt2.ablation.statistics import detectable


def shown(findings: Findings) -> str:
    """The blocks, each contrast seed by seed, and the smallest effects; "" for a study without blocks."""
    if not findings.study.blocks:
        return ""
    made = blocks(findings.study, findings.used)
    rows = [[str(b.seed), f"{b.primary} of {_due(findings)}", str(len(b.ran) - b.primary), f"{b.hours:.2f}", _where(b)]
            for b in made]  # fmt: skip
    columns = [">seed", ">primary runs", ">others", ">processor hours", "place"]
    mixed = [str(b.seed) for b in made if not b.one_place]
    said = "Every block took place on one processor at one commit without uncommitted changes."
    if mixed:
        cause = "so a difference within them may have another cause"
        said = f"These blocks were not at one place, {cause}: {', '.join(mixed)}."
    return f"""A block is one seed: all contestants of a seed run on one processor at one commit, and differences are
taken within blocks.

{table(columns, rows) if made else ""}
{said if made else "No block is begun yet."}

{_by_seed(findings)}"""


def _due(findings: Findings) -> int:
    return len(findings.study.family)


def _where(block: Block) -> str:
    return "; ".join(map(_named, block.places))


def _named(place: Place) -> str:
    changed = ", with uncommitted changes" if place.changed else ""
    return f"{place.processor or 'unknown'}, commit {str(place.commit)[:10]}{changed}"


def _by_seed(findings: Findings) -> str:
    """Each primary contrast in each block, its spread, and what it could have found."""
    seeds = findings.study.seeds
    rows = []
    for c in findings.primary:
        each = _differences(c)
        spread = _spread(list(each.values()))
        least = None if spread is None else detectable(spread, len(each), family=len(findings.primary))
        rows.append([c.contestant.title, *(signed(each.get(s)) for s in seeds), number(spread), number(least)])
    if not rows:
        return ""
    return f"""{table(["trained without", *(f">seed {s}" for s in seeds), ">spread", ">detectable"], rows)}
The spread is the standard deviation of the differences over seeds. *Detectable* is the smallest true difference that
would have been found with a chance of 80% by the smallest p of Holm's method, with this spread and these seeds. It does
not say whether one was found.
"""


def _differences(c: Contrast) -> dict[int, float]:
    return {s: r["val_loss"] - c.against.finished[s]["val_loss"] for s, r in c.runs.finished.items()
            if s in c.against.finished}  # fmt: skip


def _spread(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return float((sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5)
