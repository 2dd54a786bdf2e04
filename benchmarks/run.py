"""The order of a benchmark: make the model, convert it for the peers, then rounds of all contestants of all cases.

In: `Options`, from the command line (__main__.py). Out: the result as a dictionary, and as two files when asked.
Each job runs in a process of its own (worker.py); this one imports neither torch nor any peer.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.cases import CONTESTANTS, SEED, SHAPES, Case, Contestant, Kind
from benchmarks.worker import Job

SCHEMA = 1
PATIENCE_S = 1800  # for one process; what takes longer counts as failed
Launch = Callable[[Job], dict[str, Any]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to run; `software` leaves ours out, which always takes part."""

    kinds: tuple[Kind, ...]
    software: tuple[str, ...]
    precisions: tuple[str, ...]
    rounds: int = 3
    repeats: int = 3
    limit_s: float = 60.0
    threads: int = 1
    nanogpt: str | None = None
    shape: str = "124m"
    compile: bool = True
    out: Path | None = None
    command: str = ""

    @property
    def cases(self) -> list[Case]:
        """Those of the chosen kinds."""
        return [case for case in SHAPES[self.shape][1] if case.kind in self.kinds]

    @property
    def contestants(self) -> list[Contestant]:
        """Those of the chosen software and precisions."""
        chosen = [c for c in CONTESTANTS if c.software in ("ours", *self.software) and c.precision in self.precisions]
        return [c for c in chosen if set(c.kinds) & set(self.kinds) and (self.compile or not c.compiled)]


