"""The tables of vectors: which tokens lie near one another, how alike the positions are.

In: a model, a token. Out: `Neighbours` by cosine similarity, `PositionSimilarity`. A single dimension of a vector is
not known to mean anything; which vectors lie close to one another can be seen. Read next: stream.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.base.plain import plain
from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.run.lacks import Lacking
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, table
from gpt2.text.words import label, token_id

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Neighbours(Result):
    """The tokens nearest to one, by cosine similarity of their vectors, nearest first."""

    token: str
    ids: Tensor  # (k,)
    labels: tuple[str, ...]
    cosines: Tensor  # (k,)
    typical: tuple[float, float]  # mean and standard deviation of its cosine with all other tokens

    def table(self) -> "Table":
        """Rank, token, cosine."""
        mean, spread = self.typical
        caption = f"all other tokens: {mean:.3f} on average, standard deviation {spread:.3f}"
        made = table(">rank", "token", ">cosine", title=f"nearest to {self.token}", caption=caption)
        for i, name in enumerate(self.labels):
            made.add_row(str(i + 1), name, f"{float(self.cosines[i]):.3f}")
        return made

    def plot(self) -> "Figure":
        """A bar for each neighbour."""
        made, axes = draw.figure(5.5, 1.2 + 0.22 * len(self.labels))
        draw.bars(axes, self.labels, self.cosines.tolist(), unit="cosine similarity")
        axes.axvspan(
            self.typical[0] - self.typical[1],
            self.typical[0] + self.typical[1],
            color=draw.NEUTRAL,
            alpha=0.2,
            zorder=0,
        )
        draw.title(axes, f"Nearest to {self.token} (grey: all other tokens, mean and standard deviation)")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Every field."""
        return plain(vars(self))


def neighbours(model: Model, token: str | int, k: int = 10) -> Neighbours:
    """The k tokens whose vectors are most like the one of `token`, itself left out.

    Raises UsageError for a word that is not one token, and for k below 1.
    """
    gpt, tokenizer = opened(model)
    own = token_id(gpt, tokenizer, token)
    if k < 1:
        raise UsageError(argument="k", value=k, mend="ask for at least 1 neighbour.")
    vectors = gpt.transformer.wte.weight.detach()
    cosines = torch.cosine_similarity(vectors, vectors[own].expand_as(vectors), dim=-1)  # (V)
    others = torch.cat([cosines[:own], cosines[own + 1 :]]).double()
    cosines = cosines.index_fill(0, torch.tensor([own], device=cosines.device), -torch.inf)
    best = cosines.topk(min(k, len(cosines) - 1))
    names = tuple(label(tokenizer, i) for i in best.indices.tolist())
    typical = float(others.mean()), float(others.std(unbiased=False))
    return Neighbours(label(tokenizer, own), best.indices, names, best.values, typical)


@dataclass(frozen=True, eq=False, repr=False)
class PositionSimilarity(Result):
    """Cosine similarity of every two position vectors, and their lengths."""

    cosines: Tensor  # (P, P)
    norms: Tensor  # (P,)

    def thinned(self, count: int, most: int) -> tuple[Tensor, "PositionSimilarity"]:
        """At most `most` of the first `count` positions, evenly spread: which they are, and what holds for them."""
        count = min(count, len(self.norms))
        at = torch.linspace(0, count - 1, min(count, most)).round().long()
        return at, PositionSimilarity(self.cosines[at][:, at], self.norms[at])

    def by_distance(self, distance: int) -> float:
        """The mean cosine of positions that far apart, position 0 left out: its vector is often unlike all others."""
        P = len(self.norms)
        if not 0 <= distance < P - 1:
            raise UsageError(
                f"no two positions from 1 on are {distance} apart: there are {P}, so ask for 0 to {P - 2}."
            )
        return float(self.cosines[1:, 1:].diagonal(distance).double().mean())

    def table(self) -> "Table":
        """Mean cosine for distances 1, 2, 4, ..."""
        P = len(self.norms)
        norms = f"lengths {float(self.norms.min()):.3g} to {float(self.norms.max()):.3g}"
        made = table(">distance", ">mean cosine", title=f"{P} position vectors", caption=norms)
        for distance in (2**i for i in range(P.bit_length()) if 2**i < P - 1):
            made.add_row(str(distance), f"{self.by_distance(distance):.3f}")
        return made

    def plot(self) -> "Figure":
        """The whole matrix."""
        made, axes = draw.figure(6, 5)
        draw.heat(axes, self.cosines, None, None, unit="cosine similarity", diverging=True, high=1.0)
        axes.set_xlabel("position")
        axes.set_ylabel("position")
        draw.title(axes, "Similarity of the position vectors")
        return made

    def to_dict(self) -> dict[str, Any]:
        """The matrix and the lengths."""
        return plain(vars(self))


def position_similarity(model: Model) -> PositionSimilarity:
    """Cosine similarity of the vectors of all positions. UsageError for a model without a table of them."""
    gpt, _ = opened(model)
    table_ = getattr(gpt.transformer.wpe, "weight", None)
    if table_ is None:
        raise Lacking(f"this model has no table of position vectors, its wpe is {type(gpt.transformer.wpe).__name__}.")
    vectors = table_.detach()
    norms = vectors.norm(dim=-1)
    unit = vectors / norms.clamp(min=1e-30)[:, None]
    return PositionSimilarity(unit @ unit.T, norms)
