"""All runs of a study: which are due, several at once, each written down when it ends.

In: a `Study` and the results so far (JSON lines). Out: more lines. What is due is a pure function of the lines that are
there, so a study may be stopped at any time and go on in another sitting.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from math import inf
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gpt2.ablation.study import BASELINE, Job, Study
from gpt2.base.errors import UsageError
from gpt2.base.ours import check_directory
from gpt2.checkpoint.target import CHECKPOINT

EXTENSIONS = 4  # how often the search goes on past an end of its grid, by a factor of 2 each time
BEGINNING = '{"key": "'  # of a record's line, also of one that was cut off
Records = dict[str, dict[str, Any]]  # by key


@dataclass(frozen=True)
class Tuning:
    """losses   mean loss of the search at each rate tried so far, infinite where a run diverged
    rate        the best of them, None while runs are missing
    missing     runs to do before more can be said
    """

    losses: dict[float, float]
    rate: float | None
    missing: list[Job]


def read_records(path: Path) -> Records:
    """Results by key; a last line that was cut off is dropped. Raises UsageError for a line that is not a record."""
    records: Records = {}
    if not path.exists():
        return records
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            records[record["key"]] = record
        except (json.JSONDecodeError, KeyError, TypeError):
            if number < len(lines) or not (line.startswith(BEGINNING) or BEGINNING.startswith(line)):
                raise UsageError(f"{path}, line {number} is not the result of a run: remove that line.") from None
    return records


def tuning(study: Study, contestant: str, records: Records) -> Tuning:
    """The search for a contestant's learning rate: a grid, extended while its best lies at an end."""
    rates = list(study.tune_rates)
    for _ in range(EXTENSIONS + 1):
        jobs = {r: [Job(contestant, "tune", s, r, study.tune_share) for s in study.tune_seeds] for r in rates}
        missing = [job for of_rate in jobs.values() for job in of_rate if job.key(study) not in records]
        losses = {r: _mean_loss(study, of_rate, records) for r, of_rate in jobs.items()}
        if missing:
            return Tuning(losses, None, missing)
        best = min(rates, key=lambda r: losses[r])
        if losses[best] == inf:  # all diverged: look lower
            best = rates[0]
        if best == rates[0]:
            rates = [best / 2, *rates]
        elif best == rates[-1]:
            rates = [*rates, best * 2]
        else:
            return Tuning(losses, best, [])
    return Tuning(losses, best, [])


def due(study: Study, records: Records, only: Sequence[str] = ()) -> list[Job]:
    """Runs that can start now, in the order in which they are wanted; none when the study is complete.

    Primary contestants and whoever they are compared with come first: their rates, then seed by seed, so that a study
    that is stopped has some seeds of each contrast, and not all seeds of one.
    """
    jobs: list[Job] = []
    for name in only or study.contestants:
        search = tuning(study, name, records)
        jobs += search.missing
        if search.rate is not None:
            jobs += [Job(name, "report", seed, search.rate) for seed in study.seeds_of(name)]
            if name == BASELINE:
                jobs += [Job(name, "budget", s, search.rate, b) for b in study.budgets for s in study.seeds_of(name)]
    family = {name for c in study.primary for name in (BASELINE, c.name, c.against)}
    purposes = ("tune", "report", "budget")
    jobs.sort(key=lambda job: (job.contestant not in family, purposes.index(job.purpose), job.seed))
    return [job for job in jobs if job.key(study) not in records]


def expected_work(study: Study, records: Records, only: Sequence[str] = ()) -> float:
    """What is left, in runs of full length, as far as it can be foreseen (a search may extend its grid)."""
    left = 0.0
    for name in only or study.contestants:
        search = tuning(study, name, records)
        if search.rate is None:
            left += len(study.seeds_of(name)) + (len(study.seeds_of(name)) * sum(study.budgets)) * (name == BASELINE)
    return left + sum(job.share for job in due(study, records, only))


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

    Raises UsageError for a file that holds no results, and for a place in `keep` that is taken;
    OSError when it cannot be written.
    """
    records = read_records(results)
    if keep is not None and BASELINE in (only or study.contestants):
        _check_places(study, records, keep)
    results.parent.mkdir(parents=True, exist_ok=True)
    running: dict[Future[dict[str, Any]], Job] = {}
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start_worker, (threads,))
    try:
        while True:
            waiting = [job for job in due(study, records, only) if job not in running.values()]
            for job in waiting[: jobs - len(running)]:
                wanted = keep is not None and job.contestant == BASELINE and job.purpose == "report"
                where = _place(keep, job.seed) if keep is not None and wanted else None
                running[pool.submit(_work, study, job, where)] = job
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                running.pop(future)
                record = future.result()
                _append(record, results)
                records[record["key"]] = record
                report(record, expected_work(study, records, only))
    finally:
        for process in (pool._processes or {}).values():  # a run may take minutes: do not wait for it
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)


def _place(keep: Path, seed: int) -> Path:
    """Where the weights of the baseline with this seed are kept."""
    return keep / f"{BASELINE}-{seed}"


def _check_places(study: Study, records: Records, keep: Path) -> None:
    """Raise UsageError, before anything is trained, where weights that are to be kept would replace others."""
    rate = tuning(study, BASELINE, records).rate
    for seed in study.seeds_of(BASELINE):
        if rate is None or Job(BASELINE, "report", seed, rate).key(study) not in records:
            mend = "choose another {keep}, or move it to another place."
            check_directory(_place(keep, seed), CHECKPOINT, False, "keep", mend)


def _start_worker(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)


def _work(study: Study, job: Job, keep: Path | None) -> dict[str, Any]:
    from gpt2.ablation.job import run_job

    return run_job(study, job, keep)


def _append(record: dict[str, Any], path: Path) -> None:
    """One line, on the disk before anything goes on; a line that was cut off before is ended first."""
    with open(path, "a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.seek(0)
                *whole, last = file.read().rpartition(b"\n")
                if _is_whole(last):
                    file.write(b"\n")
                else:
                    file.truncate(sum(map(len, whole)))
        file.write(json.dumps(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _is_whole(line: bytes) -> bool:
    """Whether a last line without an end is a record all the same: an editor may have written it."""
    try:
        return "key" in json.loads(line)
    except (ValueError, TypeError):
        return False


def _mean_loss(study: Study, jobs: Iterable[Job], records: Records) -> float:
    losses = [records.get(job.key(study), {}).get("val_loss") for job in jobs]
    finished = [loss for loss in losses if loss is not None]
    return sum(finished) / len(finished) if len(finished) == len(losses) else inf