def in_subprocess(job: Job) -> dict[str, Any]:
    """Run a job in a fresh process; RuntimeError with the last line of what it wrote when it fails."""
    threads = str(job.threads)
    fixed = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    path = os.pathsep.join([str(machine.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": path}
    with tempfile.TemporaryDirectory() as folder:
        job_file, result_file = Path(folder, "job.json"), Path(folder, "result.json")
        job_file.write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
        words = [sys.executable, "-m", "benchmarks.worker", str(job_file), str(result_file)]
        environment = os.environ | fixed | offline
        try:
            done = subprocess.run(
                words, env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"it took more than {PATIENCE_S // 60} minutes") from None
        if done.returncode or not result_file.exists():
            lines = done.stderr.strip().splitlines() or [f"its process ended with code {done.returncode}"]
            raise RuntimeError(lines[-1][:300])
        result: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
        return result


class Benchmark:
    """One run. `launch` does a job; `say` gets a line of progress at a time."""

    def __init__(self, options: Options, launch: Launch = in_subprocess, say: Say = print) -> None:
        self.options, self.launch, self.say = options, launch, say
        self.contestants = options.contestants
        self.result: dict[str, Any] = {
            "schema": SCHEMA,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": options.command,
            **machine.commit(),
            "machine": machine.describe(),
            "versions": {},
            "model": SHAPES[options.shape][0] | {"seed": SEED},
            "settings": {name: getattr(options, name) for name in ("rounds", "repeats", "limit_s", "threads", "shape")},
            "cases": [dataclasses.asdict(case) for case in options.cases],
            "runs": [],
            "not_run": [
                {"contestant": c.name, "case": "", "reason": _why_left_out(c.software)}
                for c in CONTESTANTS
                if c.software not in ("ours", *options.software) and set(c.kinds) & set(options.kinds)
            ],
            "summary": [],
            "complete": False,
        }
        self.walls: dict[tuple[str, str], float] = {}  # seconds that a contestant's case took last time

    def run(self) -> dict[str, Any]:
        """All of it; what is measured so far is written after every round, and when it is interrupted."""
        with tempfile.TemporaryDirectory(prefix="gpt2-benchmark-") as work:
            self.work = work
            self._prepare()
            try:
                for number in range(self.options.rounds):
                    self._round(number)
                    self._write(complete=number + 1 == self.options.rounds)
            except KeyboardInterrupt:
                self._write(complete=False)
                raise
        return self.result

    def _job(self, case: Case | None = None, contestant: Contestant | None = None, **fields: Any) -> Job:
        model = SHAPES[self.options.shape][0]
        nanogpt = self.options.nanogpt
        common: dict[str, Any] = {
            "work": self.work,
            "threads": self.options.threads,
            "model": model,
            "nanogpt": nanogpt,
        }
        if case is None or contestant is None:
            return Job(contestant=contestant.name if contestant else "", **common, **fields)
        return Job.measuring(case, contestant, limit_s=self.options.limit_s, **common, **fields)

    def _prepare(self) -> None:
        self.say("making the model")
        made = self.launch(self._job(action="model"))
        self.result["machine"]["capabilities"] = made["capabilities"]
        self.result["model"]["parameters"] = made["parameters"]
        ready = []
        for contestant in self.contestants:
            self.say(f"preparing {contestant.label}")
            done = self._attempt(self._job(contestant=contestant, action="prepare"), "")
            if done is not None:
                self.result["versions"] |= done["versions"]
                ready.append(contestant)
        self.contestants = ready

    def _attempt(self, job: Job, case: str) -> dict[str, Any] | None:
        """Do a job; None, with the reason kept, when it was not done."""
        try:
            done = self.launch(job)
        except RuntimeError as error:
            done = {"not_run": f"failed: {error}"}
        if "not_run" not in done:
            return done
        self.say(f"  not run: {done['not_run']}")
        self.result["not_run"].append({"contestant": job.contestant, "case": case, "reason": done["not_run"]})
        return None

    def _round(self, number: int) -> None:
        plan = [(case, c) for case in self.options.cases for c in self._still_in(case, number)]
        for position, (case, contestant) in enumerate(plan):
            began = time.monotonic()
            earlier = [r for r in self.result["runs"] if (r["case"], r["contestant"]) == (case.name, contestant.name)]
            job = self._job(case, contestant, repeats=self.options.repeats)
            if earlier:
                job = _again(job, earlier[0])
            done = self._attempt(job, case.name)
            if done is None:
                continue
            self.walls[case.name, contestant.name] = time.monotonic() - began
            entry = {"case": case.name, "contestant": contestant.name, "round": number + 1}
            self.result["runs"].append({**entry, **done, "process_s": time.monotonic() - began})
            rate = done["tokens"] / min(done["seconds"])
            self.say(
                f"round {number + 1}/{self.options.rounds}  {case.name:12} {contestant.label:22} {rate:8.1f} tokens/s"
                f"  {self._left(number, plan[position + 1 :], plan)}"
            )

    def _still_in(self, case: Case, number: int) -> list[Contestant]:
        """Who runs this case: not those who could not; every second round in reverse, against drift."""
        out = {(entry["contestant"], entry["case"]) for entry in self.result["not_run"]}
        those = [c for c in self.contestants if case.kind in c.kinds and (c.name, case.name) not in out]
        return those[::-1] if number % 2 else those

    def _left(self, number: int, rest: list[tuple[Case, Contestant]], plan: list[tuple[Case, Contestant]]) -> str:
        """Time left: what each took before; where it has not run yet, the mean of those that have."""
        mean = sum(self.walls.values()) / len(self.walls)
        todo = rest + plan * (self.options.rounds - number - 1)
        seconds = sum(self.walls.get((case.name, c.name), mean) for case, c in todo)
        return f"about {seconds / 60:.0f} min left" if seconds >= 60 else f"about {seconds:.0f} s left"

    def _write(self, complete: bool) -> None:
        self.result["complete"] = complete
        self.result["summary"] = report.summarise(self.result["runs"], self.options.cases)
        if self.options.out is not None:
            write_files(self.result, self.options.cases, self.options.out)


def _again(job: Job, earlier: dict[str, Any]) -> Job:
    """The same job at the size and with the number of measurements that the first round settled on."""
    size = tuple(earlier["size"].values())
    sizes = job.sizes[:1] if job.sizes[0] == size else (job.sizes[0], size)
    return dataclasses.replace(job, sizes=sizes, repeats=len(earlier["seconds"]), repeats_fixed=True)


def _why_left_out(software: str) -> str:
    return {
        "llama-cpp": "only with --with llama-cpp (its package is compiled on installation)",
        "nanogpt": "only with --nanogpt PATH, a checkout of it",
    }.get(software, "left out by --peers")


def write_files(result: dict[str, Any], cases: list[Case], out: Path) -> None:
    """Write `out`.json and `out`.md, each whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".json", json.dumps(result, indent=1) + "\n"), (".md", report.markdown(result, cases))):
        beside = out.with_name(f".{out.name}{suffix}.partial")
        try:
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, out.with_name(out.name + suffix))
        finally:
            beside.unlink(missing_ok=True)
