"""The commands that are killed, each tiny: how one begins and goes on, when it writes, what must be equal in the end.

In: a folder to work in. Out: words to type. Read next: measure.py.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.resume_kills import RECIPE, compared
from gpt2.training.run.directory import checkpoints
from gpt2.training.run.metrics import METRICS, read_metrics

CLOCK = ("seconds", "tokens_per_s", "ended", "peak_memory_bytes", "environment")  # of a study's results: what does
STORIES = Path(__file__).parents[2] / "gpt2" / "assets" / "stories.txt"
STUDY = """
[study]
seeds = [0, 1]
exploratory = 1
tune_seeds = [100]
budgets = [0.5]
[baseline]
model = {{ n_layer = 1, n_head = 2, n_embd = 16, n_positions = 16 }}
data = {{ train = ["{data}"], val = ["{data}"] }}
optim = {{ lr = 0.01, warmup_steps = 1 }}
train = {{ steps = 12, batch_size = 4, compile = false, dtype = "float32" }}
[contestants.no-mask]
variant = "no-mask"
kind = "primary"
expect = "<= -0.1"
"""
LEFT = re.compile(r".*\.(partial|old|tmp)|\..*unfinished|.*\.u64|\..*\.json|\.baseline.*")  # no file keeps such a name


@dataclass(frozen=True)
class Place:
    """Where one undisturbed or killed sequence works: `out` is what the command makes, in a folder of its own."""

    out: Path

    def files(self) -> list[Path]:
        """Every file and directory there."""
        return sorted(self.out.parent.rglob("*"))

    def left(self) -> list[str]:
        """What looks half-written."""
        return [path.relative_to(self.out.parent).as_posix() for path in self.files() if LEFT.fullmatch(path.name)]


class Train:
    """`gpt2 train`, and how it is resumed."""

    name = "train"
    steps = 36

    def __init__(self, folder: Path, data: Path) -> None:
        self.recipe = folder / "recipe.toml"
        self.recipe.write_text(
            RECIPE.format(data=data, compile="false", steps=self.steps, eval_every=12, save_every=3, width=32)
        )

    def words(self, place: Place) -> list[str]:
        """What a user types now."""
        if checkpoints(place.out):
            return ["train", "--resume", str(place.out), "--json"]
        return ["train", str(self.recipe), "--out", str(place.out), "--json", *["--overwrite"] * place.out.exists()]

    def writes(self, place: Place) -> bool:
        """Whether it is writing something whole right now."""
        return any(place.out.glob("checkpoints/.step-*")) or any(place.out.glob(".*.partial"))

    def done(self, place: Place) -> set[str]:
        """What must never be lost: the steps of the last checkpoint."""
        return {f"step {step}" for step in range(max(checkpoints(place.out), default=0))}

    def logged(self, place: Place) -> int:
        """Steps in the log."""
        log = place.out / METRICS
        return sum("loss" in event for event in read_metrics(log)) if log.exists() else 0

    def result(self, place: Place) -> Any:
        """What must be equal to the bit."""
        return compared(place.out), hashes(place.out / "model")


class Finetune(Train):
    """`gpt2 finetune` on a model that `Train` made."""

    name = "finetune"

    def __init__(self, folder: Path, model: Path) -> None:
        self.model, self.text = model, folder / "poems.txt"
        self.text.write_text(STORIES.read_text(encoding="utf-8")[:6000])

    def words(self, place: Place) -> list[str]:
        """What a user types now."""
        if checkpoints(place.out) or self.ended(place):
            return ["finetune", "--resume", str(place.out)]
        words = ["finetune", str(self.text), "--model", str(self.model), "--out", str(place.out), "--epochs", "2"]
        return [*words, "--batch-size", "8", "--eval-every", "5", "--patience", "0", "--dropout", "0.1",
                *["--overwrite"] * place.out.exists()]  # fmt: skip

    def done(self, place: Place) -> set[str]:
        """As of a run; one that has come to its end has all steps."""
        return {f"step {step}" for step in range(1000)} if self.ended(place) else super().done(place)

    def ended(self, place: Place) -> bool:
        """Whether it has come to its end: then it needs no checkpoint any more."""
        return (place.out / "model").exists() and not checkpoints(place.out)


class Prepare:
    """`gpt2 prepare` with two processes, whose same command goes on."""

    name = "prepare"

    def __init__(self, folder: Path) -> None:
        self.text = folder / "text.txt"
        self.text.write_text(STORIES.read_text(encoding="utf-8") * 3)

    def words(self, place: Place) -> list[str]:
        """What a user types now."""
        words = ["prepare", str(self.text), "--tokenizer", "bytes", "--out", str(place.out)]
        return [*words, "--shard-tokens", "5000", "--processes", "2"]

    def writes(self, place: Place) -> bool:
        """Whether a shard or the state is being written: it writes most of the time."""
        return any(place.out.parent.glob(".*.unfinished/unfinished.json*"))

    def done(self, place: Place) -> set[str]:
        """Shards that are noted as complete."""
        state = place.out.parent / f".{place.out.name}.unfinished" / "unfinished.json"
        if place.out.exists() or not state.exists():
            return set()
        return {shard["file"] for shard in json.loads(state.read_text())["shards"]}

    def result(self, place: Place) -> Any:
        """What must be equal to the bit."""
        return hashes(place.out)


class Ablate:
    """`gpt2 ablate` with two processes, which keeps the baseline's weights."""

    name = "ablate"

    def __init__(self, folder: Path, data: Path) -> None:
        self.study = folder / "tiny.toml"
        self.study.write_text(STUDY.format(data=data))

    def words(self, place: Place) -> list[str]:
        """What a user types now."""
        words = ["ablate", str(self.study), "--results", str(place.out), "--keep", str(place.out.parent / "kept")]
        return [*words, "--jobs", "2", "--threads", "1"]

    def writes(self, place: Place) -> bool:
        """Whether weights are being written, or a result was a moment ago."""
        return any((place.out.parent / "kept").glob(".*"))

    def done(self, place: Place) -> set[str]:
        """Runs whose result is written down."""
        lines = place.out.read_bytes().splitlines(keepends=True) if place.out.exists() else []
        return {json.loads(line)["key"] for line in lines if line.endswith(b"\n")}

    def result(self, place: Place) -> Any:
        """What must be equal to the bit; runs end in any order."""
        records = [json.loads(line) for line in place.out.read_text().splitlines()]
        plain = [{key: value for key, value in record.items() if key not in CLOCK} for record in records]
        return sorted(plain, key=lambda record: record["key"]), hashes(place.out.parent / "kept")


def hashes(folder: Path) -> dict[str, str]:
    """A hash of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
