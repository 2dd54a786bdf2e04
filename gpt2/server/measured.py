"""What a live page brings that was measured on many texts: the scores of all heads, and how much components matter.

In: a session. Out: questions with their answers. The bundled model ships them; for another they are measured while its
page is written, where that is asked for, since it takes minutes. `python -m scripts.page_parts` measures the shipped
ones anew. Read next: live.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt2.explain.live.averages import model_hash
from gpt2.server.jobs import Tell, silent
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.switches import components

SHIPPED = Path(__file__).with_name("measured.json")
ASKED: tuple[tuple[str, dict[str, str]], ...] = (
    ("heads", {}),
    *(("importance", {"components": c, "kind": k}) for c in ("parts", "heads", "blocks") for k in ("mean", "zero")),
)
BEFORE = "measured before the weights were rounded to 8 bits"

Answered = tuple[str, dict[str, str], dict[str, Any]]


def measured(session: Session) -> Iterator[Answered]:
    """Questions, their parameters and answers, where they were measured on just this model, or on the one whose weights
    were rounded to its own: then the answers say so."""
    shipped = json.loads(SHIPPED.read_text("utf-8"))
    rounded = session.rounded is not None
    if shipped["model"] == (session.rounded.original if session.rounded else model_hash(session.checkpoint)):
        for name, parameters, answer in shipped["answers"]:
            yield name, parameters, {**answer, "text": f"{answer['text']}; {BEFORE}"} if rounded else answer


def measure(session: Session, tell: Tell = silent) -> Iterator[Answered]:
    """The same measured now, on the session's texts: some minutes of work. `tell` hears the share that is done."""
    weights = [_work(session, parameters) for _, parameters in ASKED]
    done = 0.0
    for (name, parameters), weight in zip(ASKED, weights, strict=True):
        question = QUESTIONS[name]
        begun, part = done, weight / sum(weights)

        def told(share: float = 0.0, partial: Any = None, begun: float = begun, part: float = part) -> None:
            tell(begun + share * part)

        yield name, parameters, question.answer(session, read_parameters(question, json.dumps(parameters)), told)
        done += part


def _work(session: Session, parameters: dict[str, str]) -> int:
    """About how much one question takes beside another: a pass for each component, and each head for the scores."""
    kind, names = parameters.get("components", "heads"), components(session.config)
    ends = {"parts": (".attn", ".mlp", "embed.pos"), "blocks": (".block",), "heads": ()}[kind]
    return sum(name.endswith(ends) if ends else ".head." in name for name in names)
