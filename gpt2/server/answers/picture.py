"""The picture itself: the streams' thickness, the arcs of attention, what each step writes, the next tokens.

In: a text and switches. Out: numbers for every row (token), with those of the run with everything on beside them
(gpt2.explain.see.flow).

    points       embed.out, 0.resid_mid, 0.resid_post, 1.resid_mid, ...: P = 2L + 1 places along the stream
    norms        [P, T] length of the stream's vector; `moved` [P, T]: ||changed - original|| / ||original||
    writes       [2L, T] length of what attention (even) and MLP (odd) of each block add
    scales       [2L + 1, T] sigma of ln_1, ln_2 of each block, then of the final norm
    arcs         the K strongest sources of each row in each block: `from` [L, T, K], `weight` [L, T, K]
    next         the likeliest tokens of each row, in this run or the original one: [T, N]
    losses       [T - 1] -log p of the token that really follows; kl [T]: KL(original || this run)
"""

from typing import Any

from gpt2.explain.see.flow import beside
from gpt2.server.answers.parameters import Scene
from gpt2.server.jobs import Tell
from gpt2.server.session import Session


def answer(session: Session, ask: Scene, tell: Tell) -> dict[str, Any]:
    """See the module's docstring."""
    ids = session.encode(ask.text)
    before = session.look(ids, {})
    tell(0.5)
    now = session.look(ids, ask.switches) if ask.switches else before
    found = beside(now, before)
    result: dict[str, Any] = {
        "ids": ids,
        "tokens": [session.word(i) for i in ids],
        "points": list(now.points),
        "norms": now.norms,
        "writes": now.writes,
        "scales": now.scales,
        "arcs": {
            "mean": {"from": now.mean.source, "weight": now.mean.weight},
            "written": {"from": now.written.source, "weight": now.written.weight},
        },
        "next": {"ids": found.ids, "p": found.p, "p_before": found.p_before, "logit": found.logit},
        "top": found.top,
        "top_before": found.top_before,
        "losses": found.losses,
        "losses_before": found.losses_before,
        "words": session.words(found.ids.flatten().tolist()),
    }
    if ask.switches:
        result["moved"] = found.moved
        result["kl"] = found.kl
    return result
