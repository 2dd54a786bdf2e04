"""Draw a training run's losses: `python scripts/plot_run.py METRICS.jsonl [MORE.jsonl ...] OUT.png`.

In: metrics.jsonl files as `gpt2 train` writes them, one part of a run after the other. Out: a picture of training and
validation loss by tokens.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw(parts: list[Path], out: Path) -> None:
    """Training loss (each step, and a running mean of 20) and the loss on each validation set."""
    figure, axes = plt.subplots(figsize=(7, 4), dpi=150, layout="constrained")
    before, highest = 0.0, 0.0
    validation: dict[str, list[tuple[float, float]]] = {}
    for number, part in enumerate(parts):
        events = [json.loads(line) for line in part.read_text().splitlines()]
        tokens = [before + event["tokens"] / 1e6 for event in events]
        losses = [event["loss"] for event in events]
        mean = [sum(losses[max(0, i - 19) : i + 1]) / len(losses[max(0, i - 19) : i + 1]) for i in range(len(losses))]
        named = number == 0
        axes.plot(tokens, losses, color="#bbbbbb", lw=0.7, label="training, each step" if named else None)
        axes.plot(tokens, mean, color="#333333", lw=1.2, label="training, mean of 20 steps" if named else None)
        if number:
            axes.axvline(before, color="#888888", lw=0.8, ls=":")
        for event, at in zip(events, tokens, strict=True):
            for name, loss in event.get("val", {}).items():
                validation.setdefault(Path(name).name, []).append((at, loss))
        before, highest = tokens[-1], max(highest, *losses)
    for colour, (name, points) in zip(("#0072b2", "#d55e00", "#009e73"), validation.items(), strict=False):
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3.5, label=name)
    axes.set_xlabel("training tokens, millions")
    axes.set_ylabel("cross-entropy, nats a token")
    axes.set_ylim(top=min(highest, 7.5))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(out)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python scripts/plot_run.py METRICS.jsonl [MORE.jsonl ...] OUT.png")
    *metrics, picture = map(Path, sys.argv[1:])
    draw(metrics, picture)
