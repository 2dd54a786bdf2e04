"""Trace the bundled model's forward pass, and write the graph that the package ships for the live page.

    python -m scripts.page_graph

It has to be run when gpt2/model.py or another file of `gpt2.server.live.graphs.TRACED` has changed: a test says so.
"""

import json

import gpt2
from gpt2.server.live.graph import graph
from gpt2.server.live.graphs import SHIPPED, key_of


def main() -> None:
    """Write the file."""
    model = gpt2.load("storyteller").model
    made = {"key": key_of(model), **graph(model)}
    SHIPPED.write_text(json.dumps(made, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{SHIPPED.name}: {len(made['nodes'])} nodes, {SHIPPED.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
