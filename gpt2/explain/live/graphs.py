"""Graphs that need not be traced again: the one that is shipped, and those that this machine has kept.

In: a model. Out: its graph (graph.py). A graph holds no weights, so one serves every model of the same sizes. The
shipped one is the bundled model's; others are kept in the user's cache folder, by their configuration and by the source
text of what was traced, so that a changed model is traced anew.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gpt2
from gpt2.base.errors import UsageError
from gpt2.explain.live.kept import keep, kept
from gpt2.model import GPT2

SHIPPED = Path(__file__).with_name("graph.json")
TRACED = (
    "attention.py", "block.py", "model.py", "forward_pass.py", "explain/run/program.py", "explain/run/given_keys.py",
    "explain/live/graph.py",
)  # fmt: skip


def graph_of(model: GPT2) -> dict[str, Any]:
    """The graph of a model: shipped, kept before, or traced now and kept.

    Raises UsageError for a variant, which the page's engine does not compute.
    """
    if getattr(model, "variant", None) is not None:
        raise UsageError(
            "the live page computes a plain GPT-2, and this is a variant",
            "write the still page, {still}, or give {page}.",
            still=True,
            page=True,
        )
    key = key_of(model)
    own = kept(f"graph-{key[:32]}.json")
    for path in (SHIPPED, own):
        if (found := _read(path)) is not None and found.get("key") == key:
            return found
    from gpt2.explain.live.graph import graph

    made = {"key": key, **graph(model)}
    keep(own, json.dumps(made, separators=(",", ":")).encode())
    return made


def key_of(model: GPT2) -> str:
    """The configuration of a model and the source text of what is traced, as one hash."""
    root = Path(gpt2.__file__).parent
    sources = [(root / name).read_text("utf-8") for name in TRACED]
    told = json.dumps([asdict(model.config), sources], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """What a file holds; None where it is not there, or damaged: then the graph is traced again."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
