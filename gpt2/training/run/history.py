"""What became of a run: its size, its losses, its speed, and whether it is over; for comparing runs.

In: run directories, or metrics.jsonl files alone. Out: a `History` each. Read next: curves.py, cli/runs.py.
Nothing here imports torch.
"""

import os
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gpt2.base.costs import n_params
from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.kinds import parse_own
from gpt2.base.notes import note
from gpt2.base.sealed import kind_of, read_text
from gpt2.checkpoint.hf_config import read_config
from gpt2.training.run.directory import FINETUNE, checkpoints, is_running
from gpt2.training.run.intact import Damaged, read_facts
from gpt2.training.run.metrics import METRICS, Event, read_metrics, wrong_lines
from gpt2.training.run.resume import Facts

RECIPE = "recipe.json"
State = Literal["finished", "ended early", "stopped", "diverged", "running"]
PATIENCE = 2  # of a fine-tune whose settings do not say it: it had no other


@dataclass(frozen=True)
class History:
    """A run as its files tell it; None for what they do not tell.

    name          of its directory
    path          as it was asked for
    parameters    of the model
    steps         optimiser steps done
    of_steps      optimiser steps of the recipe
    training      (tokens so far, loss) of every step
    validation    set: (steps done, tokens so far, loss) of every evaluation
    tokens_per_s  the median over all steps
    seconds       spent so far, over all sessions of the run
    state         "ended early": a fine-tune whose validation loss did not fall any more
    patience      after so many evaluations without improvement a fine-tune ends early
    """

    name: str
    path: Path
    parameters: int | None
    steps: int
    of_steps: int | None
    training: list[tuple[int, float]]
    validation: dict[str, list[tuple[int, int, float]]]
    tokens_per_s: float | None
    seconds: float | None
    state: State | None
    patience: int | None = None

    @property
    def ending(self) -> str:
        """How the run ended, in words for a table."""
        if self.state == "ended early":
            return f"ended early, no better for {counted(self.patience or PATIENCE, 'evaluation')}"
        return self.state or "-"

    @property
    def tokens(self) -> int:
        """Tokens trained on."""
        return self.training[-1][0]

    def to_dict(self) -> dict[str, Any]:
        """The figures without the curves, for JSON."""
        sets = {}
        for name, points in self.validation.items():
            lowest = min(points, key=lambda point: point[2])
            sets[name] = {"final": points[-1][2], "best": lowest[2], "best_step": lowest[0]}
        return {
            "name": self.name,
            "path": str(self.path),
            "parameters": self.parameters,
            "steps": self.steps,
            "of_steps": self.of_steps,
            "tokens": self.tokens,
            "loss": self.training[-1][1],
            "validation": sets,
            "tokens_per_s": self.tokens_per_s,
            "seconds": self.seconds,
            "state": self.state,
            "patience": self.patience,
        }


def find_runs(paths: list[str]) -> list[Path]:
    """The runs that these paths mean: a run, a metrics.jsonl, or a directory of runs, which stands for all of them.

    Raises UsageError for a path that holds no run.
    """
    runs = []
    for path in map(Path, paths):
        inside = sorted(p.parent for p in path.glob(f"*/{METRICS}")) if path.is_dir() else []
        if path.is_file() or (path / METRICS).is_file():
            runs.append(path)
        elif (kind := kind_of(log := path / METRICS if path.is_dir() else path)) and kind != "a directory":
            raise UsageError(f"{log} is {kind}, where a file of a run belongs: name another run.")
        elif inside:
            runs += inside
        elif path.is_dir():
            raise UsageError(f"{path} holds no run, since there is no {METRICS} in it: name a directory of gpt2 train.")
        else:
            raise UsageError(f"there is no {path}: name a directory of gpt2 train.")
    return runs


def read_histories(paths: list[Path]) -> list[History]:
    """The history of each run, under its path where two have one name. Raises as `read_history` does."""
    histories = [read_history(path) for path in paths]
    names = [history.name for history in histories]
    return [replace(h, name=str(h.path)) if names.count(h.name) > 1 else h for h in histories]


