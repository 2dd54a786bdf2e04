"""Write what the package ships of the bundled model for the live page: its graph, its means, and what was measured.

    python -m scripts.page_parts                     all but the cost of rounding: some minutes
    python -m scripts.page_parts graph               one of graph, means, measured
    python -m scripts.page_parts rounding TEXT ...   what weights in 8 bits cost on these texts

It has to be run when gpt2/model.py or another file of `gpt2.explain.live.graphs.TRACED` has changed (the graph), when
the bundled weights or stories have (all), and when gpt2/explain/live/rounded.py has (rounding): a test says so.
"""

import json
import sys
from pathlib import Path

import safetensors.torch

import gpt2
from gpt2.base.plain import plain
from gpt2.checkpoint.files import Checkpoint
from gpt2.data.documents import documents
from gpt2.explain import reference
from gpt2.explain.live import averages, graphs, rounded
from gpt2.explain.live.graph import graph
from gpt2.server import measured
from gpt2.server.session import Session
from gpt2.server.switches import SWITCHED


def write_graph(checkpoint: Checkpoint) -> None:
    """The graph of the forward pass."""
    made = {"key": graphs.key_of(checkpoint.model), **graph(checkpoint.model)}
    graphs.SHIPPED.write_text(json.dumps(made, separators=(",", ":")) + "\n", encoding="utf-8")


def write_means(checkpoint: Checkpoint) -> None:
    """The mean at every switch."""
    over = reference(checkpoint)
    means = averages.take(over, SWITCHED)
    safetensors.torch.save_file(means, averages.SHIPPED, {"key": averages.key_of(checkpoint, over, SWITCHED)})


def write_measured(checkpoint: Checkpoint) -> None:
    """Head scores, and how much components matter."""
    answers = [list(one) for one in measured.measure(Session(checkpoint))]
    found = {"model": averages.model_hash(checkpoint), "answers": answers}
    measured.SHIPPED.write_text(json.dumps(plain(found)) + "\n", encoding="utf-8")


def write_rounding(checkpoint: Checkpoint, texts: list[Path]) -> None:
    """Bits per byte before and after rounding; a text is called by its folder and its name."""
    made = rounded.rounded(checkpoint)
    costs = [
        rounded.cost(checkpoint, made, f"{text.parent.name}/{text.name.split('.')[0]}", list(documents(text)))
        for text in texts
    ]
    found = {
        "model": made.original,
        "rounded": averages.model_hash(made.checkpoint),
        "costs": [cost._asdict() for cost in costs],
    }
    rounded.SHIPPED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


PARTS = {"graph": write_graph, "means": write_means, "measured": write_measured}


def main() -> None:
    """Write the files."""
    checkpoint, names = gpt2.load("storyteller"), sys.argv[1:]
    if names[:1] == ["rounding"]:
        write_rounding(checkpoint, [Path(name) for name in names[1:]])
        return
    for name in names or PARTS:
        PARTS[name](checkpoint)


if __name__ == "__main__":
    main()
