"""What the model would predict if it stopped early: at each place of the stream, for a window of rows.

In: a text, switches, rows [first, stop). Out: for each point and row [P, R] the likeliest token, its probability, the
probability of the token that the whole model (with everything on) predicts there, the rank of the token that really
follows, entropy, and KL(final || lens) (Nostalgebraist 2020; design: the stream's own statistics, then the head).
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from gpt2.errors import UsageError
from gpt2.server.answers.parameters import Scene
from gpt2.server.answers.picture import Seen, look, points
from gpt2.server.jobs import Tell
from gpt2.server.session import Session


class Lens(Scene):
    """A scene, and the window of rows that is looked at."""

    first: int = Field(default=0, ge=0)
    stop: int = Field(default=16, ge=1)


@torch.inference_mode()
def answer(session: Session, ask: Lens, tell: Tell) -> dict[str, Any]:
    """See the module's docstring; with switches, also `top_before` and `p_top_before`."""
    ids = session.encode(ask.text)
    first, stop = ask.first, min(ask.stop, len(ids))
    if first >= stop:
        raise UsageError(f"rows {ask.first} to {ask.stop} are outside the text: it has {len(ids)} tokens.")
    before = look(session, ids, {})
    final = before.logits[first:stop].argmax(dim=-1)  # (R,)
    follows = torch.tensor([*ids, -1][first + 1 : stop + 1])
    result = through(session, look(session, ids, ask.switches), first, stop, final, follows, tell)
    result |= {"points": points(session.config.n_layer), "first": first, "final": final}
    words = set(result["top"].flatten().tolist()) | set(final.tolist())
    if ask.switches:
        plain = through(session, before, first, stop, final, follows, tell)
        result |= {f"{name}_before": plain[name] for name in ("top", "p", "p_final")}
        words |= set(plain["top"].flatten().tolist())
    return result | {"words": session.words(words)}


def through(
    session: Session, seen: Seen, first: int, stop: int, final: Tensor, follows: Tensor, tell: Tell
) -> dict[str, Tensor]:
    """The lens at every point of the stream [P, T, C], one point at a time; the last one is the model's own output."""
    n_points, model = seen.stream.size(0), session.model
    rows: list[dict[str, Tensor]] = []
    end = seen.logits[first:stop].log_softmax(dim=-1)
    for index in range(n_points):
        tell(index / n_points)
        if index == n_points - 1:
            logits = seen.logits[first:stop]
        else:
            x = seen.stream[index, first:stop].to(model.transformer.wte.weight.dtype)
            logits = model.head(model.transformer.ln_f(x)).float()
        log_p = logits.log_softmax(dim=-1)  # (R, V)
        p, top = log_p.exp().max(dim=-1)
        known = log_p.gather(-1, follows.clamp(min=0)[:, None])
        rank = (log_p > known).sum(dim=-1) + 1
        rows.append({
            "top": top,
            "p": p,
            "p_final": log_p.gather(-1, final[:, None])[:, 0].exp(),
            "rank": torch.where(follows >= 0, rank, 0),
            "entropy": -(log_p.exp() * log_p).sum(dim=-1),
            "kl": (end.exp() * (end - log_p)).sum(dim=-1),
        })  # fmt: skip
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
