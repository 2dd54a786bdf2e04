"""Attention of one block: all heads small, and one head in full.

In: a text, switches, a block, a head. Out: patterns A [T, T] (row i: how much position i reads from each j <= i), and
the value-weighted ones A[i, j] ||v_j W_O||, the size of what is written (Kobayashi et al. 2020). Thumbnails of long
texts are reduced by taking the largest weight of each cell.
"""

from typing import Any, Literal

from gpt2.base.errors import UsageError
from gpt2.explain.change.heads import heads
from gpt2.explain.change.off import excerpt
from gpt2.explain.see.attention import Attention, attention
from gpt2.server.answers.parameters import Parameters, Scene, Whole
from gpt2.server.jobs import Tell
from gpt2.server.session import Session, Switches

THUMB = 32  # cells along each side


class Block(Scene):
    """A scene and a block."""

    block: Whole


class Head(Block):
    """A scene, a block and one of its heads."""

    head: Whole


def block(session: Session, ask: Block, tell: Tell) -> dict[str, Any]:
    """Thumbnails [H, n, n], the `mean` over heads [T, T], and what each head does on this text: mean weight on the
    previous token, on the first and on itself, and the share of the row that is spread (entropy / log(i + 1))."""
    found = read(session, session.encode(ask.text), ask.switches, ask.block, "*")
    return {"mean": found.mean, "thumbs": found.thumbnails(THUMB), **found.habits()}


def head(session: Session, ask: Head, tell: Tell) -> dict[str, Any]:
    """`pattern` and `written` [T, T] of one head; with switches the pattern of the original run too."""
    if ask.head >= session.config.n_head:
        raise UsageError(f"there is no head {ask.head}: each block has 0 to {session.config.n_head - 1}.")
    ids = session.encode(ask.text)
    now = read(session, ids, ask.switches, ask.block, ask.head)
    result = {"pattern": now.pattern[0], "written": now.written[0]}
    if ask.switches:
        before = read(session, ids, {}, ask.block, ask.head)
        result |= {"pattern_before": before.pattern[0], "written_before": before.written[0]}
    return result


def read(session: Session, ids: list[int], switches: Switches, l: int, h: int | Literal["*"]) -> Attention:
    """The patterns of one head of a block, or of all."""
    if l >= session.config.n_layer:
        raise UsageError(f"there is no block {l}: this model has 0 to {session.config.n_layer - 1}.")
    return attention(session.trace(ids, switches, (f"{l}.attn.pattern", f"{l}.attn.v")), f"{l}.head.{h}")


class Report(Parameters):
    """No parameters: a head report is about the model, not about a text."""


def report(session: Session, ask: Report, tell: Tell) -> dict[str, Any]:
    """Scores of every head with the labels they deserve (gpt2.explain.heads): {"0.head.3": {scores, labels}}; and
    on which natural text."""

    def make() -> dict[str, Any]:
        natural = excerpt(session.checkpoint, session.texts, tokens=256)
        found = heads(session.checkpoint, natural, progress=lambda done, total: tell(done / total))
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
        return {
            "heads": listed,
            "verdict": found.verdict(),
            "uniform": dict(found.random.uniform),
            "text": natural.name,
        }

    return session.kept(("heads",), make)
