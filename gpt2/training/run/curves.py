"""Draw runs: training loss and the loss on each validation set, over the tokens that were trained on.

In: `History` objects (history.py). Out: a picture. Read next: cli/runs.py.
"""

from pathlib import Path

from gpt2.base.palette import KINDS
from gpt2.base.pictures import save_picture
from gpt2.training.run.history import History

SMOOTHING = 0.02  # share of a run's steps in the running mean of its training loss


def draw(histories: list[History], out: Path) -> None:
    """Write one panel for training and one for each validation set, with one colour per run.

    Training is drawn twice: every step, pale, and a running mean over 2% of the run's steps. The steep first 5% of
    training are cut off above. Raises ValueError for a kind of file that matplotlib cannot write,
    UsageError for a file that is there and is no picture of ours.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    sets = list(dict.fromkeys(name for history in histories for name in history.validation))
    columns = min(3, 1 + len(sets))
    rows = -(-(1 + len(sets)) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows + 0.3), dpi=150, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for panel, title in zip(panels, ["training", *(f"validation: {name}" for name in sets)]):
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("training tokens")
        panel.set_ylabel("cross-entropy, nats per token")
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.grid(alpha=0.3)
    for panel in panels[1 + len(sets) :]:
        panel.remove()
    tops = []
    for number, history in enumerate(histories):
        colour = KINDS[number % len(KINDS)]
        tokens, losses = zip(*history.training)
        mean = _running_mean(losses, max(1, round(SMOOTHING * len(losses))))
        tops.append(mean[len(mean) // 20])
        panels[0].plot(tokens, losses, color=colour, alpha=0.25, lw=0.7)
        panels[0].plot(tokens, mean, color=colour, lw=1.3, label=history.name)
        for panel, name in zip(panels[1:], sets):
            points = history.validation.get(name, [])
            panel.plot([t for _, t, _ in points], [loss for _, _, loss in points], color=colour, marker=".", lw=1.3)
    panels[0].set_ylim(top=1.05 * max(tops))  # the steep first steps would flatten all the rest
    if len(histories) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(histories), 2 * columns), frameon=False, fontsize=9)
    save_picture(figure, out)


def _running_mean(values: tuple[float, ...], width: int) -> list[float]:
    """The mean of each value and the `width - 1` before it."""
    means, total = [], 0.0
    for index, value in enumerate(values):
        total += value - (values[index - width] if index >= width else 0.0)
        means.append(total / min(index + 1, width))
    return means
