"""All runs of a study: which are due, several at once, each written down when it ends.

In: a `Study` and the results so far (results.py). Out: more of them. What is due is a pure function of the results that
are there, so a study may be stopped at any time and go on in another sitting.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from math import inf, sqrt
from pathlib import Path
from typing import Any

from gpt2 import __version__
from gpt2.ablation.blocks import check_place, spent
from gpt2.ablation.kept import check_places, clear, hidden, settle
from gpt2.ablation.results import Records, Results, read_records, writing
from gpt2.ablation.study import BASELINE, Job, Study
from gpt2.base.counted import counted
from gpt2.base.errors import Failure
from gpt2.base.notes import note
from gpt2.base.processes import Processes

__all__ = ["Records", "Tuning", "conduct", "due", "expected_work", "read_records", "tuning"]

EXTENSIONS = 4  # how often the search goes on past an end of its grid, by a factor of 2 each time


@dataclass(frozen=True)
class Tuning:
    """losses   mean loss of the search at each rate tried so far, infinite where a run diverged
    rate        the best of them, None while runs are missing
    missing     runs to do before more can be said
    """

    losses: dict[float, float]
    rate: float | None
    missing: list[Job]


def tuning(study: Study, contestant: str, records: Records) -> Tuning:
    """The search for a contestant's learning rate: a grid, extended while its best lies at an end.

    Once the best lies at no end, the search goes on between it and the better of its neighbours, until it has tried
    `tune_trials` rates: so every contestant has as many trials, but for one whose grid had to be extended further.
    """
    contestant = study.contestants[contestant].rate_of or contestant
    rates, extended = list(study.tune_rates), 0
    while True:
        jobs = {r: [Job(contestant, "tune", s, r, study.tune_share) for s in study.tune_seeds] for r in rates}
        missing = [job for of_rate in jobs.values() for job in of_rate if job.key(study) not in records]
        losses = {r: _mean_loss(study, of_rate, records) for r, of_rate in jobs.items()}
        if missing:
            return Tuning(losses, None, missing)
        best = min(rates, key=lambda r: losses[r])
        if losses[best] == inf:  # all diverged: look lower
            best = rates[0]
        if best in (rates[0], rates[-1]):
            if extended == EXTENSIONS:
                return Tuning(losses, best, [])
            extended += 1
            rates = [best / 2, *rates] if best == rates[0] else [*rates, best * 2]
        elif len(rates) < study.tune_trials:
            place = rates.index(best)
            beside = min(rates[place - 1], rates[place + 1], key=lambda r: losses[r])
            rates = sorted([*rates, round(sqrt(best * beside), 6)])
        else:
            return Tuning(losses, best, [])


def due(study: Study, records: Records, only: Sequence[str] = ()) -> list[Job]:
    """Runs that can start now, in the order in which they are wanted; none when the study is complete.

    Primary contestants and whoever they are compared with come first: their rates, then seed by seed, so that a study
    that is stopped has some seeds of each contrast, and not all seeds of one. In a study of blocks the others come one
    contestant after the other, as the file has them.
    """
    jobs: list[Job] = []
    for name in only or study.contestants:
        search = tuning(study, name, records)
        jobs += search.missing
        if search.rate is not None:
            jobs += [Job(name, "report", seed, search.rate) for seed in study.seeds_of(name)]
            if name == BASELINE:
                jobs += [Job(name, "budget", s, search.rate, b) for b in study.budgets for s in study.seeds_of(name)]
    family, purposes, order = {BASELINE, *study.family}, ("tune", "report", "budget"), list(study.contestants)

    def place(job: Job) -> tuple[bool, int, int, int]:
        later = job.contestant not in family
        return later, order.index(job.contestant) * (later and study.blocks), purposes.index(job.purpose), job.seed

    jobs = sorted(dict.fromkeys(jobs), key=place)  # two contestants may share a search
    return [job for job in jobs if job.key(study) not in records]


def expected_work(study: Study, records: Records, only: Sequence[str] = ()) -> float:
    """What is left, in runs of full length, as far as it can be foreseen (a search may extend its grid)."""
    left = 0.0
    for name in only or study.contestants:
        search = tuning(study, name, records)
        if search.rate is None:
            each = Job(name, "report", 0).work(study) + sum(study.budgets) * (name == BASELINE)
            left += len(study.seeds_of(name)) * each
    return left + sum(job.work(study) for job in due(study, records, only))


def conduct(
    study: Study,
    results: Path,
    jobs: int = 1,
    threads: int = 1,
    only: Sequence[str] = (),
    keep: Path | None = None,
    report: Callable[[dict[str, Any], float], None] = lambda record, left: None,
) -> None:
    """Run what is due until nothing is.

    results   the JSON lines file that grows
    jobs      runs at once, in processes of `threads` threads each
    keep      directory for the weights of the baseline's report runs
    report    is told each record that was written, and what is left in runs of full length

    Raises UsageError for a file that holds no results or that another process is writing, and for a place in `keep`
    that is taken; DiskFailure when it cannot be written; Failure when it was moved, when a run fails, and when a
    process is killed. Every run that has ended is in the file then. The processes end with this one, however it ends.
    """
    lost = "a process that trains a run has ended, perhaps for lack of memory"
    environment = {"OMP_NUM_THREADS": str(threads)}
    with writing(results) as file:
        if keep is not None:
            clear(keep, file.records)
            settle(keep, file.records)
        if keep is not None and BASELINE in (only or study.contestants):
            check_places(keep, study, file.records, tuning(study, BASELINE, file.records).rate)
        _tell_others(study, file, only)
        if study.blocks and (wanted := due(study, file.records, only)):
            check_place(study, file.records, wanted)
        mend = Failure(lost, "try again with fewer {jobs}; what has ended is kept.", jobs=None)
        with Processes(partial(_work, threads), jobs, mend, environment) as workers:
            _run_all(study, file, workers, jobs, only, keep, report)


def _run_all(
    study: Study,
    file: Results,
    workers: Processes,
    jobs: int,
    only: Sequence[str],
    keep: Path | None,
    report: Callable[[dict[str, Any], float], None],
) -> None:
    running: dict[Future[dict[str, Any]], Job] = {}
    try:
        while True:
            waiting = [job for job in due(study, file.records, only) if job not in running.values()]
            if waiting and study.hours and (hours := spent(study, file.records)) >= study.hours:
                if not running:
                    note(f"{hours:.1f} processor hours are spent, of {study.hours:g}: what is due is left out.")
                waiting = []
            for job in waiting[: jobs - len(running)]:
                wanted = keep is not None and job.contestant == BASELINE and job.purpose == "report"
                where = hidden(keep, study, job) if keep is not None and wanted else None
                running[workers.submit(study, job, where)] = job
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            ended = _write(file, running, keep)
            for record in ended:
                report(record, expected_work(study, file.records, only))
            for future in done:
                if future in running:
                    future.result()  # raises
    except (KeyboardInterrupt, SystemExit):
        _write(file, running, keep)  # what has ended meanwhile
        raise


def _write(file: Results, running: dict[Future[dict[str, Any]], Job], keep: Path | None) -> list[dict[str, Any]]:
    """Write down every run that has ended well, and take it from those that are running."""
    written = []
    for future in [future for future in running if future.done() and future.exception() is None]:
        record = future.result()
        file.append(record)
        del running[future]
        written.append(record)
        if keep is not None:
            settle(keep, file.records)
    return written


def _tell_others(study: Study, file: Results, only: Sequence[str]) -> None:
    """Say which results are not of the study as it stands now, and which another version made."""
    if not due(study, file.records, only):
        return
    here = [record for record in file.records.values() if record["study"] == study.name]
    before = [record for record in here if not _belongs(study, record)]
    if before:
        what = f"{counted(len(before), 'result')} in {file.path} come from this study as it was before"
        note(f"{what}: they stay there, and are not used.")
    made = {(record.get("environment") or {}).get("gpt2", __version__) for record in here if record not in before}
    if others := sorted(made - {__version__}):
        what = f"{file.path} holds results of version {', '.join(others)}, and this is version {__version__}"
        note(f"{what}: they count as they are.")


def _belongs(study: Study, record: dict[str, Any]) -> bool:
    """Whether a result is one of the study as it stands now."""
    if record["contestant"] not in study.contestants:
        return False
    job = Job(*(record[name] for name in ("contestant", "purpose", "seed", "rate", "share")))
    return job.key(study) == record["key"]


def _work(threads: int, study: Study, job: Job, keep: Path | None) -> dict[str, Any]:
    """One run, in a process of its own."""
    import torch

    from gpt2.ablation.job import run_job

    torch.set_num_threads(threads)
    try:
        return run_job(study, job, keep)
    except (ValueError, OSError):
        raise
    except Exception as error:  # of a variant, most likely
        said = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
        what = f"the run of {job.contestant} (seed {job.seed}, {job.purpose}) failed ({said})"
        raise Failure(what, "mend it, then type the same command: what has ended is kept.") from error


def _mean_loss(study: Study, jobs: Iterable[Job], records: Records) -> float:
    losses = [records.get(job.key(study), {}).get("val_loss") for job in jobs]
    finished = [loss for loss in losses if loss is not None]
    return sum(finished) / len(finished) if len(finished) == len(losses) else inf
