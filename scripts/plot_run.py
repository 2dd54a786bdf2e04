"""Draw a training run's losses: `python scripts/plot_run.py RUN_DIRECTORY OUT.png`.

In: RUN_DIRECTORY/metrics.jsonl, as `gpt2 train` writes it. Out: a picture of training and validation loss by tokens.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw(metrics: Path, out: Path) -> None:
    """Training loss (each step, and a running mean of 20) and the loss on each validation set."""
    events = [json.loads(line) for line in metrics.read_text().splitlines()]
    tokens = [event["tokens"] / 1e6 for event in events]
    losses = [event["loss"] for event in events]
    mean = [sum(losses[max(0, i - 19) : i + 1]) / len(losses[max(0, i - 19) : i + 1]) for i in range(len(losses))]
    figure, axes = plt.subplots(figsize=(7, 4), dpi=150, layout="constrained")
    axes.plot(tokens, losses, color="#bbbbbb", linewidth=0.7, label="training, each step")
    axes.plot(tokens, mean, color="#333333", linewidth=1.2, label="training, mean of 20 steps")
    evaluated = [event for event in events if "val" in event]
    for colour, name in zip(("#0072b2", "#d55e00", "#009e73"), evaluated[0]["val"], strict=False):
        points = [(event["tokens"] / 1e6, event["val"][name]) for event in evaluated]
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3.5, label=Path(name).name)
    axes.set_xlabel("training tokens, millions")
    axes.set_ylabel("cross-entropy, nats a token")
    axes.set_ylim(top=min(max(losses), 7.5))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python scripts/plot_run.py RUN_DIRECTORY OUT.png")
    draw(Path(sys.argv[1]) / "metrics.jsonl", Path(sys.argv[2]))
