"""One pass as a picture draws it: how long the stream is, what each step writes, where attention reads from.

In: a model, one text, edits. Out: a `Flow`, which is small, with the `Run` behind it; and `beside`, what two of them
say of the same text. Patterns are looked at while they pass by and never kept: [L, H, T, T] is too much.
Read next: stream.py, the same lengths as a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.run.places import parse
from gpt2.explain.run.trace import NO_EDIT, Run, trace
from gpt2.explain.see.attribution import COMPONENTS
from gpt2.model import GPT2
from gpt2.probe import At, Edit
from gpt2.text.words import Text

ARCS = 8  # sources of each row that are kept
NEXT = 12  # likely tokens of each row
ROWS = 16  # at a time, where the whole vocabulary is looked at
READ = (*COMPONENTS, "*.mlp.out", "*.ln_1.scale", "*.ln_2.scale")


class Arcs(NamedTuple):
    """The strongest sources of each row in each block, [L, T, K], and their weights."""

    source: Tensor
    weight: Tensor


@dataclass(frozen=True, eq=False)
class Flow:
    """P = 2L + 1 points of the stream, L blocks, T positions.

    norms    [P, T], length of the stream's vector
    writes   [2L, T], length of what attention (even) and MLP (odd) of each block add
    scales   [2L + 1, T], sigma of ln_1 and ln_2 of each block, then of the final norm
    mean     arcs by the mean weight over the heads that are on; `written`: by the length of what is read
    """

    run: Run
    points: tuple[str, ...]
    norms: Tensor
    writes: Tensor
    scales: Tensor
    mean: Arcs
    written: Arcs

    @property
    def logits(self) -> Tensor:
        """[T, V], in float32."""
        return self.run.values.stored(None, "logits")[0].float()

    @property
    def top(self) -> Tensor:
        """The likeliest token after each position, [T]."""
        return self.logits.argmax(dim=-1)

    def stream(self, point: str) -> Tensor:
        """The stream's vectors at one point, [T, C], in float32."""
        return self.run.values[point][0].float()

    def likeliest(self, at: int, n: int) -> list[int]:
        """The ids of the n tokens that are likeliest after a position, the likeliest first."""
        return self.logits[at].topk(min(n, self.logits.size(-1))).indices.tolist()


def flow_points(n_layer: int) -> tuple[str, ...]:
    """The addresses along the stream: what the embeddings give, then resid_mid and resid_post of each block."""
    return ("embed.out", *(f"{l}.resid_{p}" for l in range(n_layer) for p in ("mid", "post")))


def flow(model: Model, text: Text, edit: Mapping[str, Edit] = NO_EDIT) -> Flow:
    """Run a model over one text and look at it on the way. Raises as `trace`."""
    gpt, _ = opened(model)
    c, lengths = gpt.config, dict[int, Tensor]()
    mean: list[tuple[Tensor, Tensor]] = []
    written: list[tuple[Tensor, Tensor]] = []

    def keep_lengths(v: Tensor, at: At) -> None:
        lengths[at.layer or 0] = gpt.transformer.h[at.layer or 0].attn.head_writes(v)[0].norm(dim=-1)  # (H, T)

    def keep_strongest(pattern: Tensor, at: At) -> None:
        on = heads_on(gpt, at.layer or 0, edit)
        rows = pattern[0][on]  # (heads that are on, T, T)
        mean.append(strongest(rows.sum(dim=0) / max(1, len(on))))
        sizes = (rows * lengths[at.layer or 0][on, None, :]).sum(dim=0)  # (T, T)
        written.append(strongest(sizes / sizes.sum(dim=-1, keepdim=True).clamp(min=1e-30)))

    run = trace(model, text, READ, edit, watch={"*.attn.v": keep_lengths, "*.attn.pattern": keep_strongest})
    points = flow_points(c.n_layer)
    writes = [f"{l}.{part}.out" for l in range(c.n_layer) for part in ("attn", "mlp")]
    scales = [f"{l}.{n}.scale" for l in range(c.n_layer) for n in ("ln_1", "ln_2")] + ["final.scale"]

    def lengths_at(addresses: tuple[str, ...] | list[str]) -> Tensor:
        return torch.stack([run.values[a][0].float().norm(dim=-1) for a in addresses])

    return Flow(
        run, points, lengths_at(points), lengths_at(writes), torch.stack([run.values[a][0].float() for a in scales]),
        *(Arcs(*(torch.stack(part) for part in zip(*found))) for found in (mean, written)),
    )  # fmt: skip


