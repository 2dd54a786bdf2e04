"""Switching components off on a text set: what the model loses without each of them, with intervals.

In: a model, components by address, documents, what stands in for a component. Out: an `Off`: for each component the
change of the loss, KL(full || edited) and the change of the real next token's logit, over documents.
Read next: leave_one_out.py, the same for one text; behaviours.py, for pairs of prompts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.onednn import forward_only
from gpt2.base.plain import plain
from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.change.intervals import ONE_DOCUMENT, Estimate, bootstrap
from gpt2.explain.change.switch import Kind, expand, switch
from gpt2.explain.run.reference import Reference, reference
from gpt2.explain.run.sweep import Base, Cell
from gpt2.explain.run.trace import Run, trace
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, table
from gpt2.loss import token_losses
from gpt2.model import GPT2

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table


@dataclass(frozen=True)
class OffDocument:
    """One document of T tokens under each of K edits; position t predicts token t + 1.

    loss, logit          [T - 1], of the real next token, in the plain run
    loss_change, logit_change  [K, T - 1], edited minus plain
    kl                   [K, T], KL(full || edited) in nats
    """

    ids: tuple[int, ...]
    loss: Tensor
    logit: Tensor
    loss_change: Tensor
    logit_change: Tensor
    kl: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Off(Result):
    """What each of K components is worth on a text: means over tokens, intervals over documents.

    loss          the plain model's, in nats per token
    change        [K], loss with the component off minus `loss`: above 0 the component helps
    kl, logit     [K], mean KL(full || edited) in nats, mean change of the real next token's logit
    text, means   what was read, and what the means were taken over
    documents     the same numbers, position by position
    """

    components: tuple[str, ...]
    kind: Kind
    loss: Estimate
    change: Estimate
    kl: Estimate
    logit: Estimate
    text: Mapping[str, Any]
    means: Mapping[str, Any]
    documents: tuple[OffDocument, ...]

    @property
    def order(self) -> list[int]:
        """Numbers of the components, the one that is missed most first."""
        return self.change.value.argsort(descending=True).tolist()

    def table(self, top: int | None = None) -> "Table":
        """One row per component, the one that is missed most first; `top`: how many."""
        n = len(self.documents)
        sure = f", {n} documents; 95% intervals over documents" if n > 1 else f"\n{ONE_DOCUMENT}"
        made = table(
            "off", ">loss change", "interval", ">KL", ">logit change",
            title=f"change of the loss when each is switched off ({self.kind}); "
            f"the loss with all is {self.loss.value:.3f} nats per token",
            caption=f"{self.text['text']}{sure}",
        )  # fmt: skip
        for k in self.order[:top]:
            made.add_row(
                self.components[k], f"{self.change.value[k]:+z.4f}", self.change[k].interval("+z.4f"),
                f"{self.kl.value[k]:.4f}", f"{self.logit.value[k]:+z.3f}",
            )  # fmt: skip
        return made

    def plot(self) -> "Figure":
        """Heads as a heat map, layer x head, where every head was switched off; otherwise one bar per component."""
        places = {name: k for k, name in enumerate(self.components)}
        layers = 1 + max((int(n.split(".")[0]) for n in places if n[0].isdigit()), default=0)
        heads = 1 + max((int(n.split(".")[2]) for n in places if ".head." in n and "," not in n), default=0)
        grid = [[f"{l}.head.{h}" for h in range(heads)] for l in range(layers)]
        title = f"loss change with the component off ({self.kind})"
        if heads > 1 and all(name in places for row in grid for name in row):
            values = torch.stack([self.change.value[[places[name] for name in row]] for row in grid])
            cells = [[f"{x:+z.3f}" for x in row] for row in values.tolist()]
            figure, axes = draw.figure(2.2 + 0.55 * heads, 1.4 + 0.3 * layers)
            rows, columns = ([str(i) for i in range(n)] for n in (layers, heads))
            draw.heat(axes, values, rows, columns, unit="nats per token", diverging=True, cells=cells)
            axes.set(xlabel="head", ylabel="layer")
        else:
            shown = self.order[:40]
            figure, axes = draw.figure(6.5, 1.2 + 0.25 * len(shown))
            value, low, high = (x[shown] for x in (self.change.value, self.change.low, self.change.high))
            names = [self.components[k] for k in shown]
            spread = torch.stack([value - low, high - value]).nan_to_num(0).clamp(min=0).tolist()
            colours = [draw.POSITIVE if v >= 0 else draw.NEGATIVE for v in value.tolist()]
            axes.barh(names, value.tolist(), xerr=spread, color=colours, capsize=2, error_kw={"linewidth": 0.8})
            axes.invert_yaxis()
            axes.axvline(0, color=draw.NEUTRAL, linewidth=0.8)
            axes.set_xlabel("nats per token, with 95% interval over documents")
        draw.title(axes, title)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Everything but the position-by-position numbers."""
        return plain({
            "kind": self.kind, "text": dict(self.text), "means": dict(self.means), "loss": self.loss.to_dict(),
            "components": [
                {
                    "off": name, "loss_change": self.change[k].to_dict(), "kl": self.kl[k].to_dict(),
                    "logit_change": self.logit[k].to_dict(),
                }
                for k, name in enumerate(self.components)
            ],
        })  # fmt: skip


