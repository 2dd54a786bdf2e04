"""The whole document, in the order in which one reads it, and its plots.

In: `Findings`, what was switched off afterwards, studies at other scales. Out: docs/ablation_study.md and its pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt2.ablation.report import against_budget, blocks, contrasts, method, plots, structure, training
from gpt2.ablation.report.code import code
from gpt2.ablation.report.findings import Findings
from gpt2.ablation.report.markdown import filled, picture
from gpt2.ablation.switched_off import SwitchedOff
from gpt2.base.disk import whole_file
from gpt2.base.ours import check_file

PLOTS = {**plots.PLOTS, "against-budget": against_budget.plot}
IMAGES = Path("images") / "ablation"
TITLE = "# Ablation study: "
CAPTIONS = {
    "contrasts": "Every contrast. A bar is an interval (simultaneous for primary ones), a pale band what was expected.",
    "against-budget": "Difference against budget. Dots are seeds, bars plain 95% intervals. A seed's points correlate.",
    "budgets": "The baseline's validation loss over the tokens it was trained on. Each point is a training of its own.",
    "curves": "Learning curves. Mean over seeds, on 64 of the reported rows; without the mask it measures copying.",
    "positions": "Loss by position. Mean over seeds; where context helps, the loss falls from left to right.",
    "scales": "Activation scale and gradient norm. Through the blocks, at the start and at the end of training.",
    "induction": "Induction score over training. Mean over seeds.",
}


@dataclass(frozen=True)
class Commands:
    """What a reader types: `train` for the runs, `off` for switching off, `report` for this document."""

    train: str
    off: str
    report: str


def document(
    findings: Findings,
    commands: Commands,
    off: SwitchedOff | None = None,
    others: Sequence[Findings] = (),
    home: Path = Path("docs"),
) -> str:
    """The report as Markdown; `home` is the folder in which it will lie, its pictures in images/ablation/STUDY."""
    drawn = [name for name, make in PLOTS.items() if make(findings)]
    shown = {name: picture(IMAGES / findings.study.name / f"{name}.png", CAPTIONS[name]) for name in drawn}
    partial = method.missing(findings)
    sections: list[tuple[str, str, str]] = [
        ("Method", method.method(findings, commands.train, home), ""),
        ("Primary contrasts", contrasts.primary(findings, off), shown.get("contrasts", "")),
        ("Loss against budget", against_budget.against_budget(findings), shown.get("against-budget", "")),
        ("Blocks", blocks.shown(findings), ""),
        ("Exploratory contrasts", contrasts.exploratory(findings, off), ""),
        ("Beside GPT-2 itself", contrasts.beside(findings), ""),
        ("Intervals that hold 0", contrasts.nulls(findings), ""),
        ("Runs that diverged", contrasts.diverged(findings), ""),
        ("Switched off afterwards", structure.afterwards(off, commands.off), ""),
        ("What more training gives", training.budgets(findings), shown.get("budgets", "")),
        ("Learning curves", "", shown.get("curves", "")),
        ("Order: with and without position vectors", structure.longer(findings), shown.get("positions", "")),
        ("Without the causal mask", structure.mask(findings), ""),
        ("Dropout: fresh and repeated data", training.dropout(findings), ""),
        ("Signals and gradients by depth", structure.scales(findings), shown.get("scales", "")),
        ("What the models do inside", training.inside(findings), shown.get("induction", "")),
        ("Costs", training.costs(findings), ""),
        ("Learning rates", method.learning_rates(findings), ""),
    ]
    if others:
        sections.append(("At another scale", structure.other_scales(findings, others, home), ""))
    sections += [("Limits", method.limits(findings), ""), ("The code of each variant", code(findings.study), "")]
    body = "\n".join(
        f"## {title}\n\n" + "\n".join(part for part in parts if part) for title, *parts in sections if any(parts)
    )
    return filled(f"""{TITLE}{findings.study.name}

This document measures what each component of GPT-2 does, by training without it. This command writes it:

```text
{commands.report}
```

Every number comes from a recorded run in the results file; nothing was typed by hand. Differences are in validation
loss, in nats per token. Other documents explain how the components work; this one says what they are worth.

{partial + chr(10) if partial else ""}{body}""")


def is_report(path: Path) -> bool:
    """Whether a file is a report of a study, by its first lines."""
    with open(path, encoding="utf-8", errors="replace") as file:
        head = file.read(1000)
    return head.startswith(TITLE) and "gpt2 ablate report" in head


def write_report(
    findings: Findings,
    out: Path,
    commands: Commands,
    off: SwitchedOff | None = None,
    others: Sequence[Findings] = (),
    progress: Callable[[str], None] = lambda path: None,
) -> list[Path]:
    """Write the document and its pictures beside it, in images/ablation/STUDY; return what was written.

    Raises UsageError where something else than a report, or a plot of one, would be replaced.
    """
    check_file(out, is_report, "a report of gpt2 ablate")
    images = out.parent / IMAGES / findings.study.name
    text = document(findings, commands, off, others, out.parent)
    written = []
    for name, make in PLOTS.items():
        figure = make(findings)
        if figure is not None:
            plots.save(figure, images / f"{name}.png")
            written.append(images / f"{name}.png")
            progress(str(written[-1]))
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [out, *written]
