"""The logit lens: what the model would predict if it ended here.

In: a `Run`. Out: a `Lens`, one row for each point of the residual stream, one column for each position: the likeliest
token with its probability, the rank of the token that really follows, the entropy, the distance from the final answer.
Source: nostalgebraist 2020, "interpreting GPT: the logit lens". Read next: attribution.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.addresses import parse
from gpt2.base.errors import UsageError
from gpt2.base.onednn import forward_only
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, plain, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from gpt2.explain.run.trace import Run

TOP = 5  # tokens kept a cell
SHOWN = {  # what can be drawn: field, unit
    "probability": "probability of the likeliest token",
    "next_probability": "probability of the token that follows",
    "next_rank": "rank of the token that follows, log10",
    "entropy": "entropy, nats",
    "kl": "KL(final || lens), nats",
}


@dataclass(frozen=True, eq=False, repr=False)
class Lens(Result):
    """R points by T positions. Entropy and KL in nats; ranks from 1; what concerns the token that follows is nan
    (probability) or 0 (rank) at the last position, where none follows."""

    points: tuple[str, ...]
    tokens: tuple[str, ...]  # of the text
    top_ids: Tensor  # (R, T, 5), likeliest first
    top_labels: tuple[tuple[str, ...], ...]  # (R, T), the likeliest as it is shown
    top_probabilities: Tensor  # (R, T, 5)
    next_probability: Tensor  # (R, T)
    next_rank: Tensor  # (R, T)
    entropy: Tensor  # (R, T)
    kl: Tensor  # (R, T)

    @property
    def probability(self) -> Tensor:
        """The probability of the likeliest token, [R, T]."""
        return self.top_probabilities[..., 0]

    def table(self, last: int = 6) -> "Table":
        """The grid for the last few positions, the end of the model on top as in the plot."""
        first = max(0, len(self.tokens) - last)
        made = table("after", *(f"{t} {self.tokens[t]}" for t in range(first, len(self.tokens))))
        for r in reversed(range(len(self.points))):
            cells = [f"{self.top_labels[r][t]} {self.probability[r, t]:.0%}" for t in range(first, len(self.tokens))]
            made.add_row(self.points[r], *cells)
        return made

    def plot(self, colour: str = "probability") -> "Figure":
        """The grid with the likeliest tokens in its cells; `colour` is one of SHOWN."""
        if colour not in SHOWN:
            raise UsageError(f"there is no {colour!r} to colour by: choose {', '.join(SHOWN)}.")
        values = getattr(self, colour).flip(0)
        if colour == "next_rank":
            values = values.double().log10().where(values > 0, torch.nan)
        R, T = values.shape
        made, axes = draw.figure(2 + 0.62 * min(T, 48), 1.2 + 0.27 * R)
        cells = [[label[:9] for label in line] for line in reversed(self.top_labels)] if T <= 24 else None
        share = {"probability", "next_probability"}
        high = 1.0 if colour in share else None
        draw.heat(axes, values, self.points[::-1], self.tokens, unit=SHOWN[colour], low=0.0, high=high, cells=cells)
        draw.title(axes, "What the model would predict if it ended here")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Every field as lists; nan as None."""
        missing = [[None if x != x else x for x in row] for row in self.next_probability.tolist()]
        return plain({**vars(self), "next_probability": missing})


def lens(run: "Run", points: str | Iterable[str] | None = None, *, row: int = 0) -> Lens:
    """Norm each point with statistics of its own (gamma and beta included), then the head: softmax(head(ln_f(r_l))).

    points  addresses of the stream [T, C] (default: what enters block 0, and every resid_mid and resid_post)
    row     which text of the run

    The last row is the model's own prediction; where the run edits the final norm or the logits, it is theirs.
    Raises ValueError for an unknown address, UsageError for one of another shape or a row that is not there.
    """
    model, (B, T) = run.model, run.ids.shape
    if not 0 <= row < B:
        raise UsageError(f"there is no row {row}: this run has rows 0 to {B - 1}.")
    last = f"{model.config.n_layer - 1}.resid_post"
    given = [points] if isinstance(points, str) else points
    default = ["0.resid_pre", *(f"{l}.{p}" for l in range(model.config.n_layer) for p in ("resid_mid", "resid_post"))]
    c = model.config
    addresses = [a for text in given or default for a in parse(text, c.n_layer, c.n_head)]
    run = run.read(*(a.text for a in addresses))
    edited_end = any(text.startswith(("final.", "logits")) for text in run.edits)
    final = _log_p(run.values.stored(None, "logits")[row])  # (T, V)
    following = run.ids[row, 1:, None]  # (T - 1, 1)
    cells: list[tuple[Tensor, ...]] = []
    for a in addresses:
        x = run.values[a.text][row]
        if x.shape != (T, c.n_embd):
            raise UsageError(f"{a.text} is not a vector of the stream at every position: choose one such as {last}.")
        with forward_only(model.lm_head.weight):
            log_p = final if a.text == last and edited_end else _log_p(model.head(model.transformer.ln_f(x)))
        p = log_p.exp()
        best = p.topk(min(TOP, p.size(-1)), dim=-1)
        score = log_p[:-1].gather(1, following)
        rank = 1 + (log_p[:-1] > score).sum(-1)
        kl = (final.exp() * (final - log_p)).sum(-1)
        nan, none = score.new_full((1,), torch.nan), rank.new_zeros(1)
        cells.append((
            best.indices, best.values, torch.cat([score[:, 0].exp(), nan]), torch.cat([rank, none]),
            -(p * log_p).sum(-1), kl,
        ))  # fmt: skip
    ids, probabilities, next_probability, next_rank, entropy, kl = (torch.stack(column) for column in zip(*cells))
    labels = tuple(tuple(run.label(i) for i in line) for line in ids[..., 0].tolist())
    names = tuple(a.text for a in addresses)
    return Lens(names, run.tokens[row], ids, labels, probabilities, next_probability, next_rank, entropy, kl)


def _log_p(logits: Tensor) -> Tensor:
    return logits.detach().to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
