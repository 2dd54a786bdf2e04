"""`gpt2 ablate`: run a study, or say what of it is due; `report` and `off` are in report.py beside this."""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gpt2.base.cores import cores
from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.cli.common import Count, File, Flag, StudyFile, print_json, wide_console
from gpt2.cli.console import progress
from gpt2.cli.terminal import Ended, outlasting

if TYPE_CHECKING:
    from gpt2.ablation.study import Study


OTHERS = {"report": "Report", "off": "Off"}


def parse(argv: list[str]) -> Any:
    """The command that these words mean: `report`, `off`, or without either of them the study itself."""
    from gpt2.cli.main import build

    command: type = Command
    prog = "gpt2 ablate"
    if argv and argv[0] in OTHERS:
        from gpt2.cli.ablate import report as ablate_report

        command, prog = getattr(ablate_report, OTHERS[argv[0]]), f"gpt2 ablate {argv[0]}"
        argv = argv[1:]
    elif len(argv) > 1 and not argv[0].startswith("-") and argv[1].endswith(".toml"):
        raise UsageError(f"there is no 'gpt2 ablate {argv[0]}': choose report or off, or name the study alone.")
    return build(command, argv, prog)


@dataclass
class Command:
    """Train GPT-2 without one component after another, and say what each was for.

    Every run is written down when it ends: stop at any time, and the same command goes on.

      gpt2 ablate STUDY.toml          run what is due
      gpt2 ablate off STUDY.toml      switch components off in the trained baseline
      gpt2 ablate report STUDY.toml   write what has been found, with plots

    A study is a TOML file, yours or one from recipes/ablation/ in the repository.

    examples, in a clone of the repository:
      gpt2 ablate recipes/ablation/minute.toml --jobs 2
      gpt2 ablate recipes/ablation/minute.toml --plan
      gpt2 ablate report recipes/ablation/minute.toml
    """

    study: StudyFile
    """The study, a TOML file."""
    results: File = None
    """The JSON lines file of its runs (default: runs/ablation/STUDY.jsonl)."""
    jobs: int = 1
    """How many runs go on at once."""
    threads: Count = None
    """Threads per run (default: the cores, shared out). The last bits of a loss depend on it."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAMES", help_behavior_hint="")] = field(
        default_factory=tuple
    )
    """Contestants to run (default: all)."""
    keep: Annotated[str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Directory for the trained weights of the baseline (default: they are not kept)."""
    plan: Flag = False
    """Say what is due, and train nothing; variants of your own are built once, to see whether they work."""
    json: Flag = False
    """Print each record as a line of JSON."""

    def run(self) -> None:
        """Load the study, then plan or run."""
        from gpt2.ablation.conduct import conduct, due, read_records
        from gpt2.ablation.study import load_study
        from gpt2.ablation.trial import try_variants

        study = load_study(self.study)
        results = Path(self.results or f"runs/ablation/{study.name}.jsonl")
        if self.jobs < 1 or (self.threads is not None and self.threads < 1):
            raise UsageError("--jobs and --threads must be at least 1: leave them out to share the cores.")
        for name in self.only:
            if name not in study.contestants:
                raise UsageError(f"there is no contestant {name!r}: choose among {', '.join(study.contestants)}.")
        jobs = due(study, read_records(results), self.only)
        try_variants(study, dict.fromkeys(job.contestant for job in jobs))
        if self.plan:
            self._plan(study, results)
        else:
            threads = self.threads or max(1, cores() // self.jobs)
            keep = Path(self.keep) if self.keep else None
            try:
                with outlasting(), Progress(study.name, self.json) as shown:
                    conduct(study, results, self.jobs, threads, self.only, keep, shown)
            except (KeyboardInterrupt, Ended) as stop:
                n = len(read_records(results))
                done = f"{results} holds {counted(n, 'result')}" if n else "no run had ended yet"
                stop.add_note(f"{done}: the same command goes on from there.")
                raise
            if not jobs:
                self._nothing_due(study, results, keep)

    def _nothing_due(self, study: "Study", results: Path, keep: Path | None) -> None:
        """Say so, and which weights are not kept, since only a run that is trained can keep them."""
        from gpt2.ablation.kept import place
        from gpt2.ablation.study import BASELINE

        print(f"gpt2: nothing is due: {results} holds every result that is asked for.", file=sys.stderr)
        if keep is not None and not all(place(keep, seed).exists() for seed in study.seeds_of(BASELINE)):
            why = "only a run that is trained keeps its weights"
            print(f"gpt2: no weights were kept, since {why}: name another file with --results.", file=sys.stderr)

    def _plan(self, study: "Study", results: Path) -> None:
        from rich.table import Table

        from gpt2.ablation.conduct import due, expected_work, read_records, tuning

        records = read_records(results)
        jobs = due(study, records, self.only)
        if self.json:
            print_json({"study": study.name, "done": len(records), "due": [vars(job) for job in jobs]})
            return
        table = Table("contestant", "kind", "expected", "learning rate", "runs due", title=f"study {study.name}")
        for name in self.only or study.contestants:
            search = tuning(study, name, records)
            rate = "searching" if search.rate is None else f"{search.rate:g} x"
            c = study.contestants[name]
            table.add_row(name, c.kind, c.expect, rate, str(sum(job.contestant == name for job in jobs)))
        wide_console().print(table)
        left = f"{expected_work(study, records, self.only):.1f} runs of full length"
        print(f"{counted(len(records), 'run')} done; left: {left}")


class Progress:
    """One line per run, and how far the study is, with the time left by what the runs of this sitting took."""

    def __init__(self, name: str, as_json: bool) -> None:
        self.name, self.as_json = name, as_json
        self.began, self.work, self.runs = time.monotonic(), 0.0, 0
        self.shown = ExitStack()

    def __enter__(self) -> "Progress":
        self._show(0.0)
        return self

    def __exit__(self, *exc: object) -> None:
        self.shown.close()

    def __call__(self, record: dict[str, Any], left: float) -> None:
        """Report one finished run; `left` counts runs of full length."""
        self.shown.close()  # a line must not stand inside the bar
        self.work, self.runs = self.work + record["share"], self.runs + 1
        if self.as_json:
            print_json(record)
        else:
            remaining = timedelta(seconds=round((time.monotonic() - self.began) / self.work * left))
            what = f"{record['contestant']} ({record['purpose']}, seed {record['seed']}, rate {record['rate']:g} x)"
            loss = f"diverged at step {record['diverged_at']}" if record["diverged_at"] is not None else ""
            print(f"{what:<58}{loss or format(record['val_loss'], '.4f'):<14}about {remaining} left")
        sys.stdout.flush()
        if left > 0:
            self._show(left)

    def _show(self, left: float) -> None:
        tell = self.shown.enter_context(progress(f"study {self.name}", self.began))
        tell(self.work, self.work + left, f"{counted(self.runs, 'run')} done")
