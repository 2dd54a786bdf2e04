"""Attention of one block: all heads small, and one head in full.

In: a text, switches, a block, a head. Out: patterns A [T, T] (row i: how much position i reads from each j <= i), and
the value-weighted ones A[i, j] ||v_j W_O||, the size of what is written (Kobayashi et al. 2020). Thumbnails of long
texts are reduced by taking the largest weight of each cell.
"""

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.explain.change.heads import heads
from gpt2.server.answers.parameters import Parameters, Scene
from gpt2.server.jobs import Tell
from gpt2.server.session import Session, Switches

THUMB = 32  # cells along each side


class Block(Scene):
    """A scene and a block."""

    block: int = Field(ge=0)


class Head(Block):
    """A scene, a block and one of its heads."""

    head: int = Field(ge=0)


@torch.inference_mode()
def block(session: Session, ask: Block, tell: Tell) -> dict[str, Any]:
    """Thumbnails [H, n, n], the `mean` over heads [T, T], and what each head does on this text: mean weight on the
    previous token and on the first, and the share of the row that is spread (entropy / log(i + 1))."""
    ids = session.encode(ask.text)
    pattern, _ = read(session, ids, ask.switches, ask.block, "all")
    H, T, _ = pattern.shape
    n = min(T, THUMB)
    rows = torch.arange(1, T, device=pattern.device)
    spread = -(pattern * pattern.clamp(min=1e-30).log()).sum(dim=-1)[:, 1:] / (rows + 1).log()
    return {
        "mean": pattern.mean(dim=0),
        "thumbs": F.adaptive_max_pool2d(pattern[:, None], (n, n))[:, 0],
        "previous": pattern[:, rows, rows - 1].mean(dim=-1) if T > 1 else torch.zeros(H),
        "first": pattern[:, 1:, 0].mean(dim=-1) if T > 1 else torch.zeros(H),
        "itself": pattern[:, range(T), range(T)].mean(dim=-1),
        "entropy": spread.mean(dim=-1) if T > 1 else torch.zeros(H),
    }


@torch.inference_mode()
def head(session: Session, ask: Head, tell: Tell) -> dict[str, Any]:
    """`pattern` and `written` [T, T] of one head; with switches the pattern of the original run too."""
    if ask.head >= session.config.n_head:
        raise UsageError(f"there is no head {ask.head}: each block has 0 to {session.config.n_head - 1}.")
    ids = session.encode(ask.text)
    pattern, written = read(session, ids, ask.switches, ask.block, ask.head)
    result = {"pattern": pattern, "written": written}
    if ask.switches:
        result["pattern_before"], result["written_before"] = read(session, ids, {}, ask.block, ask.head)
    return result


def read(session: Session, ids: list[int], switches: Switches, l: int, h: int | str) -> tuple[Tensor, Tensor]:
    """Pattern and value-weighted pattern of one head [T, T], or of all [H, T, T]."""
    if l >= session.config.n_layer:
        raise UsageError(f"there is no block {l}: this model has 0 to {session.config.n_layer - 1}.")
    _, probe = session.run(ids, switches, [f"{l}.attn.pattern", f"{l}.attn.v"])
    pattern = probe[f"{l}.attn.pattern"][0].float()
    sizes = session.model.transformer.h[l].attn.head_writes(probe[f"{l}.attn.v"])[0].float().norm(dim=-1)  # (H, T)
    written = pattern * sizes[:, None, :]
    return (pattern, written) if h == "all" else (pattern[int(h)], written[int(h)])


class Report(Parameters):
    """No parameters: a head report is about the model, not about a text."""


def report(session: Session, ask: Report, tell: Tell) -> dict[str, Any]:
    """Scores of every head with the labels they deserve (gpt2.explain.heads): {"0.head.3": {scores, labels}}."""

    def make() -> dict[str, Any]:
        found = heads(session.checkpoint, progress=lambda done, total: tell(done / total))
        listed: dict[str, Any] = {}
        for l in range(session.config.n_layer):
            for h in range(session.config.n_head):
                scores = {name: e.value[l, h].item() for name, e in found.random.found.items()}
                text = {name: e.value[l, h].item() for name, e in found.natural.found.items()}
                labels = [
                    {"name": one.name, "on": one.on, "score": one.score, "causal": one.causal}
                    for one in found.labels
                    if (one.layer, one.head) == (l, h)
                ]
                effect = None if found.effect is None else [x[l, h].item() for x in vars(found.effect).values()]
                listed[f"{l}.head.{h}"] = {
                    "random": scores, "text": text, "labels": labels, "effect": effect,
                    "copying": found.copying[l, h].item(),
                }  # fmt: skip
        return {"heads": listed, "verdict": found.verdict(), "uniform": dict(found.random.uniform)}

    return session.kept(("heads",), make)
