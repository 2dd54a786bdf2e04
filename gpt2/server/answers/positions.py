"""Positions and neighbours: how alike the position vectors are, and which tokens lie near one in the embedding.

In: how many positions; a token. Out: cosine similarities; the nearest tokens.
"""

from typing import Any

from pydantic import Field

from gpt2.explain.see.embeddings import neighbours, position_similarity
from gpt2.server.answers.parameters import Parameters, Whole
from gpt2.server.jobs import Tell
from gpt2.server.session import Session

CELLS = 96
NEAREST = 12


class Positions(Parameters):
    """The first `count` positions; more than 96 are thinned out evenly."""

    count: int = Field(default=64, ge=2, lt=2**31)


class Neighbours(Parameters):
    """A token by its id."""

    token: Whole


def positions(session: Session, ask: Positions, tell: Tell) -> dict[str, Any]:
    """`cosine` [n, n] between the vectors of the positions `at` [n], and the vectors' `norms` [n]."""
    found = session.kept(("positions",), lambda: position_similarity(session.model))
    at, some = found.thinned(ask.count, CELLS)
    return {"cosine": some.cosines, "at": at, "norms": some.norms}


def near(session: Session, ask: Neighbours, tell: Tell) -> dict[str, Any]:
    """The tokens whose vectors have the largest cosine with this token's; mean and deviation of all others'."""
    found = neighbours(session.model, ask.token, NEAREST)
    rows = [{"id": i, "word": session.word(i), "cosine": c} for i, c in zip(found.ids.tolist(), found.cosines.tolist())]
    return {"word": session.word(ask.token), "nearest": rows, "typical": list(found.typical)}
