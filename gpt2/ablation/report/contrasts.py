"""The report's main tables: what training without a component costs, as expected or not, and what diverged.

In: `Findings`, and what switching off afterwards gave (switched_off.py). Out: Markdown. Read next: training.py.
"""

from gpt2.ablation.report.findings import Contrast, Findings, Runs
from gpt2.ablation.report.markdown import (
    NOTHING,
    chance,
    expectation,
    interval,
    listed,
    number,
    sentence,
    signed,
    table,
)
from gpt2.ablation.switched_off import SwitchedOff

OFF_COLUMN = ">switched off afterwards"


def primary(findings: Findings, off: SwitchedOff | None) -> str:
    """The contrasts named beforehand: one table, then each in words."""
    made = findings.primary
    if not made:
        return "The study names no primary contrast.\n"
    rows = [
        [
            c.contestant.title, _against(findings, c), _seeds(c), signed(c.mean),
            interval(c.difference), chance(None if c.difference is None else c.adjusted),
            expectation(c.contestant.expect), judged(c), _off(c, off),
        ]
        for c in made
    ]  # fmt: skip
    columns = (
        "trained without", "against", ">seeds", ">difference", ">interval", ">p (Holm)", "expected", "verdict",
        OFF_COLUMN,
    )  # fmt: skip
    return f"""{tally(made)}

{table(columns, rows)}
The difference is the validation loss with the component left out or changed, minus the loss of the contestant that it
is compared with: the mean over seeds, in nats per token. Above 0 the component helps. The {len(made)} intervals hold
together with 95% confidence (each is a paired t interval at {1 - 0.05 / len(made):.3%}, by Bonferroni). p is adjusted
by Holm's method over the {len(made)} contrasts; a contrast without a pair of finished runs counts there with p = 1. The
verdict is *hit* if the whole interval lies where it was expected, *miss* if no part of it does, and *undecided*
otherwise. {_off_note(off)}

{_words(made)}"""


def exploratory(findings: Findings, off: SwitchedOff | None) -> str:
    """The other contrasts."""
    made = findings.exploratory
    if not made:
        return "The study has no exploratory contrast.\n"
    rows = [
        [
            c.contestant.title, _against(findings, c), _seeds(c), signed(c.mean),
            interval(c.difference), expectation(c.contestant.expect), judged(c), c.tokens or NOTHING, _off(c, off),
        ]
        for c in made
    ]  # fmt: skip
    columns = (
        "contestant", "against", ">seeds", ">difference", ">interval", "expected", "verdict", "tokens", OFF_COLUMN,
    )  # fmt: skip
    return f"""{tally(made)}

{table(columns, rows)}
*Exploratory* means that each interval is a plain paired 95% t interval, which holds for itself alone. Of {len(made)}
such intervals one in twenty is expected to miss the true value. So a single interval that lies a little beside 0 is a
hint, not a finding.
"""


def beside(findings: Findings) -> str:
    """Who is compared with another contestant, beside the plain model: "" where nobody is."""
    made = [c for c in findings.beside if c.difference is not None]
    if not made:
        return ""
    rows = [
        [c.contestant.title, _seeds(c), signed(c.mean), interval(c.difference), chance(c.adjusted), _lower(c)]
        for c in made
    ]
    columns = ("contestant", ">seeds", ">difference", ">interval", ">p (Holm)", ">seeds with the lower loss")
    every = len(findings.beside) + len(findings.contrasts)
    return f"""{table(columns, rows)}
The contrasts above compare some contestants with one that shares a change with them. Here the same runs are compared
with GPT-2 as it is. The study expected nothing of these differences, so they are exploratory: the intervals are plain
95% t intervals, and p is adjusted by Holm's method over all {every} contrasts of the study.
"""


def nulls(findings: Findings) -> str:
    """Contrasts whose interval holds 0."""
    made = [c for c in findings.contrasts if c.null and c.difference and c.difference.pairs > 1]
    if not made:
        return "No interval holds 0.\n"
    lines = [
        f"- **{c.contestant.title}**{'' if c.adjusted is None else ' (primary)'}: {signed(c.difference.mean)}, "
        f"{interval(c.difference)}."
        for c in made
        if c.difference
    ]
    return (
        "For these changes the study cannot say whether there is a difference: there is none, or it is too small for "
        "this number of seeds. The interval says how large it could be:\n\n" + "\n".join(lines) + "\n"
    )


