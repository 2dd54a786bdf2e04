"""The picture itself: the streams' thickness, the arcs of attention, what each step writes, the next tokens.

In: a text and switches. Out: numbers for every row (token), with those of the run with everything on beside them.

    points       embed.out, 0.resid_mid, 0.resid_post, 1.resid_mid, ...: P = 2L + 1 places along the stream
    norms        [P, T] length of the stream's vector; `moved` [P, T]: ||changed - original|| / ||original||
    writes       [2L, T] length of what attention (even) and MLP (odd) of each block add
    scales       [2L + 1, T] sigma of ln_1, ln_2 of each block, then of the final norm
    arcs         the K strongest sources of each row in each block: `from` [L, T, K], `weight` [L, T, K]
    next         the likeliest tokens of each row, in this run or the original one: [T, N]
    losses       [T - 1] -log p of the token that really follows; kl [T]: KL(original || this run)
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gpt2.probe import At
from gpt2.server.answers.parameters import Scene
from gpt2.server.jobs import Tell
from gpt2.server.session import Session, Switches

ARCS = 8
NEXT = 12


@dataclass
class Seen:
    """One run, reduced to what the picture draws; `stream` [P, T, C] and `logits` [T, V] are kept to compare."""

    logits: Tensor
    stream: Tensor
    writes: Tensor
    scales: Tensor
    arcs: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def points(n_layer: int) -> list[str]:
    """The addresses along the stream."""
    return ["embed.out", *(f"{l}.resid_{p}" for l in range(n_layer) for p in ("mid", "post"))]


def look(session: Session, ids: list[int], switches: Switches) -> Seen:
    """Run the text and reduce it; the latest runs are kept."""
    size = 4 * len(ids) * (session.config.vocab_size + (2 * session.config.n_layer + 1) * session.config.n_embd)
    key = ("seen", tuple(ids), tuple(sorted(switches.items())))
    return session.kept(key, lambda: _look(session, ids, switches), size)


@torch.inference_mode()
def _look(session: Session, ids: list[int], switches: Switches) -> Seen:
    n_layer, heads = session.config.n_layer, session.model.transformer.h
    mean: list[tuple[Tensor, Tensor]] = []
    written: list[tuple[Tensor, Tensor]] = []
    values: dict[int, Tensor] = {}

    def keep_lengths(v: Tensor, at: At) -> Tensor:
        values[at.layer or 0] = heads[at.layer or 0].attn.head_writes(v)[0].norm(dim=-1)  # (H, T)
        return v

    def keep_strongest(pattern: Tensor, at: At) -> Tensor:
        on = heads_on(session, at.layer or 0, switches)
        rows = pattern[0][on]  # (heads that are on, T, T)
        mean.append(strongest(rows.sum(dim=0) / max(1, len(on))))
        sizes = (rows * values[at.layer or 0][on, None, :]).sum(dim=0)  # (T, T)
        written.append(strongest(sizes / sizes.sum(dim=-1, keepdim=True).clamp(min=1e-30)))
        return pattern

    blocks = range(n_layer)
    scales = [f"{l}.{n}.scale" for l in blocks for n in ("ln_1", "ln_2")] + ["final.scale"]
    writes = [f"{l}.{part}.out" for l in blocks for part in ("attn", "mlp")]
    logits, probe = session.run(
        ids, switches, [*points(n_layer), *scales, *writes],
        {"*.attn.v": keep_lengths, "*.attn.pattern": keep_strongest},
    )  # fmt: skip
    arcs = {
        name: {"from": torch.stack([f for f, _ in found]), "weight": torch.stack([w for _, w in found])}
        for name, found in (("mean", mean), ("written", written))
    }
    return Seen(
        logits,
        torch.stack([probe[point][0] for point in points(n_layer)]).float(),
        torch.stack([probe[name][0].float().norm(dim=-1) for name in writes]),
        torch.stack([probe[name][0].float() for name in scales]),
        arcs,
    )


def heads_on(session: Session, l: int, switches: Switches) -> list[int]:
    """The heads of a block that bring what they read: none where the block or its attention is switched."""
    if f"{l}.block" in switches or f"{l}.attn" in switches:
        return []
    return [h for h in range(session.config.n_head) if f"{l}.head.{h}" not in switches]


def likely(now: Seen, before: Seen) -> Tensor:
    """The tokens that are likeliest in either run, [T, N]."""
    p = torch.maximum(now.logits.softmax(dim=-1), before.logits.softmax(dim=-1))
    return p.topk(min(NEXT, p.size(-1)), dim=-1).indices


def strongest(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The sources of largest weight of each row of [T, T], and these weights: [T, K] each."""
    weight, source = weights.float().topk(min(ARCS, weights.size(-1)), dim=-1)
    return source, weight


@torch.inference_mode()
def answer(session: Session, ask: Scene, tell: Tell) -> dict[str, Any]:
    """See the module's docstring."""
    ids = session.encode(ask.text)
    before = look(session, ids, {})
    tell(0.5)
    now = look(session, ids, ask.switches) if ask.switches else before
    log_p, log_p_before = now.logits.log_softmax(dim=-1), before.logits.log_softmax(dim=-1)
    p, p_before = log_p.exp(), log_p_before.exp()
    shown = likely(now, before)
    follows = torch.tensor(ids[1:], device=p.device)[:, None]
    result: dict[str, Any] = {
        "ids": ids,
        "tokens": [session.word(i) for i in ids],
        "points": points(session.config.n_layer),
        "norms": now.stream.norm(dim=-1),
        "writes": now.writes,
        "scales": now.scales,
        "arcs": now.arcs,
        "next": {
            "ids": shown,
            "p": p.gather(-1, shown),
            "p_before": p_before.gather(-1, shown),
            "logit": now.logits.gather(-1, shown),
        },
        "top": p.argmax(dim=-1),
        "top_before": p_before.argmax(dim=-1),
        "losses": -log_p[:-1].gather(-1, follows)[:, 0],
        "losses_before": -log_p_before[:-1].gather(-1, follows)[:, 0],
        "words": session.words(shown.flatten().tolist()),
    }
    if ask.switches:
        moved = (now.stream - before.stream).norm(dim=-1) / before.stream.norm(dim=-1).clamp(min=1e-30)
        result["moved"] = moved
        result["kl"] = (p_before * (log_p_before - log_p)).sum(dim=-1)
    return result
