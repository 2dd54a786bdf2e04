"""Why this token: what each component adds to its logit, or to its lead over a foil; then neurons, then sources.

In: a scene, a row, a target and a foil (words of one token; "" is the prediction, and the runner-up), and the
component to divide further: an MLP into neurons, a head into source positions. Out: gpt2.explain.attribution's parts.
"""

from typing import Any

from gpt2.explain.see.attribution import Attribution
from gpt2.explain.see.attribution import attribution as attribute
from gpt2.server.answers.parameters import Scene, Whole, Word
from gpt2.server.jobs import Tell
from gpt2.server.session import Session

SHOWN = 24  # neurons and sources; components are all shown


class Why(Scene):
    """A scene, a row, and the question."""

    row: Whole
    target: Word = ""
    foil: Word = ""
    of: Word = ""


def answer(session: Session, ask: Why, tell: Tell) -> dict[str, Any]:
    """`parts` [{name, kind, label, value}], their `whole`, the remaining `error`, and the range it compares with."""
    ids = session.encode(ask.text)
    run = session.trace(ids, ask.switches, finer(ask.of))
    at = run.position(ask.row)
    target = session.token(ask.target) if ask.target else session.look(ids, ask.switches).likeliest(at, 1)[0]
    foil = ask.foil if ask.foil == "mean" else session.token(ask.foil) if ask.foil else None
    found = attribute(run, target, foil, at, of=ask.of or None)
    return {**parts(found, None if not ask.of else SHOWN), "target_id": target}


def finer(of: str) -> tuple[str, ...]:
    """What gpt2.explain.attribution reads to divide a component, so that the run is made once."""
    l, _, rest = of.partition(".")
    if not l.isdecimal():
        return ()
    inside = (
        ("mlp.post", "mlp.out") if rest == "mlp" else ("attn.pattern", "attn.v") if rest.startswith("head.") else ()
    )
    return tuple(f"{l}.{point}" for point in inside)


def parts(found: Attribution, most: int | None) -> dict[str, Any]:
    """An Attribution for the page; with `most`, the largest parts, and the sum of all others as one."""
    listed, others = (list(range(len(found.names))), 0.0) if most is None else found.largest(most)
    shown = [
        {"name": found.names[i], "kind": found.kinds[i], "label": found.labels[i], "value": float(found.values[i])}
        for i in listed
    ]
    if rest := len(found.names) - len(listed):
        shown.append({"name": "rest", "kind": "rest", "label": f"{rest} more", "value": others})
    return {
        "parts": shown, "whole": found.whole, "error": found.error, "spread": found.spread,
        "target": found.target, "foil": found.foil, "question": found.question,
    }  # fmt: skip
