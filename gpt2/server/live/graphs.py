"""Graphs that need not be traced again: the one that is shipped, and those that this machine has kept.

In: a model. Out: its graph (graph.py). A graph holds no weights, so one serves every model of the same sizes. The
shipped one is the bundled model's; others are kept in the user's cache folder, by their configuration and by the source
text of what was traced, so that a changed model is traced anew.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gpt2
from gpt2.base.errors import UsageError
from gpt2.model import GPT2

SHIPPED = Path(__file__).with_name("shipped.json")
TRACED = (
    "attention.py", "block.py", "model.py", "forward_pass.py", "explain/run/program.py", "explain/run/given_keys.py",
    "server/live/graph.py",
)  # fmt: skip


def graph_of(model: GPT2) -> dict[str, Any]:
    """The graph of a model: shipped, kept before, or traced now and kept.

    Raises UsageError for a variant, which the page's engine does not compute.
    """
    if getattr(model, "variant", None) is not None:
        raise UsageError(
            "the page's own engine computes a plain GPT-2, and this is a variant: write the still page instead."
        )
    key = key_of(model)
    for path in (SHIPPED, kept_at(key)):
        if (found := _read(path)) is not None and found.get("key") == key:
            return found
    from gpt2.server.live.graph import graph

    made = {"key": key, **graph(model)}
    _keep(kept_at(key), made)
    return made


def key_of(model: GPT2) -> str:
    """The configuration of a model and the source text of what is traced, as one hash."""
    root = Path(gpt2.__file__).parent
    sources = [(root / name).read_text("utf-8") for name in TRACED]
    told = json.dumps([asdict(model.config), sources], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def kept_at(key: str) -> Path:
    """Where this machine keeps a graph."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "glassbox-gpt2" / "graphs" / f"{key[:32]}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """What a file holds; None where it is not there, or damaged: then the graph is traced again."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _keep(path: Path, made: dict[str, Any]) -> None:
    """Keep a graph, whole or not at all; where the disk does not take it, it is traced again next time."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(made, separators=(",", ":")), encoding="utf-8")
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