def off(
    model: Model,
    components: str | Sequence[str] = ("*.head.*", "*.attn", "*.mlp"),
    kind: Kind = "mean",
    text: Reference | None = None,
    means: Reference | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Off:
    """Switch each component off by itself, and read a text without it.

    components  addresses; `*` for each layer or head in turn; "3.head.7,5.mlp" for both at once
    kind        what stands in its place, see `switch`
    text        documents to read (default: the bundled stories, cut to 16 documents of 128 tokens)
    means       documents for the means, and to resample from (default: the bundled stories)
    progress    told how many documents are done, of how many

    Raises UsageError for a kind that a component does not have, ValueError for an unknown address.
    """
    gpt, _ = opened(model)
    names = expand(gpt, components)
    means = reference(model) if means is None else means
    text = excerpt(model, means if text is None else text) if text is None else text
    if kind != "resample":
        cells: list[Cell] = [switch(gpt, name, kind, means) for name in names]
    results = []
    for number, row in enumerate(text.rows):
        if kind == "resample":
            other = _another(gpt, names, means, row, number)
            cells = [switch(gpt, name, kind, means, other) for name in names]
        results.append(off_document(gpt, row, cells))
        progress(number + 1, len(text.rows))
    counts = torch.tensor([len(one.loss) for one in results])
    over = torch.tensor([len(one.ids) for one in results])
    return Off(
        names,
        kind,
        loss=bootstrap(torch.stack([one.loss.double().sum() for one in results]), counts),
        change=bootstrap(torch.stack([one.loss_change.double().sum(1) for one in results]), counts),
        kl=bootstrap(torch.stack([one.kl.double().sum(1) for one in results]), over),
        logit=bootstrap(torch.stack([one.logit_change.double().sum(1) for one in results]), counts),
        text=text.to_dict(),
        means=means.to_dict(),
        documents=tuple(results),
    )


def excerpt(model: Model, text: Reference, documents: int = 16, tokens: int = 128) -> Reference:
    """The beginnings of a text's first documents, at most so many of so many tokens."""
    rows = [row[:tokens] for row in text.rows[:documents]]
    cut = reference(opened(model)[0], rows)
    return replace(
        cut, name=f"{text.name}, {counted(len(rows), 'beginning')} of up to {tokens} tokens", begins=text.begins
    )


def _another(model: GPT2, names: Sequence[str], means: Reference, row: Sequence[int], number: int) -> Run:
    """The run of a document other than this one, with the components' values."""
    others = [one for one in means.rows if one[: len(row)] != tuple(row)[: len(one)]]
    if not others:
        raise UsageError(
            "to resample, the reference needs a document besides the text itself: give means=reference(...)"
        )
    addresses = [address.strip() for name in names for address in name.split(",")]
    return trace(model, others[number % len(others)], read=[a for a in addresses if not a.endswith("block")])


def off_document(model: GPT2, row: Sequence[int], cells: Sequence[Cell]) -> OffDocument:
    """One document under each cell's edits, all cells in a few batches."""
    ids = torch.tensor([list(row)], device=model.lm_head.weight.device)
    base = Base(model, ids)
    with forward_only(model.lm_head.weight):
        plain_run = _Plain(base)
    T = ids.size(1)
    loss_change, logit_change, kl = (torch.zeros(len(cells), T, dtype=plain_run.loss.dtype) for _ in range(3))
    for batch in base.sweep(cells):
        for numbers, hidden in batch.slices(model.config.vocab_size):
            with forward_only(model.lm_head.weight):
                changes = plain_run.compare(hidden, batch.first)
            for kept, change in zip((loss_change, logit_change, kl), changes):
                kept[numbers, batch.first :] = change.cpu()
    loss, logit = plain_run.loss[:-1].cpu(), plain_run.logit[:-1].cpu()
    return OffDocument(tuple(row), loss, logit, loss_change[:, :-1], logit_change[:, :-1], kl)


class _Plain:
    """The plain run's predictions, kept in a form against which edited ones are quickly compared.

    With x, x' the final hidden states of the plain and the edited run, w_t the head's row of the real next token t and
    p the plain distribution: KL(p || p') = (loss' - loss) + (x - x') . (sum_v p_v w_v - w_t), since the logits are
    linear in x. So no second pass over the vocabulary is needed, and the large offset that GPT-2's logits share drops
    out before it is rounded.
    """

    def __init__(self, base: Base) -> None:
        self.model, weight = base.model, base.model.lm_head.weight
        wide = torch.promote_types(weight.dtype, torch.float32)  # small differences are taken: not in half the digits
        logits = self.model.head(base.hidden[0]).to(wide)  # (T, V)
        self.hidden = base.hidden[0].to(wide)  # (T, C)
        # the last position has no next token: any token serves for its KL, the likeliest rounds best
        self.targets = torch.cat([base.ids[0, 1:], logits[-1:].argmax(-1)])
        self.loss = token_losses(logits, self.targets)  # (T)
        self.logit = logits.gather(1, self.targets[:, None])[:, 0]
        self.rows = weight[self.targets].to(wide)  # (T, C)
        self.mean = logits.softmax(-1) @ weight.to(wide)  # (T, C)

    def compare(self, hidden: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Loss change, logit change and KL, [R, T - first] each, of edited runs [R, T - first, C]."""
        moved = hidden - self.hidden[first:]
        losses = token_losses(self.model.head(hidden).flatten(0, 1), self.targets[first:].repeat(len(hidden)))
        change = losses.view(hidden.shape[:2]) - self.loss[first:]
        logit = (moved * self.rows[first:]).sum(-1)
        kl = change - (moved * (self.mean - self.rows)[first:]).sum(-1)
        return change, logit, kl.clamp(min=0)  # below 0 by rounding only
