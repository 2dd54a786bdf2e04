"""What the model would predict if it stopped early: at each place of the stream, for a window of rows.

In: a text, switches, rows [first, stop). Out: for each point and row [P, R] the likeliest token, its probability, the
probability of the token that the whole model (with everything on) predicts there, the rank of the token that really
follows, entropy, and KL(final || lens) (Nostalgebraist 2020; design: the stream's own statistics, then the head).
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.server.answers.parameters import Scene
from gpt2.server.answers.picture import Seen, look, points
from gpt2.server.jobs import Tell
from gpt2.server.session import Session

AT_ONCE = 64  # rows of logits


class Lens(Scene):
    """A scene, and the window of rows that is looked at."""

    first: int = Field(default=0, ge=0)
    stop: int = Field(default=16, ge=1)


@torch.inference_mode()
def answer(session: Session, ask: Lens, tell: Tell) -> dict[str, Any]:
    """See the module's docstring; with switches, also `top_before`, `p_before` and `p_final_before`."""
    ids = session.encode(ask.text)
    first, stop = ask.first, min(ask.stop, len(ids))
    if first >= stop:
        raise UsageError(f"rows {ask.first} to {ask.stop} are outside the text: it has {len(ids)} tokens.")
    before = look(session, ids, {})
    final = before.logits[first:stop].argmax(dim=-1)  # (R,)
    follows = torch.tensor([*ids, -1][first + 1 : stop + 1], device=final.device)

    def read(seen: Seen) -> dict[str, Tensor]:
        return through(session, seen, first, stop, final, follows, tell)

    plain = session.kept(("lens", tuple(ids), first, stop), lambda: read(before))
    result: dict[str, Any] = dict(plain)
    if ask.switches:
        result = read(look(session, ids, ask.switches))
        result |= {f"{name}_before": plain[name] for name in ("top", "p", "p_final")}
    words = {i for name in ("top", "top_before") if name in result for i in result[name].flatten().tolist()}
    result |= {"points": points(session.config.n_layer), "first": first, "final": final}
    return result | {"words": session.words(words | set(final.tolist()))}


def through(
    session: Session, seen: Seen, first: int, stop: int, final: Tensor, follows: Tensor, tell: Tell
) -> dict[str, Tensor]:
    """The lens at every point of the stream [P, T, C], some points at a time; the last is the model's own output."""
    model, n_points = session.model, seen.stream.size(0)
    end = seen.logits[first:stop].log_softmax(dim=-1)  # (R, V)
    step = max(1, AT_ONCE // (stop - first))
    found: list[dict[str, Tensor]] = []
    for p in range(0, n_points - 1, step):
        tell(p / n_points)
        x = seen.stream[p : min(p + step, n_points - 1), first:stop].to(model.transformer.wte.weight.dtype)
        logits = model.head(model.transformer.ln_f(x)).float()
        found.append(measures(logits.log_softmax(dim=-1), end, final, follows))
    found.append(measures(end[None], end, final, follows))
    return {name: torch.cat([one[name] for one in found]) for name in found[0]}


def measures(log_p: Tensor, end: Tensor, final: Tensor, follows: Tensor) -> dict[str, Tensor]:
    """What is shown of distributions log_p [P, R, V], beside the model's own `end` [R, V]: [P, R] each."""

    def index(ids: Tensor) -> Tensor:
        return ids.clamp(min=0)[:, None].expand(len(log_p), -1, 1)

    p, top = log_p.exp().max(dim=-1)
    rank = 1 + (log_p > log_p.gather(-1, index(follows))).sum(dim=-1)
    return {
        "top": top,
        "p": p,
        "p_final": log_p.gather(-1, index(final))[..., 0].exp(),
        "rank": torch.where(follows >= 0, rank, 0),
        "entropy": -(log_p.exp() * log_p).sum(dim=-1),
        "kl": (end.exp() * (end - log_p)).sum(dim=-1),
    }