def read_history(path: Path) -> History:
    """The history of a run directory or of a metrics.jsonl. ValueError when not one step is logged in it."""
    run = None if path.is_file() else path
    log = path if run is None else path / METRICS
    events = [event for event in read_metrics(log) if "tokens" in event or not event.keys() & {"loss", "val"}]
    steps = [event for event in events if "loss" in event]
    if not steps:
        raise ValueError(f"{log} has no step yet: wait for the first one.")
    done = steps[-1]["step"] + 1
    facts = None if run is None else _last_facts(run)
    _tell_damage(log, done, facts)
    of_steps = None if run is None else _steps_of_recipe(run, facts)
    speeds = [event["tokens_per_s"] for event in steps if event.get("tokens_per_s")]
    return History(
        name=path.resolve().name if run is not None else path.stem,
        path=path,
        parameters=None if run is None else _parameters(run),
        steps=done,
        of_steps=of_steps,
        training=[(event["tokens"], event["loss"]) for event in steps],
        validation=_validation(events),
        tokens_per_s=statistics.median(speeds) if speeds else None,
        seconds=next((event["elapsed_s"] for event in reversed(events) if "elapsed_s" in event), None),
        state=None if run is None else _state(run, events, done, of_steps),
        patience=None if run is None else _patience(run),
    )


def join(parts: list[History]) -> History:
    """Runs that went on from one another's weights, as one: the tokens and steps of later ones are added on."""
    first, last = parts[0], parts[-1]
    training: list[tuple[int, float]] = []
    validation: dict[str, list[tuple[int, int, float]]] = {}
    steps = tokens = 0
    for part in parts:
        training += [(tokens + t, loss) for t, loss in part.training]
        for name, points in part.validation.items():
            validation.setdefault(name, []).extend((steps + s, tokens + t, loss) for s, t, loss in points)
        steps, tokens = steps + part.steps, tokens + part.tokens
    wholes = [part.of_steps for part in parts]
    seconds = [part.seconds for part in parts]
    return History(
        name=" + ".join(part.name for part in parts),
        path=first.path,
        parameters=last.parameters,
        steps=steps,
        of_steps=None if None in wholes else sum(n for n in wholes if n is not None),
        training=training,
        validation=validation,
        tokens_per_s=last.tokens_per_s,
        seconds=None if None in seconds else sum(s for s in seconds if s is not None),
        state=last.state,
        patience=last.patience,
    )


def _validation(events: list[Event]) -> dict[str, list[tuple[int, int, float]]]:
    """Curves by the last part of a set's path, or by all of it where two sets share that."""
    paths = {path for event in events for path in event.get("val", {})}
    short = [Path(path).name for path in paths]
    curves: dict[str, list[tuple[int, int, float]]] = {}
    for event in events:
        for path, loss in event.get("val", {}).items():
            name = Path(path).name if short.count(Path(path).name) == 1 else path
            curves.setdefault(name, []).append((event["step"] + 1, event["tokens"], loss))
    return curves


def _last_facts(run: Path) -> Facts | None:
    """What the last checkpoint of a run says; None where it is damaged, which resuming says, or there is none."""
    for path in reversed(checkpoints(run).values()):
        try:
            return read_facts(path)
        except Damaged:
            return None
    return None


def _tell_damage(log: Path, done: int, facts: Facts | None) -> None:
    """Say what is wrong with the log of a run that has done so many steps, or more by its last checkpoint."""
    steps, seal = (done, None) if facts is None else (max(done, facts.step), facts.log)
    if why := wrong_lines(log, steps, seal, later_too=True):
        note(f"{log} is damaged: {why}; the figures are those of the lines that can be read.")


def _steps_of_recipe(run: Path, facts: Facts | None) -> int | None:
    """The steps of recipe.json, or else of the last checkpoint, and then a note."""
    try:
        text = read_text(run / RECIPE)
        steps: int = parse_own(text, {"train": {"steps": int}})["train"]["steps"]
    except (OSError, ValueError):
        why = "cannot be read" if os.path.lexists(run / RECIPE) else "is missing"
        what = "how many steps the run was to have is not known" if facts is None else "its last checkpoint counts"
        note(f"{run / RECIPE} {why}: {what}.")
        return None if facts is None else int(facts.recipe["train"]["steps"])
    return steps


def _parameters(run: Path) -> int | None:
    """From the config.json of any model of the run."""
    for directory in (*(path / "model" for path in reversed(checkpoints(run).values())), run / "model"):
        try:
            return n_params(read_config(directory)[0])
        except (OSError, ValueError):
            continue
    return None


def _state(run: Path, events: list[Event], done: int, of_steps: int | None) -> State | None:
    if is_running(run):
        return "running"
    if "diverged" in events[-1]:
        return "diverged"
    if of_steps is None:
        return None
    if done >= of_steps:
        return "finished"
    # A fine-tune keeps its checkpoints until it has come to its end.
    ended = (run / FINETUNE).is_file() and (run / "model").is_dir() and not checkpoints(run)
    return "ended early" if ended else "stopped"


def _patience(run: Path) -> int | None:
    """Of a fine-tune; None of another run."""
    try:
        settings = parse_own(read_text(run / FINETUNE), {"patience?": int})
        return int(settings.get("patience", PATIENCE))
    except (OSError, ValueError):
        return None
