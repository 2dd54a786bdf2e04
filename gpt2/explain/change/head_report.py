"""The head report: labels that the scores deserve, a table, a picture.

In: the scores of heads.py. Out: what is printed and drawn, and what heads are called elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.base.plain import plain
from gpt2.explain.change.intervals import Estimate
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

THRESHOLD = 0.4
NAMES = {
    "previous": "previous-token", "current": "current-token", "first": "first-token", "duplicate": "duplicate-token",
    "induction": "induction",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scores:
    """Attention masses on one kind of text, by name; a name is missing where no row has such a key.

    found    [L, H] with intervals over samples or documents
    uniform  what a head that attends to all earlier positions alike would score
    initial  [L, H], the same model before training
    """

    on: str
    found: Mapping[str, Estimate]
    uniform: Mapping[str, float]
    initial: Mapping[str, Tensor]


@dataclass(frozen=True)
class Label:
    """What one head may be called: it scores above 0.4 and its interval lies above both baselines.

    causal  the loss of the second copy rises without it, by more than without the others of its layer
    """

    layer: int
    head: int
    name: str
    on: str
    score: float
    causal: bool

    def __str__(self) -> str:
        return f"{self.layer}.head.{self.head}: {self.name} {self.score:.2f}{'' if self.causal else ', pattern only'}"


@dataclass(frozen=True, eq=False, repr=False)
class HeadReport(Result):
    """Every head of a model; all tensors are [L, H].

    n, samples, bos    the random sequences: n distinct tokens twice, how many of them, `<|endoftext|>` first or not
    text               what natural text was read
    random, natural    the attention scores
    entropy, distance  on natural text: 1 is uniform attention, 0 is attention to one key; positions back
    copying            -1 to 1: above 0 the head raises the logits of the tokens that it reads
    losses             [2], of the two copies in nats per token; None without the causal check
    effect             how much the second copy's loss rises with the head mean-ablated; None likewise
    """

    n: int
    samples: int
    bos: bool
    text: Mapping[str, Any]
    random: Scores
    natural: Scores
    entropy: Estimate
    distance: Estimate
    copying: Tensor
    losses: Estimate | None
    effect: Estimate | None

    @property
    def causal(self) -> Tensor:
        """[L, H], True where the effect's interval lies above 0 and above the 95th percentile of the layer's others."""
        L, H = self.copying.shape
        found = torch.zeros(L, H, dtype=torch.bool)
        if self.effect is None:
            return found
        for l in range(L):
            for h in range(H):
                others = self.effect.value[l, [other for other in range(H) if other != h]]
                bar = max(0.0, others.quantile(0.95).item()) if H > 1 else 0.0
                found[l, h] = self.effect.low[l, h] > bar
        return found

    @property
    def labels(self) -> tuple[Label, ...]:
        """All labels that are deserved, in the order of layers and heads."""
        causal, found = self.causal, []
        for scores in (self.random, self.natural):
            for name, estimate in scores.found.items():
                bar = scores.initial[name].clamp(min=scores.uniform[name])
                deserved = (estimate.value > THRESHOLD) & (estimate.low > bar)
                for l, h in deserved.nonzero().tolist():
                    score = estimate.value[l, h].item()
                    found.append(Label(l, h, NAMES[name], scores.on, score, bool(causal[l, h])))
        return tuple(sorted(found, key=lambda label: (label.layer, label.head)))

    def verdict(self) -> str:
        """In words: is there an induction or a previous-token head, and does the loss confirm it?"""
        sentences = []
        for name in ("induction", "previous-token"):
            labels = [label for label in self.labels if label.name == name]
            heads = sorted({(label.layer, label.head) for label in labels})
            sure = sorted({(label.layer, label.head) for label in labels if label.causal})
            shown = ", ".join(f"{l}.head.{h}" for l, h in heads)
            if not heads:
                sentences.append(f"No head is a {name} head." if name[0] != "i" else f"No head is an {name} head.")
            else:
                confirmed = ", ".join(f"{l}.head.{h}" for l, h in sure) or "none of them"
                sentences.append(f"Heads with a {name} pattern: {shown}; causal: {confirmed}.")
        return " ".join(sentences)

    def table(self) -> "Table":
        """One row per head; scores are random/text."""
        effect, baseline = self.effect, self.random.uniform
        made = table(
            "head", *(f">{name}" for name in NAMES), ">entropy", ">copying", ">loss rise", "label",
            title=f"scores on {self.n} random tokens twice / on text; loss rise: second copy, head mean-ablated",
            caption="uniform attention: " + ", ".join(
                f"{name} {baseline[name]:.2f}/{self.natural.uniform.get(name, 0):.2f}" for name in baseline
            ) + f". {self.verdict()}",
        )  # fmt: skip
        for l, h in torch.cartesian_prod(*(torch.arange(n) for n in self.copying.shape)).tolist():
            cells = [
                "/".join(
                    f"{s.found[name].value[l, h]:.2f}" if name in s.found else "-" for s in (self.random, self.natural)
                )
                for name in NAMES
            ]
            names = dict.fromkeys(a.name for a in self.labels if (a.layer, a.head) == (l, h))
            sure = "" if not names or self.causal[l, h] else " (pattern only)"
            made.add_row(
                f"{l}.head.{h}", *cells, f"{self.entropy.value[l, h]:.2f}", f"{self.copying[l, h]:+z.2f}",
                "" if effect is None else f"{effect.value[l, h]:+z.2f}", ", ".join(names) + sure,
            )  # fmt: skip
        return made

    def plot(self) -> "Figure":
        """The five scores on random tokens, those on text, and the causal column: layer x head each."""
        L, H = self.copying.shape
        figure, axes = draw.figure(2.6 * 6, 2 * (1.2 + 0.24 * L), rows=2, columns=6)
        layers, numbers = ([str(i) for i in range(n)] for n in (L, H))
        for row, scores in zip(axes, (self.random, self.natural)):
            for place, name in zip(row, NAMES):
                if name in scores.found:
                    draw.heat(place, scores.found[name].value, layers, numbers, unit="mass", low=0.0, high=1.0)
                draw.title(place, f"{NAMES[name]}\n{scores.on}")
        draw.heat(axes[1, 5], self.copying, layers, numbers, unit="", diverging=True, high=1.0)
        draw.title(axes[1, 5], "copying\nweights alone")
        if self.effect is not None:
            draw.heat(axes[0, 5], self.effect.value, layers, numbers, unit="nats", diverging=True)
        draw.title(axes[0, 5], "loss rise of\nthe second copy")
        for place in axes[:, 0]:
            place.set_ylabel("layer")
        for place in axes[1]:
            place.set_xlabel("head")
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Scores by name as nested lists [L][H], baselines, labels, the verdict."""
        kinds = {
            scores.on: {
                name: {
                    **estimate.to_dict(), "uniform": scores.uniform[name], "initial": scores.initial[name],
                }
                for name, estimate in scores.found.items()
            }
            for scores in (self.random, self.natural)
        }  # fmt: skip
        return plain({
            "n": self.n, "samples": self.samples, "bos": self.bos, "text": dict(self.text), "scores": kinds,
            "entropy": self.entropy.to_dict(), "distance": self.distance.to_dict(), "copying": self.copying,
            "losses": self.losses and self.losses.to_dict(), "loss_rise": self.effect and self.effect.to_dict(),
            "labels": [vars(label) for label in self.labels], "verdict": self.verdict(),
        })  # fmt: skip
