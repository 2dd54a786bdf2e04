"""What the model would predict if it stopped early: at each place of the stream, for a window of rows.

In: a text, switches, rows [first, stop). Out: for each point and row [P, R] the likeliest token, its probability, the
probability of the token that the whole model (with everything on) predicts there, the rank of the token that really
follows, entropy, and KL(final || lens) (Nostalgebraist 2020; design: the stream's own statistics, then the head).
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from gpt2.base.errors import UsageError
from gpt2.explain import lens
from gpt2.explain.see.flow import Flow, flow_points
from gpt2.explain.see.lens_again import joined, log_probabilities, unchanged
from gpt2.server.answers.parameters import Scene, Whole
from gpt2.server.jobs import Tell
from gpt2.server.session import Session

HELD = 2**24  # numbers as wide as the vocabulary that are kept


class Lens(Scene):
    """A scene, and the window of rows that is looked at."""

    first: Whole = 0
    stop: int = Field(default=16, ge=1, lt=2**31)


def answer(session: Session, ask: Lens, tell: Tell) -> dict[str, Any]:
    """See the module's docstring; with switches, also `top_before`, `p_before` and `p_final_before`."""
    ids = session.encode(ask.text)
    first, stop = ask.first, min(ask.stop, len(ids))
    if first >= stop:
        raise UsageError(f"rows {ask.first} to {ask.stop} are outside the text: it has {len(ids)} tokens.")
    before = session.look(ids, {})
    final = before.top[first:stop]  # (R,)
    points = flow_points(session.config.n_layer)

    def read(now: Flow, some: Sequence[str]) -> dict[str, Any]:
        found = lens(now.run, some, first=first, stop=stop, answers=final, progress=tell)
        return {
            "top": found.top_ids[..., 0], "p": found.probability, "p_final": found.answer_probability,
            "rank": found.next_rank, "entropy": found.entropy, "kl": found.kl,
        }  # fmt: skip

    plain = session.kept(("lens", tuple(ids), first, stop), lambda: read(before, points))
    result = dict(plain)
    if ask.switches:
        now = session.look(ids, ask.switches)
        k = unchanged(session.config.n_layer, ask.switches)
        wide = len(points) * (stop - first) * session.config.vocab_size
        if k and wide <= HELD:  # what is before the first switch is not read again, but for its distance from the end
            name = ("lens log p", tuple(ids), first, stop)
            early = session.kept(name, lambda: log_probabilities(before, points, first, stop))
            result = joined(plain, read(now, points[k:]), early[:k], now.logits[first:stop])
        else:
            result = read(now, points)
        result |= {f"{name}_before": plain[name] for name in ("top", "p", "p_final")}
    words = {i for name in ("top", "top_before") if name in result for i in result[name].flatten().tolist()}
    result |= {"points": list(points), "first": first, "final": final}
    return result | {"words": session.words(words | set(final.tolist()))}
