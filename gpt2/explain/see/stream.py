"""The residual stream in numbers: how long it is, how it turns, what divides it, how much of the gradient reaches it.

In: a `Run`; for gradients a model and a text. Out: `Stream`, a row for each point of the stream, and `Gradients`, a row
for each block:

    norms       ||r|| at every point and position, and of what attention and MLP write
    turned      cosine of what leaves a block with what entered it;  final: of each point with the stream's end
    scales      sigma of every norm
    gradients   ||dL / d resid_post(l)[t]||, where L is the mean loss over the text
    parameters  ||dL / d parameters|| of each part of the model: another quantity, shown apart

Read next: off.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt2.base.errors import UsageError
from gpt2.base.plain import plain
from gpt2.checkpoint.opened import Model
from gpt2.explain.run.trace import trace
from gpt2.explain.show import draw
from gpt2.explain.show.result import Result, number, table
from gpt2.text.words import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from gpt2.explain.run.trace import Run


@dataclass(frozen=True, eq=False, repr=False)
class Stream(Result):
    """R points of the stream by T positions of one text; W writes; L blocks; 2L + 1 norms."""

    tokens: tuple[str, ...]
    points: tuple[str, ...]  # 0.resid_pre, then resid_mid and resid_post of each block
    norms: Tensor  # (R, T)
    final: Tensor  # (R, T), cosine with the last point
    writes: tuple[str, ...]  # attn.out and mlp.out of each block
    write_norms: Tensor  # (W, T)
    turned: Tensor  # (L, T)
    norm_layers: tuple[str, ...]
    scales: Tensor  # (2L + 1, T)

    def table(self) -> "Table":
        """Means over positions 1, 2, ...; position 0, whose stream is often many times longer, apart."""
        made = table(
            "point", ">||r||", ">at 0", ">cosine with the end", ">||attn||", ">||mlp||",
            title="the residual stream, mean over positions 1 and later",
        )  # fmt: skip
        later = slice(1, None) if len(self.tokens) > 1 else slice(None)
        write = dict(zip(self.writes, self.write_norms[:, later].mean(1).tolist()))
        for r, point in enumerate(self.points):
            layer, _, kind = point.partition(".")
            attn = write.get(f"{layer}.attn.out") if kind == "resid_mid" else None
            mlp = write.get(f"{layer}.mlp.out") if kind == "resid_post" else None
            numbers = (self.norms[r, later].mean(), self.norms[r, 0], self.final[r, later].mean(), attn, mlp)
            made.add_row(point, *("" if x is None else number(float(x)) for x in numbers))
        return made

    def plot(self, what: str = "norms") -> "Figure":
        """A heat map over positions: `norms` or `scales` (both log10), `final`, `turned` or `write_norms` (log10)."""
        rows = {
            "norms": self.points, "final": self.points, "scales": self.norm_layers, "write_norms": self.writes,
            "turned": tuple(f"{l}.block" for l in range(len(self.turned))),
        }  # fmt: skip
        if what not in rows:
            raise UsageError(f"there is no {what!r} to draw: choose {', '.join(rows)}.")
        values, log = getattr(self, what), what in ("norms", "scales", "write_norms")
        made, axes = draw.figure(2 + 0.3 * min(len(self.tokens), 60), 1.2 + 0.25 * len(values))
        units = {"norms": "length of the stream, log10", "scales": "sigma of the norm, log10",
                 "write_norms": "length of the write, log10", "final": "cosine with the stream's end",
                 "turned": "cosine of leaving with entering"}  # fmt: skip
        shown = values.double().clamp(min=1e-12).log10() if log else values
        draw.heat(axes, shown.flip(0), rows[what][::-1], self.tokens, unit=units[what], diverging=not log)
        draw.title(axes, units[what].removesuffix(", log10").capitalize())
        return made

    def to_dict(self) -> dict[str, Any]:
        """Every field."""
        return plain(vars(self))


def stream(run: "Run", *, row: int = 0) -> Stream:
    """Norms, cosines and scales of one row of a run. UsageError for a row that is not there."""
    if not 0 <= row < run.ids.size(0):
        raise UsageError(f"there is no row {row}: this run has rows 0 to {run.ids.size(0) - 1}.")
    L = range(run.model.config.n_layer)
    run = run.read("*.attn.out", "*.mlp.out", "*.ln_1.scale", "*.ln_2.scale", "final.scale")

    def rows(keys: list[tuple[int | None, str]]) -> tuple[tuple[str, ...], Tensor]:
        there = [key for key in keys if key in run.values.points]  # a variant may lack some
        names = tuple(point if l is None else f"{l}.{point}" for l, point in there)
        values = [run.values.stored(*key)[row].detach() for key in there]
        return names, torch.stack(values) if values else torch.zeros(0, run.ids.size(1))

    points, x = rows([(0, "resid_pre"), *((l, p) for l in L for p in ("resid_mid", "resid_post"))])  # (R, T, C)
    writes, written = rows([(l, p) for l in L for p in ("attn.out", "mlp.out")])
    norm_layers, scales = rows([*((l, p) for l in L for p in ("ln_1.scale", "ln_2.scale")), (None, "final.scale")])
    ends = x[::2]  # what enters block 0, and what leaves each block
    return Stream(
        tokens=run.tokens[row], points=points, norms=x.norm(dim=-1),
        final=torch.cosine_similarity(x, x[-1:], dim=-1), writes=writes,
        write_norms=written.norm(dim=-1) if writes else scales[:0], norm_layers=norm_layers, scales=scales,
        turned=torch.cosine_similarity(ends[1:], ends[:-1], dim=-1),
    )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Gradients(Result):
    """||dL / d stream|| per token, L + 1 rows (embed.out, then each block's resid_post), and per part's parameters."""

    tokens: tuple[str, ...]
    loss: float  # mean over the text, nats per token
    points: tuple[str, ...]
    norms: Tensor  # (L + 1, T); 0 at the last position of the last row: nothing follows there
    parts: tuple[str, ...]
    parameters: Tensor  # norms of dL / d parameters: both embeddings, each block, the final norm, an untied head

    def table(self) -> "Table":
        """Means over positions, and the parameters' norms beside them."""
        made = table(
            "point", ">mean ||dL/dr||", ">largest", "  parameters", ">||dL/dw||",
            title=f"gradients of the mean loss, {self.loss:.3f} nats per token",
        )  # fmt: skip
        for i in range(max(len(self.points), len(self.parts))):
            left = ("", "", "")
            if i < len(self.points):
                left = self.points[i], f"{float(self.norms[i].mean()):.2e}", f"{float(self.norms[i].max()):.2e}"
            right = (self.parts[i], f"{float(self.parameters[i]):.2e}") if i < len(self.parts) else ("", "")
            made.add_row(*left, *right)
        return made

    def plot(self) -> "Figure":
        """The stream's gradient norms, log10, by block and position."""
        made, axes = draw.figure(2 + 0.3 * min(len(self.tokens), 60), 1.2 + 0.3 * len(self.points))
        values = self.norms.double().where(self.norms > 0, torch.nan).log10().flip(0)
        draw.heat(axes, values, self.points[::-1], self.tokens, unit="||dL/dr||, log10")
        draw.title(axes, "How much of the gradient reaches each point of the stream")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Every field."""
        return plain(vars(self))


def gradient_norms(model: Model, ids: Text) -> Gradients:
    """Gradients of a text's mean loss, without dropout; the model's own `.grad` stays as it is.

    Raises UsageError for a text of fewer than two tokens, which has no loss, for several texts, and as `trace`.
    """
    run = trace(model, ids, grad=True)
    if run.ids.size(0) != 1 or run.ids.size(1) < 2:
        raise UsageError("gradients need one text of at least two tokens: the loss is that of the tokens that follow.")
    logits = run.values.stored(None, "logits")[0, :-1]
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    loss = F.cross_entropy(wide, run.ids[0, 1:])
    L = range(run.model.config.n_layer)
    at = run.gradients(loss)
    keys: list[tuple[int | None, str]] = [(None, "embed.out"), *((l, "resid_post") for l in L)]
    norms = torch.stack([at.stored(*key)[0].norm(dim=-1) for key in keys])
    t = run.model.transformer
    parts: dict[str, nn.Module] = {
        "token vectors": t.wte,
        "position vectors": t.wpe,
        **{f"block {l}": t.h[l] for l in L},
        "final norm": t.ln_f,
    }
    if run.model.lm_head.weight is not t.wte.weight:  # tied, its gradient is in that of the token vectors
        parts["head"] = run.model.lm_head
    parameters = {name: [p for p in part.parameters() if p.requires_grad] for name, part in parts.items()}
    every = [p for group in parameters.values() for p in group]
    found = dict(zip(map(id, every), torch.autograd.grad(loss, every, allow_unused=True, materialize_grads=True)))
    squares = [
        sum((found[id(p)].double().square().sum() for p in group), torch.zeros(())) for group in parameters.values()
    ]
    return Gradients(
        run.tokens[0], float(loss.detach()), tuple(p if l is None else f"{l}.{p}" for l, p in keys), norms,
        tuple(parts), torch.stack([x.double().cpu() for x in squares]).sqrt(),
    )  # fmt: skip
