"""Who takes part in `benchmarks.decode_rate`, each as a process of its own, in the way that is fastest for it here.

In: a checkpoint, and where the peers are installed. Out: for each case the processes that answer it, the ids that they
gave, and the way that each took; and who cannot take part, with the reason.
Read next: decode_worker.py and engines/node_llama.mjs, which answer.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engines import NotRun, Place, node_llama
from benchmarks.machine import ROOT

TRIALS, TRIAL_TOKENS = 3, 16  # of each way, to choose one
SOFTWARE = {
    "ours": ("fp32", "bf16", "int8", "int4"),
    "hf": ("fp32", "bf16"),
    "ct2": ("fp32", "int8"),
    "llama": ("f32", "bf16", "q8_0", "q4_0"),
}
PREPARED = ("ct2", "llama")  # these read a format of their own
NAMES = tuple(f"{software} {precision}" for software, kinds in SOFTWARE.items() for precision in kinds)


@dataclass(frozen=True)
class Way:
    """A setting in which a software can be asked; of several, the faster is taken."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


WAYS = {
    "ours": (Way("its default"),),
    "hf": (Way("sdpa", {"attention": "sdpa"}), Way("eager", {"attention": "eager"})),
    "ct2": (
        Way("its default"),
        Way("MKL", environment={"CT2_USE_MKL": "1"}),
        Way("MKL, packed", environment={"CT2_USE_MKL": "1", "CT2_USE_EXPERIMENTAL_PACKED_GEMM": "1"}),
    ),
    "llama": (
        Way("flash", {"flash": True, "mmap": False}),
        Way("flash, mmap", {"flash": True, "mmap": True}),
        Way("no flash", {"flash": False, "mmap": False}),
        Way("no flash, mmap", {"flash": False, "mmap": True}),
    ),
}


@dataclass(frozen=True)
class Case:
    """Rows of ids that are continued together by `new` tokens; with one new token the prompt alone is timed."""

    name: str
    prompts: list[list[int]]
    new: int

    @property
    def tokens(self) -> int:
        """Tokens that the rate counts: those of the prompt, or all new ones but each row's first."""
        return len(self.prompts) * (self.new - 1) or sum(map(len, self.prompts))

    def seconds(self, answer: dict[str, Any]) -> float:
        """What they took."""
        return float(answer["first"] if self.new == 1 else answer["rest"])


@dataclass(frozen=True)
class Peers:
    """Where the peers are: CTranslate2's interpreter, and the directory in which npm installed node-llama-cpp."""

    ct2_python: str = sys.executable
    llama: Path | None = None


class Worker:
    """A process that answers questions, one at a time. NotRun where it does not start, cannot, or ends."""

    def __init__(self, words: list[str], threads: int, environment: dict[str, str]) -> None:
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        try:
            self.process = subprocess.Popen(
                words, cwd=ROOT, env=os.environ | limits | {"PYTHONPATH": path} | environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise NotRun(f"cannot start {words[0]}: {error.strerror}") from None
        try:
            self.about = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, prompts: list[list[int]], new: int, context: int) -> dict[str, Any]:
        """{"ids", "first", "rest"} of a continuation; `context` is the most tokens that a row may have."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"prompts": prompts, "new": new, "context": context}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which the missing answer shows
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise NotRun(f"its process ended with code {self.process.wait()}")
        said: dict[str, Any] = json.loads(line)
        if "not_run" in said:
            raise NotRun(said["not_run"])
        return said

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def command(name: str, place: Place, peers: Peers, options: dict[str, Any], prepare: bool = False) -> list[str]:
    """The words that start a contestant's worker, or that make its files."""
    software, precision = name.split()
    words = [peers.ct2_python if software == "ct2" else sys.executable, "-m", "benchmarks.decode_worker"]
    if software == "llama" and not prepare:
        return node_llama.command(place, precision, peers.llama, options)
    module = "node_llama" if software == "llama" else software
    job = {"software": module, "precision": precision, "work": str(place.work), "threads": place.threads}
    return [*words, json.dumps(job | {"prepare": prepare, "options": options})]


class Team:
    """The processes of a run. Used as a context: at its end they end."""

    def __init__(self, place: Place, peers: Peers, cases: list[Case]) -> None:
        self.place, self.peers, self.cases = place, peers, cases
        self.chosen: dict[str, dict[str, Worker]] = {case.name: {} for case in cases}
        self.ways: dict[str, dict[str, str]] = {case.name: {} for case in cases}
        self.ids: dict[str, dict[str, list[list[int]]]] = {case.name: {} for case in cases}
        self.about: dict[str, dict[str, Any]] = {}
        self.not_run: dict[str, str] = {}
        self.workers: list[Worker] = []

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.close()

    def add(self, name: str) -> None:
        """Start a contestant in each of its ways, and keep for each case the one that is fastest in short trials."""
        software = name.split()[0]
        try:
            ways = [(way, command(name, self.place, self.peers, way.options)) for way in WAYS[software]]
            if software in PREPARED:
                Worker(command(name, self.place, self.peers, {}, prepare=True), self.place.threads, {}).close()
        except NotRun as reason:
            self.not_run[name] = str(reason)
            return
        best: dict[str, float] = {}
        for way, words in ways:
            try:
                worker = Worker(words, self.place.threads, way.environment)
            except NotRun as reason:
                self.not_run[f"{name}, {way.name}"] = str(reason)
                continue
            self.workers.append(worker)
            self.about[name] = worker.about
            for case in self.cases:
                self._try(name, way, worker, case, TRIALS if len(ways) > 1 else 1, best)
            for other in self.workers:
                if not any(other in kept.values() for kept in self.chosen.values()):
                    other.close()
            self.workers = [worker for worker in self.workers if worker.process.returncode is None]

    def _try(self, name: str, way: Way, worker: Worker, case: Case, trials: int, best: dict[str, float]) -> None:
        context, new = len(case.prompts[0]) + case.new, min(case.new, TRIAL_TOKENS)
        least, others = float("inf"), best.get(case.name, float("inf"))
        try:
            warm_up = worker.ask(case.prompts, new, context)
            ids, seconds, hopeless = warm_up["ids"], case.seconds(warm_up), 10 * others
            for _ in range(trials):
                if seconds > hopeless:
                    break
                seconds, hopeless = case.seconds(worker.ask(case.prompts, new, context)), 2 * others
                least = min(least, seconds)
        except NotRun as reason:
            self.not_run[f"{name}, {way.name}, {case.name}"] = str(reason)
            return
        if least < best.get(case.name, float("inf")):
            best[case.name] = least
            self.chosen[case.name][name], self.ways[case.name][name] = worker, way.name
            self.ids[case.name][name] = ids

    def drop(self, name: str, case: str, reason: str) -> None:
        """Leave a contestant out of a case from now on."""
        self.not_run[f"{name}, {case}"] = reason
        del self.chosen[case][name]
