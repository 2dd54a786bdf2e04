"""What a live page brings that was measured on many texts: the scores of all heads, and how much components matter.

In: a session. Out: questions with their answers, for the bundled model, which ships them; none for another, since
measuring takes minutes. `python -m scripts.page_parts` measures anew. Read next: live.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt2.explain.live.averages import weights_hash
from gpt2.server.jobs import silent
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session

SHIPPED = Path(__file__).with_name("measured.json")
ASKED: tuple[tuple[str, dict[str, str]], ...] = (
    ("heads", {}),
    *(("importance", {"components": c, "kind": k}) for c in ("parts", "heads", "blocks") for k in ("mean", "zero")),
)

Answered = tuple[str, dict[str, str], dict[str, Any]]


def measured(session: Session) -> Iterator[Answered]:
    """Questions, their parameters and answers, where they were measured on just these weights."""
    shipped = json.loads(SHIPPED.read_text("utf-8"))
    if shipped["weights"] == session.kept(("weights",), lambda: weights_hash(session.checkpoint)):
        yield from shipped["answers"]


def measure(session: Session) -> dict[str, Any]:
    """What is shipped: some minutes of work."""
    answers = []
    for name, parameters in ASKED:
        question = QUESTIONS[name]
        answer = question.answer(session, read_parameters(question, json.dumps(parameters)), silent)
        answers.append([name, parameters, answer])
    return {"weights": weights_hash(session.checkpoint), "answers": answers}