def diverged(findings: Findings) -> str:
    """Runs that were stopped: counted, never averaged."""
    lost = [runs for runs in findings.runs.values() if runs.diverged]
    lost += [runs for share, runs in findings.budgets.items() if runs.diverged and share != 1]
    search = [r for r in findings.used if r["purpose"] == "tune" and r["diverged_at"] is not None]
    tail = (
        f"In the search for learning rates {_runs(len(search))} diverged, because a rate was too large: "
        f"{listed(sorted({findings.study.contestants[r['contestant']].title for r in search}))}.\n"
        if search
        else "In the search for learning rates no run diverged.\n"
    )
    if not lost:
        return f"None of the runs that are reported diverged. {tail}"
    lines = [f"- **{r.contestant.title}**: {len(r.diverged)} of {_done(r)} runs." for r in lost]
    return "\n".join(lines) + f"\n\nThese runs are left out of every mean and interval. {tail}"


def tally(made: list[Contrast]) -> str:
    """How many expectations were met."""
    counts = {word: sum(c.verdict == word for c in made) for word in ("hit", "miss", "undecided")}
    open_ones = sum(c.verdict is None for c in made)
    hit, miss, undecided = counts.values()
    text = f"Of {len(made)} expectations: **{hit} hit, {miss} missed, {undecided} undecided**"
    return text + (f", {open_ones} without a result yet." if open_ones else ".")


def judged(c: Contrast) -> str:
    """The verdict, and what it does not say by itself."""
    if c.verdict is None:
        return "all runs diverged" if c.runs.diverged and not c.runs.missing else "no result yet"
    return f"**{c.verdict}**" + (" so far" if c.partial else "")


def _lower(c: Contrast) -> str:
    """In how many seeds the contestant has the lower loss."""
    seeds = [s for s in c.runs.finished if s in c.against.finished]
    lower = sum(c.runs.finished[s]["val_loss"] < c.against.finished[s]["val_loss"] for s in seeds)
    return f"{lower} of {len(seeds)}"


def _words(made: list[Contrast]) -> str:
    lines = []
    for c in made:
        text = f"- **{c.contestant.title}.** Expected {expectation(c.contestant.expect)}"
        text += f": {sentence(c.contestant.why)}" if c.contestant.why else "."
        mean, other = c.runs.mean("val_loss"), c.against.mean("val_loss")
        if mean is not None and other is not None:
            text += f" Measured: a loss of {number(mean)} against {number(other)}."
        if c.tokens:
            text += f" {sentence(c.tokens)}"
        if c.runs.diverged or c.against.diverged:
            text += f" {_lost(c)}"
        lines.append(text)
    return "\n".join(lines) + "\n"


def _lost(c: Contrast) -> str:
    sides = [f"{len(r.diverged)} of {_done(r)} runs of {r.contestant.title}" for r in (c.runs, c.against) if r.diverged]
    return f"{sentence(listed(sides))[:-1]} diverged: the interval is over the others."


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _done(runs: Runs) -> int:
    return len(runs.finished) + len(runs.diverged)


def _against(findings: Findings, c: Contrast) -> str:
    return findings.study.contestants[c.contestant.against].title


def _seeds(c: Contrast) -> str:
    pairs = c.difference.pairs if c.difference else 0
    return str(pairs) if pairs == c.pairs_due else f"{pairs} of {c.pairs_due}"


def _off(c: Contrast, off: SwitchedOff | None) -> str:
    if off is None:
        return NOTHING
    found = off.counterpart(c.contestant)
    return "no counterpart" if found is None else f"{signed(found.change.mean)} ({interval(found.change)})"


def _off_note(off: SwitchedOff | None) -> str:
    if off is None:
        return "*Switched off afterwards* has not been measured yet."
    return (
        "*Switched off afterwards* is another experiment: the trained baseline keeps all its weights, and what the "
        "component writes is replaced by its mean (see [below](#switched-off-afterwards)). The column gives the change "
        "of the loss and its 95% interval over seeds. The two columns answer two questions."
    )
