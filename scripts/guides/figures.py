"""The guides' figures, each drawn from numbers alone.

In: the numbers under "figures" of docs/guide/measured.json, or the ablation study's. Out: PNG files in docs/guide, each
with the hash of the numbers and of the code that it was drawn from, so that a test can tell a stale one.
"""

import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gpt2.explain.show import draw
from scripts.guides.study import Evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Data = dict[str, Any]
FADES = "neither"  # a variant whose numbers leave every scale: shown where it leaves, and in the text
STAMP = "Drawn from"  # the PNG text entry that holds the hash


def tokens(data: Data) -> "Figure":
    """Cosines between words, before and after training."""
    figure, axes = draw.figure(9.2, 4.2, 1, 2)
    for place, name, title in zip(axes, ("untrained", "trained"), ("before training", "after training")):
        x = torch.tensor(data[name])
        words = data["words"]
        cells = [["" if r == c or abs(v) < 0.05 else f"{float(v):.1f}".replace("0.", ".") for c, v in enumerate(row)]
                 for r, row in enumerate(x)]  # fmt: skip
        draw.heat(place, x, words, words, unit="cosine", diverging=True, high=1.0, cells=cells)
        draw.title(place, f"Token vectors {title}")
    return figure


def positions(data: Data) -> "Figure":
    """Cosine of some position vectors with all others."""
    figure, axes = draw.figure(7.5, 3.2)
    for colour, anchor, row in zip(draw.KINDS, data["anchors"], data["cosines"]):
        axes.plot([i * data["step"] for i in range(len(row))], row, color=colour, label=f"position {anchor}")
        axes.axvline(anchor, color=colour, linewidth=0.7, linestyle=":")
    axes.axhline(0, color=draw.NEUTRAL, linewidth=0.7)
    axes.set(xlabel="other position", ylabel="cosine similarity")
    axes.legend(frameon=False, fontsize=8)
    draw.title(axes, "Near positions have like vectors: nobody told them to")
    return figure


def norms(data: Data) -> "Figure":
    """The stream's scale before the first step by variant, and in the trained model beside what enters the branches."""
    figure, axes = draw.figure(9.2, 3.5, 1, 2)
    starts = {name: found for name, found in data["starts"].items() if name != FADES}
    for colour, (name, found) in zip(draw.KINDS, starts.items()):
        axes[0].plot(found["rms"], color=colour, marker="o", markersize=3, label=name)
    axes[0].set(yscale="log", xlabel="after block (0: embeddings)", ylabel="root mean square of the stream")
    axes[0].legend(frameon=False, fontsize=8)
    draw.title(axes[0], "12 blocks before the first step")
    L = len(data["stream"]) - 1
    axes[1].plot(range(L + 1), data["stream"], color=draw.KINDS[0], marker="o", markersize=3, label="the stream")
    places = [i / 2 for i in range(2 * L)]
    axes[1].plot(places, data["entering"], color=draw.KINDS[5], marker="s", markersize=3, label="what ln_1, ln_2 give")
    axes[1].set(yscale="log", xlabel="after block (0: embeddings)")
    axes[1].legend(frameon=False, fontsize=8)
    draw.title(axes[1], "storyteller, trained")
    return figure


def attention(data: Data) -> "Figure":
    """The patterns of four heads over one sentence."""
    figure, axes = draw.figure(9.2, 8.4, 2, 2)
    for place, (name, pattern) in zip(axes.flat, data["heads"].items()):
        x = torch.tensor(pattern)
        cells = [[f"{100 * float(v):.0f}" if v >= 0.1 else "" for v in row] for row in x]
        draw.heat(place, x, data["tokens"], data["tokens"], unit="weight", low=0.0, high=1.0, cells=cells)
        place.set(xlabel="reads from", ylabel="position")
        draw.title(place, name)
    return figure


