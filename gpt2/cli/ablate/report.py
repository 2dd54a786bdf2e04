"""`gpt2 ablate report`: what a study has found, as a document; `gpt2 ablate off`: its baseline without components."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gpt2.base.errors import UsageError
from gpt2.cli.common import File, Flag, StudyFile, print_json
from gpt2.cli.console import progress

if TYPE_CHECKING:
    from gpt2.ablation.report.document import Commands
    from gpt2.ablation.report.findings import Findings
    from gpt2.ablation.study import Study


@dataclass
class Report:
    """Write what a study has found, as Markdown with plots beside it.

    Works on a part of the runs too, and says which are missing. Trains nothing.

    examples, in a clone of the repository:
      gpt2 ablate report recipes/ablation/minute.toml --results results/ablation/minute.jsonl
      gpt2 ablate report my-study.toml --out my-study.md
    """

    study: StudyFile
    """The study, a TOML file."""
    results: File = None
    """The JSON lines file of its runs (default: runs/ablation/STUDY.jsonl)."""
    out: Annotated[str, tyro.conf.arg(metavar="FILE")] = "docs/ablation_study.md"
    """The document; its plots go to images/ablation/STUDY beside it."""
    off: File = None
    """What `gpt2 ablate off` wrote (default: RESULTS-off.json, where it is)."""
    beside: Annotated[tuple[str, ...], tyro.conf.arg(metavar="STUDY [STUDY ...]", help_behavior_hint="")] = ()
    """Studies at other scales, whose results lie in the same folder, to compare with."""
    json: Flag = False
    """Print the contrasts as JSON, and write nothing."""

    def run(self) -> None:
        """Read, compare, write."""
        from gpt2.ablation.report.document import write_report
        from gpt2.ablation.switched_off import read_switched_off

        study, results = _study(self.study, self.results)
        findings = _findings(study, results)
        others = [_study(name, None)[0] for name in self.beside]
        beside = [_findings(other, results.with_name(f"{other.name}.jsonl")) for other in others]
        if self.json:
            print_json(summary(findings))
            return
        out, off = Path(self.out), Path(self.off or default_off(results))
        if out.suffix != ".md":
            raise UsageError(f"--out is {out}: name a Markdown file, which ends with .md.")
        if self.off is not None and not off.exists():
            raise UsageError(f"there is no {off}: gpt2 ablate off writes it, so run that first.")
        switched = read_switched_off(off) if off.exists() else None
        written = write_report(findings, out, commands(study, results, out, self.beside), switched, beside)
        left = len(findings.left)
        print(f"{len(findings.used)} runs{f', {left} or more missing' if left else ''}")
        for path in written:
            print(path)


@dataclass
class Off:
    """Switch components off in the trained baseline of a study, and measure the loss without them.

    The weights are those that `gpt2 ablate STUDY.toml --keep DIR` kept. The text is that of the report, so the data of
    the study must be there.

    example, in a clone of the repository:
      gpt2 ablate off recipes/ablation/minute.toml --kept runs/ablation/minute
    """

    study: StudyFile
    """The study, a TOML file."""
    kept: Annotated[str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Where --keep put the weights (default: runs/ablation/STUDY)."""
    results: File = None
    """The JSON lines file of its runs (default: runs/ablation/STUDY.jsonl)."""
    out: File = None
    """What is written (default: RESULTS-off.json)."""

    def run(self) -> None:
        """Measure, and write."""
        from gpt2.ablation.switched_off import check_switched_off, switch_off, write_switched_off

        study, results = _study(self.study, self.results)
        records = _findings(study, results).records
        kept = Path(self.kept or f"runs/ablation/{study.name}")
        out = Path(self.out or default_off(results))
        check_switched_off(out)
        with progress("switching off") as tell:
            found = switch_off(
                study, records, kept, lambda done, total: tell(done, total, f"seed {done} of {total} done")
            )
        write_switched_off(found, out)
        print(out)


def default_off(results: Path) -> Path:
    """Where the losses of switched-off components lie, beside the results of the runs."""
    return results.with_name(f"{results.stem}-off.json")


def commands(study: "Study", results: Path, out: Path, beside: Sequence[str]) -> "Commands":
    """What a reader types to get the runs, the switched-off losses and the document."""
    from gpt2.ablation.report.document import Commands

    file, kept = study.source.as_posix(), f"runs/ablation/{study.name}"
    where = f" --results {results.as_posix()}"
    more = f" --beside {' '.join(beside)}" if beside else ""
    more += f" --out {out.as_posix()}" if out != Path("docs/ablation_study.md") else ""
    return Commands(
        train=f"gpt2 ablate {file} --jobs 2 --threads 1{where} --keep {kept}",
        off=f"gpt2 ablate off {file}{where} --kept {kept}",
        report=f"gpt2 ablate report {file}{where}{more}",
    )


def summary(findings: "Findings") -> dict[str, Any]:
    """The contrasts as plain values; an end of an interval that is infinite is null."""
    from gpt2.base.plain import plain

    return plain({
        "study": findings.study.name,
        "runs": len(findings.used),
        "missing": len(findings.left),
        "contrasts": [
            {
                "contestant": c.contestant.name,
                "against": c.contestant.against,
                "kind": c.contestant.kind,
                "difference": None if c.difference is None else vars(c.difference),
                "holm": c.adjusted,
                "expected": c.contestant.expect,
                "verdict": c.verdict,
                "diverged": len(c.runs.diverged),
                "partial": c.partial,
            }
            for c in findings.contrasts
        ],
    })  # fmt: skip


def _study(name: str, results: str | None) -> "tuple[Study, Path]":
    from gpt2.ablation.study import load_study

    study = load_study(name)
    return study, Path(results or f"runs/ablation/{study.name}.jsonl")


def _findings(study: "Study", results: Path) -> "Findings":
    from gpt2.ablation.conduct import read_records
    from gpt2.ablation.report.findings import Findings

    if not results.is_file():
        mend = f"gpt2 ablate {study.source} makes them, or name others with --results."
        raise UsageError(f"there are no results {results}: {mend}")
    findings = Findings(study, read_records(results))
    if not findings.used:
        raise UsageError(f"{results} holds no run of {study.source} as it stands now: run gpt2 ablate {study.source}.")
    return findings
