"""Off and on: how much each component matters, on a text set and on one text; a continuation with and without.

In: for importance a set of components; to leave one out, also a scene; for a continuation a scene and a way to draw.
Out: loss changes with their intervals over documents (gpt2.explain.off); those of one text, and its predictions
(gpt2.explain.leave_one_out); two texts drawn with the same noise.
"""

from typing import Any, Literal

from pydantic import Field

from gpt2.explain import leave_one_out as left_out
from gpt2.explain import mean, zero
from gpt2.explain.change.before_after import before_after
from gpt2.explain.change.off import off
from gpt2.inference.sampling import Sampling
from gpt2.server.answers.parameters import Parameters, Scene, Whole
from gpt2.server.jobs import Tell
from gpt2.server.session import Session
from gpt2.server.switches import edits

SETS = {"parts": ("*.attn", "*.mlp", "embed.pos"), "heads": ("*.head.*",), "blocks": ("*.block",)}


class Importance(Parameters):
    """Which components, and what stands in for each."""

    components: Literal["parts", "heads", "blocks"] = "parts"
    kind: Literal["mean", "zero"] = "mean"


class LeaveOneOut(Scene, Importance):
    """A scene, which components are left out one at a time, and what stands in for each."""


class Continue(Scene):
    """A scene, and how to continue it."""

    tokens: int = Field(default=24, ge=1, le=200)
    temperature: float = Field(default=0.8, ge=0, le=100)
    top_k: Whole = 0
    top_p: float = Field(default=0.95, gt=0, le=1)
    seed: int = Field(default=0, ge=0, lt=2**64)


def importance(session: Session, ask: Importance, tell: Tell) -> dict[str, Any]:
    """One row per component, the most missed first: loss change with its interval, KL(full || without)."""

    def make() -> dict[str, Any]:
        found = off(
            session.checkpoint, SETS[ask.components], ask.kind, session.excerpt, session.means,
            progress=lambda done, total: tell(done / total),
        )  # fmt: skip
        rows = [
            {
                "address": found.components[k], "kl": found.kl.value[k].item(), "change": found.change.value[k].item(),
                "low": found.change.low[k].item(), "high": found.change.high[k].item(),
            }
            for k in found.order
        ]  # fmt: skip
        return {"rows": rows, "loss": found.loss.value.item(), "text": found.text["text"], "kind": ask.kind}

    return session.kept(("importance", ask.components, ask.kind), make)


def leave_one_out(session: Session, ask: LeaveOneOut, tell: Tell) -> dict[str, Any]:
    """K components on T tokens, in their own order: `change` of the loss on this text, null where it has one token.

    first [T], p [T] the likeliest token with the scene's switches, and its probability; first_without [K, T] and
    p_without [K, T] the likeliest token without each component, and the probability of the former one.
    """
    ids = session.encode(ask.text)

    def make() -> dict[str, Any]:
        replacement = zero if ask.kind == "zero" else mean(session.means)
        found = left_out(
            session.look(ids, ask.switches).run, replacement, SETS[ask.components],
            progress=lambda done, total: tell(done / total),
        )  # fmt: skip
        lossless = len(ids) == 1
        changes = [None] * len(found.names) if lossless else found.change.tolist()
        return {
            "rows": [{"address": name, "change": change} for name, change in zip(found.names, changes)],
            "loss": None if lossless else found.loss, "first": found.first, "p": found.p,
            "first_without": found.first_without, "p_without": found.p_without,
            "words": {i: session.word(i) for i in found.words},
        }  # fmt: skip

    switches = tuple(sorted(ask.switches.items()))
    return session.kept(("leave_one_out", tuple(ids), switches, ask.components, ask.kind), make)


def continuation(session: Session, ask: Continue, tell: Tell) -> dict[str, Any]:
    """`before` with everything on and `after` with the switches, as tokens; `same` is how many agree at the start."""
    session.encode(ask.text)
    sampling = Sampling(
        max_tokens=ask.tokens, temperature=ask.temperature, top_k=ask.top_k or None, top_p=ask.top_p, seed=ask.seed
    )
    found = before_after(session.checkpoint, ask.text, edits(session, ask.switches), sampling, progress=tell)
    return {
        "before": [session.word(i) for i in found.before_ids], "after": [session.word(i) for i in found.after_ids],
        "same": found.same,
    }  # fmt: skip
