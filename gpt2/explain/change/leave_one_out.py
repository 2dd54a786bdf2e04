"""Which parts matter for one text? Each component replaced by itself: the loss on the text, and every prediction.

In: a `Run`, a replacement (an edit), components. Out: a `LeaveOneOut`: for each component the change of the text's
mean loss, and at each position the probability that the run's likeliest token keeps, and the likeliest token then.
The run's own edits stay as they are. Read next: off.py, the same loss on many texts, with intervals.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.base.onednn import forward_only
from gpt2.base.plain import plain
from gpt2.explain.change.switch import expand
from gpt2.explain.run.sweep import Base
from gpt2.explain.show.result import Result, table
from gpt2.probe import Edit

if TYPE_CHECKING:
    from rich.table import Table

    from gpt2.explain.run.trace import Run

PARTS = ("*.attn", "*.mlp", "embed.pos")


@dataclass(frozen=True, eq=False, repr=False)
class LeaveOneOut(Result):
    """Each of K components replaced by itself, on one text of T tokens.

    loss, change          the run's mean loss in nats per token; [K], what is added to it without each component. Both
                          are NaN for a text of one token, in which nothing follows
    first, p              [T], the run's likeliest token after each position, and its probability
    first_without         [K, T], the likeliest token without each component
    p_without             [K, T], the probability of the run's likeliest token without each component
    position              the one that the table shows; `words` are the tokens' texts by their ids
    """

    replacement: str
    names: tuple[str, ...]
    tokens: tuple[str, ...]
    position: int
    loss: float
    change: Tensor
    first: Tensor
    p: Tensor
    first_without: Tensor
    p_without: Tensor
    words: Mapping[int, str]

    @property
    def order(self) -> list[int]:
        """Numbers of the components, the one that is missed most first: by the loss, or by p where there is none."""
        missed = self.p[self.position] - self.p_without[:, self.position] if math.isnan(self.loss) else self.change
        return missed.argsort(descending=True, stable=True).tolist()

    def table(self, top: int | None = None) -> "Table":
        """One row per component, the one that is missed most first; `top`: how many."""
        t = self.position
        first, p = self.words[int(self.first[t])], float(self.p[t])
        lossless = math.isnan(self.loss)
        loss = "" if lossless else f"the loss is {self.loss:.3f} nats per token and "
        made = table(
            "without", *([] if lossless else [">loss change"]), f">{first}", "likeliest then",
            title=f"{'' if lossless else 'the loss on this text, and '}{first} after {t} {self.tokens[t]}, "
            "without each component",
            caption=f"replaced by: {self.replacement}; in the run itself {loss}{first} has {p:.1%}",
        )  # fmt: skip
        for k in self.order[:top]:
            then = int(self.first_without[k, t])
            made.add_row(
                self.names[k], *([] if lossless else [f"{self.change[k]:+z.4f}"]), f"{self.p_without[k, t]:.1%}",
                "" if then == int(self.first[t]) else self.words[then],
            )  # fmt: skip
        return made

    def to_dict(self) -> dict[str, Any]:
        """One record per component, in the order given, with its numbers at every position."""
        return plain({
            "replacement": self.replacement, "tokens": self.tokens, "position": self.position, "loss": self.loss,
            "first": [self.words[i] for i in self.first.tolist()], "probability": self.p,
            "components": [
                {
                    "name": name, "loss_change": self.change[k], "probability": self.p_without[k],
                    "first": [self.words[i] for i in self.first_without[k].tolist()],
                }
                for k, name in enumerate(self.names)
            ],
        })  # fmt: skip


def leave_one_out(
    run: "Run",
    replacement: Edit,
    components: str | Sequence[str] = PARTS,
    at: int = -1,
    *,
    row: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LeaveOneOut:
    """Replace each component by itself, over all positions, and read the run's text without it.

    replacement  an edit for every one of them: zero, mean(reference), ... (edits.py)
    components   addresses; `*` for each layer or head in turn; "3.head.7,5.mlp" for both at once
    at           the position that the table shows
    progress     told how many components are done, of how many

    The other edits of the run stay; that of the component itself gives way. Components run together, in a few batches.
    Raises UsageError and ValueError as `gpt2.explain.change.switch.expand` and the edit do.
    """
    names, ids, t = expand(run.model, components), run.ids[row], run.position(at)
    cells = [{**run.edits, **dict.fromkeys(map(str.strip, name.split(",")), replacement)} for name in names]
    T, K, V = len(ids), len(names), run.model.config.vocab_size
    logits = run.values.stored(None, "logits")[row].detach()
    first = logits.argmax(-1)  # (T)
    plain_p, _, plain_losses = _read(logits, first, ids[1:])
    p, then, losses = (x.repeat(K, 1) for x in (plain_p, first.cpu(), plain_losses))
    done = 0
    for batch in Base(run.model, ids[None]).sweep(cells):
        for numbers, hidden in batch.slices(V):
            with forward_only(run.model.lm_head.weight):
                found = _read(run.model.head(hidden), first[batch.first :], ids[batch.first + 1 :])
            for kept, new in zip((p, then, losses), found):  # before the first edited position nothing changes
                kept[numbers, batch.first :] = new
            done += len(numbers)
            progress(done, K)
    loss = float(plain_losses.mean()) if T > 1 else math.nan
    seen = {*first.tolist(), *then.flatten().tolist()}
    return LeaveOneOut(
        replacement=getattr(replacement, "label", "an edit"), names=names, tokens=run.tokens[row], position=t,
        loss=loss, change=losses.mean(-1) - loss, first=first.cpu(), p=plain_p, first_without=then, p_without=p,
        words={i: run.label(i) for i in sorted(seen)},
    )  # fmt: skip


def _read(logits: Tensor, first: Tensor, following: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of logits [..., n, V]: p(first) and the likeliest token [..., n], and the loss [..., n - 1] in float64."""
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    shape = log_p.shape[:-1]
    of_first = log_p.gather(-1, first[:, None].expand(*shape, 1))[..., 0]
    losses = -log_p[..., : len(following), :].gather(-1, following[:, None].expand(*shape[:-1], -1, 1))[..., 0]
    return of_first.double().exp().cpu(), log_p.argmax(-1).cpu(), losses.double().cpu()