def mlp(data: Data) -> "Figure":
    """GELU beside ReLU, and where the inputs of neurons lie."""
    figure, axes = draw.figure(9.2, 3.4, 1, 2)
    axes[0].plot(data["x"], [max(0.0, v) for v in data["x"]], color=draw.NEUTRAL, linestyle="--", label="ReLU")
    axes[0].plot(data["x"], data["gelu"], color=draw.KINDS[0], label="GELU")
    axes[0].set(xlabel="before", ylabel="after")
    axes[0].legend(frameon=False, fontsize=8)
    draw.title(axes[0], "The activation")
    middle = [(a + b) / 2 for a, b in zip(data["edges"], data["edges"][1:])]
    for colour, (name, share) in zip(draw.KINDS, data["spread"].items()):
        axes[1].plot(middle, share, color=colour, label=name)
    axes[1].axvline(0, color=draw.NEUTRAL, linewidth=0.7)
    axes[1].set(xlabel="input of a neuron, before GELU", ylabel="density")
    axes[1].legend(frameon=False, fontsize=8)
    draw.title(axes[1], "Most inputs are negative: most neurons are nearly off")
    return figure


def residuals(data: Data) -> "Figure":
    """Gradients at each block before the first step, as they are and times the scale; the trained model's writes."""
    figure, axes = draw.figure(9.6, 3.5, 1, 3)
    for colour, (name, found) in zip(draw.KINDS, data["starts"].items()):
        axes[0].plot(found["gradient"], color=colour, marker="o", markersize=3, label=name)
        if name != FADES:
            axes[1].plot(found["relative"], color=colour, marker="o", markersize=3, label=name)
    axes[0].set(yscale="log", xlabel="after block (0: embeddings)", ylabel="length of dL/dr", ylim=(1e-9, 1))
    axes[1].set(yscale="log", xlabel="after block (0: embeddings)", ylabel="length of dL/dr times size of r")
    axes[0].legend(frameon=False, fontsize=7)
    draw.title(axes[0], "Gradient, before the first step")
    draw.title(axes[1], "The same, relative to the stream")
    L = len(data["attn"])
    axes[2].plot(range(L + 1), data["stream"], color=draw.KINDS[0], marker="o", markersize=3, label="stream")
    axes[2].plot(
        range(1, L + 1), data["attn"], color=draw.KINDS[1], marker="s", markersize=3, label="attention's write"
    )
    axes[2].plot(range(1, L + 1), data["mlp"], color=draw.KINDS[2], marker="^", markersize=3, label="MLP's write")
    axes[2].set(yscale="log", xlabel="after block (0: embeddings)", ylabel="root mean square")
    axes[2].legend(frameon=False, fontsize=7)
    draw.title(axes[2], "storyteller: who writes how much")
    return figure


def dropout(data: Data) -> "Figure":
    """A vector, two passes of dropout, and the mean of many."""
    figure, axes = draw.figure(7.5, 3.1)
    places = torch.arange(len(data["x"]))
    shown = {"without dropout": data["x"], "one pass": data["first"], "another pass": data["second"],
             f"mean of {data['draws']:,} passes": data["mean"]}  # fmt: skip
    for k, (colour, (name, values)) in enumerate(zip((draw.NEUTRAL, *draw.KINDS), shown.items())):
        axes.bar(places + 0.2 * (k - 1.5), values, width=0.19, color=colour, label=name)
    axes.axhline(0, color=draw.NEUTRAL, linewidth=0.7)
    axes.set(xlabel="number of the vector", xticks=places.tolist())
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    draw.title(axes, "Each pass loses other numbers, p = 0.1; the mean is right")
    return figure


def head(data: Data) -> "Figure":
    """The likeliest next tokens, and the loss by position."""
    figure, axes = draw.figure(9.2, 3.4, 1, 2)
    axes[0].barh(data["words"], data["p"], color=draw.KINDS[0])
    axes[0].invert_yaxis()
    axes[0].set_xlabel("probability")
    axes[0].tick_params(axis="y", length=0, labelfontfamily="monospace")
    draw.title(axes[0], "After “The cat sat on the”")
    axes[1].plot(
        [8 * i + 4 for i in range(len(data["loss"]))], data["loss"], color=draw.KINDS[0], marker="o", markersize=3
    )
    axes[1].set(xlabel="position in the text", ylabel="loss, nats per token", ylim=(0, None))
    draw.title(axes[1], "Every position is scored; more context, less loss")
    return figure


