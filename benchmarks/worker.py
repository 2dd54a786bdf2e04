"""One job in a process of its own: make the model, convert it for a peer, or measure one case of one contestant.

In: a job as JSON in the file that the command line names. Out: a JSON object in the file named second.
Read next: engines/.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from benchmarks.cases import BY_NAME, SEED, Case, Contestant, Size, rows
from benchmarks.engines import NotRun, Place, engine

GROWTH = 4  # from one size of a case to the next, about


@dataclass(frozen=True)
class Job:
    """What a process is to do.

    action      "model": write the checkpoint; "prepare": convert it for `contestant`; "measure"
    sizes       those of the case, smallest first; with `repeats_fixed` the last is measured as it stands
    repeats     measurements wanted; fewer where one takes long
    limit_s     about what a case may take in all, compilation apart
    """

    action: Literal["model", "prepare", "measure"]
    work: str
    threads: int
    model: dict[str, int]
    contestant: str = ""
    case: str = ""
    kind: str = ""
    sizes: tuple[tuple[int, int, int], ...] = ()
    repeats: int = 1
    repeats_fixed: bool = False
    limit_s: float = 60.0
    nanogpt: str | None = None

    @property
    def place(self) -> Place:
        """Directories and threads for the engines."""
        return Place(Path(self.work), self.threads, None if self.nanogpt is None else Path(self.nanogpt))

    @classmethod
    def measuring(cls, case: Case, contestant: Contestant, **rest: Any) -> "Job":
        """The job that measures a case from its smallest size on."""
        sizes = tuple((s.batch, s.length, s.new) for s in case.sizes)
        return cls("measure", contestant=contestant.name, case=case.name, kind=case.kind, sizes=sizes, **rest)


def work(job: Job) -> dict[str, Any]:
    """Do a job; {"not_run": reason} where the contestant cannot."""
    try:
        if job.action == "model":
            return _model(job)
        if job.action == "prepare":
            return _prepare(job)
        return _measure(job)
    except NotRun as reason:
        return {"not_run": str(reason)}


def _model(job: Job) -> dict[str, Any]:
    from benchmarks.machine import capabilities
    from benchmarks.random_model import make_checkpoint

    parameters = make_checkpoint(job.place.checkpoint, job.model, SEED)
    return {"parameters": parameters, "capabilities": capabilities()}


def _prepare(job: Job) -> dict[str, Any]:
    contestant = BY_NAME[job.contestant]
    module = engine(contestant.engine)
    if hasattr(module, "prepare"):
        module.prepare(job.place, contestant.precision)
    versions = module.versions()
    if hasattr(module, "checkout_hash"):
        versions[f"{contestant.software} (SHA-256 of model.py)"] = module.checkout_hash(job.place)
    return {"versions": versions}


def _measure(job: Job) -> dict[str, Any]:
    contestant, sizes = BY_NAME[job.contestant], [Size(*size) for size in job.sizes]
    began = time.perf_counter()
    subject: Subject = Training(job, contestant) if job.kind == "train" else Generating(job, contestant)
    setup_s = time.perf_counter() - began

    size, last_s = sizes[0], _timed(subject, sizes[0])  # this one alone starts from the same weights everywhere
    check = subject.check()
    if job.repeats_fixed:
        size, repeats = sizes[-1], job.repeats
    else:
        for larger in sizes[1:]:
            if last_s * GROWTH > job.limit_s / 2:
                break
            size, last_s = larger, _timed(subject, larger)
        repeats = max(1, min(job.repeats, int(job.limit_s / 2 / max(last_s, 1e-9))))
    began = time.perf_counter()
    if subject.compile() or (job.repeats_fixed and repeats > 1):
        _timed(subject, size)
    last_warm_up_s = time.perf_counter() - began

    seconds = [_timed(subject, size) for _ in range(repeats)]
    return {
        "size": {"batch": size.batch, "length": size.length, "new": size.new},
        "tokens": size.tokens,
        "seconds": seconds,
        "setup_s": setup_s,
        "last_warm_up_s": last_warm_up_s,
        "peak_memory_mib": _peak_memory(),
        "check": check if job.kind == "train" else subject.check(),
    }


def _timed(subject: "Subject", size: Size) -> float:
    given = subject.rows(size)
    began = time.perf_counter()
    subject.call(given, size)
    return time.perf_counter() - began


def _peak_memory() -> int | None:
    """The most memory this process has held, in MiB."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


class Subject(Protocol):
    """What is timed."""

    def rows(self, size: Size) -> list[list[int]]:
        """The input of a call."""
        ...

    def call(self, given: list[list[int]], size: Size) -> None:
        """One measurement."""
        ...

    def compile(self) -> bool:
        """Compile from now on, where the contestant says so; whether it does."""
        ...

    def check(self) -> Any:
        """What came out of the latest call: everybody should agree on it but for rounding."""
        ...


class Generating:
    """Greedy continuation; the check is its ids."""

    def __init__(self, job: Job, contestant: Contestant) -> None:
        self.decoder = engine(contestant.engine).Decoder(job.place, contestant.precision)
        self.vocab_size = job.model["vocab_size"]

    def rows(self, size: Size) -> list[list[int]]:
        """Prompts."""
        return rows(size, self.vocab_size)

    def call(self, given: list[list[int]], size: Size) -> None:
        """Raises RuntimeError when a contestant stops early, which would look fast."""
        self.ids = [[int(i) for i in ids] for ids in self.decoder.generate(given, size.new)]
        if [len(ids) for ids in self.ids] != [size.new] * size.batch:
            raise RuntimeError(f"asked for {size.new} new tokens each, got {[len(ids) for ids in self.ids]}")

    def compile(self) -> bool:
        """Nothing is compiled."""
        return False

    def check(self) -> list[list[int]]:
        """The new ids of each prompt."""
        return self.ids


class Training:
    """Steps on one batch; the check is the loss before the step."""

    def __init__(self, job: Job, contestant: Contestant) -> None:
        self.trainer = engine(contestant.engine).Trainer(job.place, contestant.precision)
        self.vocab_size, self.compiled = job.model["vocab_size"], contestant.compiled

    def rows(self, size: Size) -> list[list[int]]:
        """Rows with one id more, for the shift."""
        return rows(size, self.vocab_size, extra=1)

    def call(self, given: list[list[int]], size: Size) -> None:
        """One step."""
        self.loss = self.trainer.step([row[:-1] for row in given], [row[1:] for row in given])

    def compile(self) -> bool:
        """Compile the trainer's model."""
        if self.compiled:
            self.trainer.compile()
        return self.compiled

    def check(self) -> float:
        """The loss."""
        return self.loss


def main(job_file: str, result_file: str) -> None:
    """Read a job, write its result; the parent has fixed the threads in the environment."""
    fields = json.loads(Path(job_file).read_text(encoding="utf-8"))
    fields["sizes"] = tuple(tuple(size) for size in fields["sizes"])
    result = work(Job(**fields))
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
