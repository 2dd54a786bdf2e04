"""The logit lens: what the model would predict if it ended here.

In: a `Run`. Out: a `Lens`, one row for each point of the residual stream, one column for each position: the likeliest
token with its probability, the rank of the token that really follows, the entropy, the distance from the final answer.
Source: nostalgebraist 2020, "interpreting GPT: the logit lens". Read next: attribution.py.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from gpt2.addresses import Address
from gpt2.base.errors import UsageError
from gpt2.base.onednn import forward_only
from gpt2.base.plain import plain
from gpt2.explain.run.places import parse
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from gpt2.explain.run.trace import Run

TOP = 5  # tokens kept a cell
AT_ONCE = 64  # rows of logits that are held at a time
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
    answer_probability: Tensor  # (R, T), of what is finally predicted, or of the answers that were given
    entropy: Tensor  # (R, T)
    kl: Tensor  # (R, T)
    first: int = 0  # the position of the first column

    @property
    def probability(self) -> Tensor:
        """The probability of the likeliest token, [R, T]."""
        return self.top_probabilities[..., 0]

    def table(self, last: int = 6) -> "Table":
        """The grid for the last few positions, the end of the model on top as in the plot."""
        first = max(0, len(self.tokens) - last)
        made = table("after", *(f"{self.first + t} {self.tokens[t]}" for t in range(first, len(self.tokens))))
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
        return plain(vars(self))


def stream_points(n_layer: int) -> tuple[str, ...]:
    """Every point of the stream in order: what enters block 0, then resid_mid and resid_post of each block."""
    return ("0.resid_pre", *(f"{l}.{p}" for l in range(n_layer) for p in ("resid_mid", "resid_post")))


def lens(
    run: "Run",
    points: str | Iterable[str] | None = None,
    *,
    row: int = 0,
    first: int = 0,
    stop: int | None = None,
    answers: Tensor | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Lens:
    """Norm each point with statistics of its own (gamma and beta included), then the head: softmax(head(ln_f(r_l))).

    points       addresses of the stream [T, C] (default: `stream_points`)
    row          which text of the run
    first, stop  the window of positions that is looked at (default: all)
    answers      a token for each of these positions, whose probability is followed through the points (default: what
                 the run itself finally predicts there)
    progress     told the share of the points that is done

    The end of the last block gives the model's own prediction; where the run edits the final norm or the logits, it is
    theirs. Raises ValueError for an unknown address, UsageError for one of another shape, a row that is not there, and
    a window that lies outside the text.
    """
    model, (B, T) = run.model, run.ids.shape
    if not 0 <= row < B:
        raise UsageError(f"there is no row {row}: this run has rows 0 to {B - 1}.")
    end = T if stop is None else min(stop, T)
    if not 0 <= first < end:
        raise UsageError(f"rows {first} to {stop} are outside the text: it has {T} tokens.")
    c = model.config
    given = stream_points(c.n_layer) if points is None else [points] if isinstance(points, str) else points
    addresses = [a for text in given for a in parse(text, c.n_layer, c.n_head)]
    run = run.read(*(a.text for a in addresses))
    final = _log_p(run.values.stored(None, "logits")[row, first:end])  # (W, V)
    window = Window(final, run.ids[row, first + 1 : end + 1], final.argmax(-1) if answers is None else answers)
    step = max(1, AT_ONCE // (end - first))  # points that are read together
    found: list[tuple[Tensor, ...]] = []
    for k in range(0, len(addresses), step):
        progress(k / len(addresses))
        some = addresses[k : k + step]
        streams = torch.stack([_stream(run, a, row)[first:end] for a in some])  # (p, W, C)
        with forward_only(model.lm_head.weight):
            log_p = _log_p(model.head(model.transformer.ln_f(streams)))  # (p, W, V)
        for i, a in enumerate(some):
            if (a.layer, a.point) == (c.n_layer - 1, "resid_post"):
                log_p[i] = final
        found.append(window.read(log_p))
    columns = (torch.cat(column) for column in zip(*found))
    ids, probabilities, next_probability, next_rank, answer_probability, entropy, kl = columns
    labels = tuple(tuple(run.label(i) for i in line) for line in ids[..., 0].tolist())
    return Lens(
        tuple(a.text for a in addresses), run.tokens[row][first:end], ids, labels, probabilities, next_probability,
        next_rank, answer_probability, entropy, kl, first,
    )  # fmt: skip


class Window(NamedTuple):
    """What the predictions at some positions are compared with: the final ones [W, V], the tokens that follow [W], or
    [W - 1] where the last has none, and the answers [W]."""

    final: Tensor
    following: Tensor
    answers: Tensor

    def read(self, log_p: Tensor) -> tuple[Tensor, ...]:
        """The columns of a Lens from log probabilities of p points, [p, W, V]."""
        p = log_p.exp()
        best = p.topk(min(TOP, p.size(-1)), dim=-1)
        n = len(self.following)
        score = log_p[:, :n].gather(-1, self.following.expand(len(log_p), -1)[..., None])  # (p, n, 1)
        rank = 1 + (log_p[:, :n] > score).sum(-1)
        missing = (len(log_p), len(self.final) - n)
        answer = log_p.gather(-1, self.answers.expand(len(log_p), -1)[..., None])[..., 0]
        return (
            best.indices, best.values, torch.cat([score[..., 0].exp(), score.new_full(missing, torch.nan)], 1),
            torch.cat([rank, rank.new_zeros(missing)], 1), answer.exp(), -(p * log_p).sum(-1),
            (self.final.exp() * (self.final - log_p)).sum(-1),
        )  # fmt: skip


def _stream(run: "Run", a: Address, row: int) -> Tensor:
    """The stream at one point, [T, C]. UsageError for what is no such vector at every position."""
    x = run.values[a.text][row].detach()
    if x.shape != (run.ids.size(1), run.model.config.n_embd):
        last = f"{run.model.config.n_layer - 1}.resid_post"
        raise UsageError(f"{a.text} is not a vector of the stream at every position: choose one such as {last}.")
    return x


def _log_p(logits: Tensor) -> Tensor:
    return logits.detach().to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
