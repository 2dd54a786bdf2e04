"""Graphs that need not be traced again: the one that is shipped, and those that this machine has kept.

In: a model. Out: its graph (graph.py). A graph holds no weights, so one serves every model of the same sizes. The
shipped one is the bundled model's; others are kept in the user's cache folder, by their configuration, their variant
and the source text of what was traced, so that a changed model is traced anew.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gpt2
from gpt2.explain.live.kept import keep, kept
from gpt2.model import GPT2

SHIPPED = Path(__file__).with_name("graph.json")
TRACED = (
    "attention.py", "block.py", "model.py", "forward_pass.py", "explain/run/program.py", "explain/run/given_keys.py",
    "explain/live/graph.py",
)  # fmt: skip
VARIANTS = "ablation/variants.py"


def graph_of(model: GPT2) -> dict[str, Any]:
    """The graph of a model: shipped, kept before, or traced now and kept.

    Raises UsageError as `graph` does: for what the page's engine does not compute.
    """
    key = key_of(model)
    own = kept(f"graph-{key[:32]}.json") if key else None
    for path in (SHIPPED, own):
        if path and (found := _read(path)) is not None and found.get("key") == key:
            return found
    from gpt2.explain.live.graph import graph

    made = {"key": key, **graph(model)}
    if own is not None:
        keep(own, json.dumps(made, separators=(",", ":")).encode())
    return made


def key_of(model: GPT2) -> str:
    """The configuration of a model, its variant and the source text of what is traced, as one hash; "" for a variant of
    the user's own, whose source nobody here knows: it is traced each time."""
    root = Path(gpt2.__file__).parent
    variant = getattr(model, "variant", None)
    sources = [(root / name).read_text("utf-8") for name in (*TRACED, *([VARIANTS] if variant else []))]
    if variant and f'@variant("{variant["name"]}")' not in sources[-1]:
        return ""
    told = json.dumps([asdict(model.config), sources, *([variant] if variant else [])], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """What a file holds; None where it is not there, or damaged: then the graph is traced again."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