def neighbours(data: Data) -> "Figure":
    """The mean cosine of each word's final nearest neighbours through training."""
    figure, axes = draw.figure(7.5, 3.2)
    steps = [entry["step"] for entry in data["snapshots"]]
    for colour, word in zip(draw.KINDS, data["words"]):
        axes.plot([max(s, 1) for s in steps], [e["to_final"][word] for e in data["snapshots"]], color=colour,
                  marker="o", markersize=3, label=word)  # fmt: skip
    axes.axhline(0, color=draw.NEUTRAL, linewidth=0.7)
    axes.set(xscale="log", xlabel="step (step 0 is drawn at 1)", ylabel="mean cosine")
    axes.legend(frameon=False, fontsize=8)
    draw.title(axes, "How close the five tokens that end nearest were on the way")
    return figure


def study(data: Data) -> "Figure":
    """Scale of the stream, and gradient relative to it, at the end of training, of models of the ablation study."""
    figure, axes = draw.figure(9.2, 3.5, 1, 2)
    for colour, (name, found) in zip(draw.KINDS, data.items()):
        relative = [a * b for a, b in zip(found["rms"], found["gradient"])]
        for place, values in zip(axes, (found["rms"], relative)):
            place.plot(values, color=colour, marker="o", markersize=3, label=name)
    for place, name in zip(axes, ("root mean square of the stream", "length of dL/dr times size of r")):
        place.set(yscale="log", xlabel="after block (0: embeddings)", ylabel=name)
        place.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(frameon=False, fontsize=7)
    draw.title(axes[0], "After training: the stream")
    draw.title(axes[1], "After training: the gradient, relative to the stream")
    return figure


FIGURES: dict[str, Callable[[Data], "Figure"]] = {
    "tokens": tokens, "positions": positions, "norms": norms, "attention": attention, "mlp": mlp,
    "residuals": residuals, "dropout": dropout, "head": head, "neighbours": neighbours,
    "study": study,
}  # fmt: skip


def study_scales(evidence: Evidence) -> Data | None:
    """Gradient and scale of the stream at the end of training in the largest study, of contestants that have run.

    None for fewer than two of them.
    """
    names = {"GPT-2, 12 blocks": "plain-12", "no residuals, 12 blocks": "no-residuals-12", "GPT-2": "baseline",
             "no norm": "no-norm", "post-norm": "post-norm", "no residuals": "no-residuals"}  # fmt: skip
    findings, found = evidence.larger, dict[str, Data]()
    shown = set[str | None]()
    for title, name in names.items():
        there = evidence.name_in(findings, name)
        if there is None or there in shown or len(findings.of(there)) < len(findings.study.seeds_of(there)):
            continue
        rms, gradient = (findings.means(there, "at_end", key) for key in ("activation_rms", "gradient_norm"))
        if rms and gradient:
            shown.add(there)
            found[title] = {"rms": rms, "gradient": gradient}
    return found if len(found) > 1 else None


def stamp(name: str, data: Data) -> str:
    """The hash of a figure's numbers and of the code that draws it."""
    text = json.dumps(data, sort_keys=True) + inspect.getsource(FIGURES[name])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(name: str, data: Data, folder: Path) -> None:
    """Draw one figure, unless the file that is there was drawn from the same."""
    path, mark = folder / f"{name}.png", stamp(name, data)
    if path.exists() and read_stamp(path) == mark:
        return
    FIGURES[name](data).savefig(path, dpi=110, metadata={STAMP: mark, "Software": None})


def read_stamp(path: Path) -> str | None:
    """The hash that a PNG file carries."""
    from PIL import Image

    with Image.open(path) as image:
        value = image.info.get(STAMP)
    return value if isinstance(value, str) else None
