"""Write what the package ships of the bundled model for the live page: its graph, its means, and what was measured.

    python -m scripts.page_parts

It has to be run when gpt2/model.py or another file of `gpt2.explain.live.graphs.TRACED` has changed, and when the
bundled weights or stories have: a test says so. It takes some minutes.
"""

import json

import safetensors.torch

import gpt2
from gpt2.base.plain import plain
from gpt2.explain import reference
from gpt2.explain.live import averages, graphs
from gpt2.explain.live.graph import graph
from gpt2.server import measured
from gpt2.server.session import Session
from gpt2.server.switches import SWITCHED


def main() -> None:
    """Write the files."""
    checkpoint = gpt2.load("storyteller")
    made = {"key": graphs.key_of(checkpoint.model), **graph(checkpoint.model)}
    graphs.SHIPPED.write_text(json.dumps(made, separators=(",", ":")) + "\n", encoding="utf-8")
    over = reference(checkpoint)
    means = averages.take(over, SWITCHED)
    safetensors.torch.save_file(means, averages.SHIPPED, {"key": averages.key_of(checkpoint, over, SWITCHED)})
    measured.SHIPPED.write_text(json.dumps(plain(measured.measure(Session(checkpoint)))) + "\n", encoding="utf-8")
    for path in (graphs.SHIPPED, averages.SHIPPED, measured.SHIPPED):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
