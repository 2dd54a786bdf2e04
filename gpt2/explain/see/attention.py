"""Where every head looks: its pattern, and the pattern weighted by what is written.

In: a `Run`. Out: `Attention`, patterns A [L, H, T, T] and value-weighted ones A[i, j] ||v_j W_O||
(Kobayashi et al. 2020, "Attention is Not Only a Weight", section 3): a large weight on a small value writes little.
An attention weight is not an effect: switch the head off to see that.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.base.plain import plain
from gpt2.explain.run.places import parse
from gpt2.explain.show.draw import figure, heat, title
from gpt2.explain.show.result import Result, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from gpt2.explain.run.trace import Run


@dataclass(frozen=True, eq=False, repr=False)
class Attention(Result):
    """Patterns of some heads over one text.

    heads    their addresses, such as "3.head.7"
    tokens   of the text, as they are shown
    pattern  [N, T, T], row i: how position i spreads its attention over 0 .. i
    written  [N, T, T], the same times the length of what is read, v_j W_O
    """

    heads: tuple[str, ...]
    tokens: tuple[str, ...]
    pattern: Tensor
    written: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean pattern of these heads, [T, T]."""
        return self.pattern.mean(dim=0)

    def habits(self) -> dict[str, Tensor]:
        """Of each head [N], over rows i >= 1: the mean weight on the token before (`previous`) and on the first one
        (`first`), and how evenly a row is spread (`entropy`, see `evenness`); over all rows: the weight on itself."""
        T = self.pattern.size(-1)
        rows, none = torch.arange(1, T, device=self.pattern.device), self.pattern.new_zeros(len(self.pattern))
        return {
            "previous": self.pattern[:, rows, rows - 1].mean(dim=-1) if T > 1 else none,
            "first": self.pattern[:, 1:, 0].mean(dim=-1) if T > 1 else none,
            "itself": self.pattern.diagonal(dim1=-2, dim2=-1).mean(dim=-1),
            "entropy": evenness(self.pattern).mean(dim=-1) if T > 1 else none,
        }

    def thumbnails(self, cells: int) -> Tensor:
        """Each pattern with at most so many cells along each side, each the largest weight in it: [N, n, n]."""
        n = min(self.pattern.size(-1), cells)
        return F.adaptive_max_pool2d(self.pattern[:, None], (n, n))[:, 0]

    def table(self, at: int = -1) -> "Table":
        """What each head reads from at position `at`: its three largest weights, and what is written most from."""
        at %= len(self.tokens)
        made = table(
            "head", "reads most from", "writes most", ">itself", ">first", ">previous",
            title=f"attention at {at}: {self.tokens[at]}",
            caption="weights on itself, the first, the previous token; a weight is no effect: gpt2 explain off",
        )  # fmt: skip
        for name, pattern, written in zip(self.heads, self.pattern[:, at], self.written[:, at]):
            best = pattern[: at + 1].topk(min(3, at + 1))
            reads = "  ".join(f"{self.tokens[j]} {w:.0%}" for w, j in zip(best.values.tolist(), best.indices.tolist()))
            made.add_row(
                name, reads, self.tokens[int(written[: at + 1].argmax())], f"{float(pattern[at]):.2f}",
                f"{float(pattern[0]):.2f}", f"{float(pattern[at - 1]):.2f}" if at else "",
            )  # fmt: skip
        return made

    def plot(self) -> "Figure":
        """Small multiples of all heads; of a single head, its pattern and the value-weighted one."""
        if len(self.heads) == 1:
            made, both = figure(9.5, 4.6, 1, 2)
            for axes, what, unit in ((both[0], self.pattern, "weight"), (both[1], self.written, "length of the write")):
                heat(axes, what[0], self.tokens, self.tokens, unit=unit)
                axes.set(xlabel="reads from", ylabel="position")
                title(axes, f"{self.heads[0]}: {'pattern' if unit == 'weight' else 'weighted by the values'}")
            return made
        columns = max(int(name.split(".")[2]) for name in self.heads) + 1
        layers = sorted({int(name.split(".")[0]) for name in self.heads})
        made, grid = figure(1.5 * columns + 0.6, 1.6 * len(layers) + 0.3, len(layers), columns)
        places = dict(zip(self.heads, self.pattern))
        for axes, (l, h) in zip(grid.flat, ((l, h) for l in layers for h in range(columns))):
            axes.set_axis_off()
            if (pattern := places.get(f"{l}.head.{h}")) is not None:
                axes.imshow(pattern.cpu().numpy(), cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
                axes.set_title(f"{l}.head.{h}", fontsize=7, pad=2)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Tokens, and both patterns of each head."""
        both = zip(self.heads, self.pattern, self.written)
        patterns = {name: {"pattern": plain(a), "written": plain(w)} for name, a, w in both}
        return {"tokens": list(self.tokens), "heads": patterns}


def evenness(pattern: Tensor) -> Tensor:
    """How evenly each row i >= 1 spreads its weight, 0 to 1: [..., T, T] -> [..., T - 1].

    Its entropy by the logarithm of how many tokens it sees: i + 1, or more in a model without a causal mask.
    """
    rows = pattern[..., 1:, :]
    i = torch.arange(1, pattern.size(-1), device=pattern.device)
    return torch.special.entr(rows).sum(-1) / (rows > 0).sum(-1).clamp(min=i + 1).log()


def attention(run: "Run", head: str = "*.head.*", *, row: int = 0) -> Attention:
    """The patterns of a run's heads, of all or of those that an address names (`3.head.7`, `3.head.*`).

    Raises ValueError for an unknown address, UsageError for one that is no head.
    """
    config = run.model.config
    places = parse(head, config.n_layer, config.n_head)
    if any(place.head is None or place.point != "attn.z" for place in places):
        raise UsageError(f"{head!r} is not a head: write one as 3.head.7, or all of a block as 3.head.*.")
    layers = sorted({place.layer for place in places if place.layer is not None})
    full = run.read(*(f"{l}.attn.{point}" for l in layers for point in ("pattern", "v")))
    patterns, written = [], []
    with torch.no_grad():
        for place in places:
            l, h = place.layer, place.head
            pattern = full[f"{l}.attn.pattern"][row, h].detach().float()
            writes = run.model.transformer.h[l or 0].attn.head_writes(full[f"{l}.attn.v"])[row, h]  # (T, C)
            patterns.append(pattern)
            written.append(pattern * writes.detach().float().norm(dim=-1))
    return Attention(
        tuple(place.text for place in places), run.tokens[row], torch.stack(patterns), torch.stack(written)
    )
