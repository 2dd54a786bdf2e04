"""Many passes of one text as pictures draw them, in one batch: the same `Flow` for each set of edits.

In: a model, one text, several sets of edits. Out: a `Flow` for each, as `flow` gives one. A pass of a short text spends
most of its time on reading the weights; a batch reads them once. Read next: flow.py.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from gpt2.checkpoint.opened import Model, opened
from gpt2.explain.run.trace import Run, trace
from gpt2.explain.run.values import Values
from gpt2.explain.see.flow import READ, Arcs, Flow, flow_points, heads_on, strongest
from gpt2.probe import At, Edit


def flows(model: Model, ids: Sequence[int], edits: Sequence[Mapping[str, Edit]]) -> list[Flow]:
    """Run a model over one text with each of these sets of edits. Raises as `trace`.

    An edit is handed its own rows of the batch; what it is told of where it stands (`At`) names the whole batch.
    """
    gpt, _ = opened(model)
    c, n = gpt.config, len(edits)
    lengths: dict[int, Tensor] = {}
    mean: list[list[tuple[Tensor, Tensor]]] = [[] for _ in edits]
    written: list[list[tuple[Tensor, Tensor]]] = [[] for _ in edits]

    def keep_lengths(v: Tensor, at: At) -> None:
        writes = gpt.transformer.h[at.layer or 0].attn.head_writes
        lengths[at.layer or 0] = torch.stack([writes(one[None])[0].norm(dim=-1) for one in v])  # (n, H, T)

    def keep_strongest(pattern: Tensor, at: At) -> None:
        for b, edit in enumerate(edits):
            on = heads_on(gpt, at.layer or 0, edit)
            rows = pattern[b][on]  # (heads that are on, T, T)
            mean[b].append(strongest(rows.sum(dim=0) / max(1, len(on))))
            sizes = (rows * lengths[at.layer or 0][b, on, None, :]).sum(dim=0)  # (T, T)
            written[b].append(strongest(sizes / sizes.sum(dim=-1, keepdim=True).clamp(min=1e-30)))

    watch = {"*.attn.v": keep_lengths, "*.attn.pattern": keep_strongest}
    run = trace(model, torch.tensor([list(ids)] * n), READ, _together(edits), watch=watch)
    points = flow_points(c.n_layer)
    writes = [f"{l}.{part}.out" for l in range(c.n_layer) for part in ("attn", "mlp")]
    scales = [f"{l}.{name}.scale" for l in range(c.n_layer) for name in ("ln_1", "ln_2")] + ["final.scale"]

    def stacked(addresses: Sequence[str]) -> Tensor:
        return torch.stack([run.values[a].float() for a in addresses], dim=1)  # (n, addresses, T, ...)

    norms, sizes, divisors = stacked(points).norm(dim=-1), stacked(writes).norm(dim=-1), stacked(scales)
    return [
        Flow(
            _alone(run, b, edits[b]), points, norms[b], sizes[b], divisors[b],
            *(Arcs(*(torch.stack(part) for part in zip(*found[b]))) for found in (mean, written)),
        )
        for b in range(n)
    ]  # fmt: skip


def _together(edits: Sequence[Mapping[str, Edit]]) -> dict[str, Edit]:
    """One edit for each address, which edits the rows of those sets that name it."""

    def joined(address: str) -> Edit:
        rows = [(b, edit[address]) for b, edit in enumerate(edits) if address in edit]

        def change(x: Tensor, at: At) -> Tensor:
            for b, function in rows:
                x[b : b + 1] = function(x[b : b + 1], at)
            return x

        return change

    return {address: joined(address) for edit in edits for address in edit}


def _alone(run: Run, b: int, edit: Mapping[str, Edit]) -> Run:
    """One row of a batch as the run that it would be alone."""
    here = slice(b, b + 1)
    values = Values(run.model, {key: run.values.stored(*key)[here] for key in run.values.points})
    return Run(run.model, run.tokenizer, run.ids[here], MappingProxyType(dict(edit)), run.kept, values)