def heads_on(model: GPT2, layer: int, edit: Mapping[str, Edit]) -> list[int]:
    """The heads of a block that bring what they read: none where the block or its attention is edited as a whole.

    A multiple of what they bring (`scale`) is still that.
    """
    c, off = model.config, set[int]()
    for text in (text for text, change in edit.items() if not getattr(change, "factor", 0)):
        for a in parse(text, c.n_layer, c.n_head):
            if a.layer == layer and a.point in ("attn.z", "head.out", "attn.out", "block"):
                off |= set(range(c.n_head)) if a.head is None else {a.head}
    return [h for h in range(c.n_head) if h not in off]


def strongest(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The sources of largest weight of each row of [T, T], and these weights: [T, K] each."""
    weight, source = weights.float().topk(min(ARCS, weights.size(-1)), dim=-1)
    return source, weight


def likely(now: Flow, before: Flow, row: int) -> Tensor:
    """The tokens that are likeliest after a position in either run, [N]."""
    here = slice(row, row + 1)
    return _likely(now.logits[here], before.logits[here])[0]


def _likely(logits: Tensor, logits_before: Tensor) -> Tensor:
    p = torch.maximum(logits.softmax(dim=-1), logits_before.softmax(dim=-1))
    return p.topk(min(NEXT, p.size(-1)), dim=-1).indices


class Beside(NamedTuple):
    """A run beside the original one, at each of T positions.

    ids [T, N] the tokens that are likeliest in either, with `p`, `p_before` and `logit` [T, N]
    top [T] the likeliest token; losses [T - 1] -log p of the token that really follows; both `_before` too
    kl [T] KL(original || this run); moved [P, T] ||changed - original|| / ||original|| of the stream
    """

    ids: Tensor
    p: Tensor
    p_before: Tensor
    logit: Tensor
    top: Tensor
    top_before: Tensor
    losses: Tensor
    losses_before: Tensor
    kl: Tensor
    moved: Tensor


def beside(now: Flow, before: Flow) -> Beside:
    """Compare a run with the original one of the same text; both may be the same."""
    T = now.logits.size(0)
    follows = now.run.ids[0, 1:, None]
    # Some rows at a time: what is as wide as the vocabulary is gigabytes for a long text.
    parts = [_of_rows(now.logits[i : i + ROWS], before.logits[i : i + ROWS], follows[i : i + ROWS])
             for i in range(0, T, ROWS)]  # fmt: skip
    ids, p, p_before, logit, top, top_before, losses, losses_before, kl = (torch.cat(part) for part in zip(*parts))
    moved = [
        (now.stream(point) - before.stream(point)).norm(dim=-1) / before.stream(point).norm(dim=-1).clamp(min=1e-30)
        for point in now.points
    ]
    return Beside(ids, p, p_before, logit, top, top_before, losses, losses_before, kl, torch.stack(moved))


def _of_rows(logits: Tensor, logits_before: Tensor, follows: Tensor) -> tuple[Tensor, ...]:
    """All of `Beside` but `moved`, for some rows; `follows` [n, 1] has one row fewer at the text's end."""
    log_p, log_p_before = logits.log_softmax(dim=-1), logits_before.log_softmax(dim=-1)
    p, p_before, n = log_p.exp(), log_p_before.exp(), len(follows)
    ids = _likely(logits, logits_before)
    return (
        ids, p.gather(-1, ids), p_before.gather(-1, ids), logits.gather(-1, ids), p.argmax(dim=-1),
        p_before.argmax(dim=-1), -log_p[:n].gather(-1, follows)[:, 0], -log_p_before[:n].gather(-1, follows)[:, 0],
        (p_before * (log_p_before - log_p)).sum(dim=-1),
    )  # fmt: skip
