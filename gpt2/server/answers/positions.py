"""Positions and neighbours: how alike the position vectors are, and which tokens lie near one in the embedding.

In: how many positions; a token. Out: cosine similarities; the nearest tokens.
"""

from typing import Any

import torch
from pydantic import Field

from gpt2.errors import UsageError
from gpt2.server.answers.parameters import Parameters
from gpt2.server.jobs import Tell
from gpt2.server.session import Session

CELLS = 96
NEAREST = 12


class Positions(Parameters):
    """The first `count` positions; more than 96 are thinned out evenly."""

    count: int = Field(default=64, ge=2)


class Neighbours(Parameters):
    """A token by its id."""

    token: int = Field(ge=0)


@torch.inference_mode()
def positions(session: Session, ask: Positions, tell: Tell) -> dict[str, Any]:
    """`cosine` [n, n] between the vectors of the positions `at` [n], and the vectors' `norms` [n]."""
    count = min(ask.count, session.config.n_positions)
    at = torch.linspace(0, count - 1, min(count, CELLS)).round().long()
    vectors = session.model.transformer.wpe.weight[at].float()
    unit = vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    return {"cosine": unit @ unit.t(), "at": at, "norms": vectors.norm(dim=-1)}


@torch.inference_mode()
def neighbours(session: Session, ask: Neighbours, tell: Tell) -> dict[str, Any]:
    """The tokens whose vectors have the largest cosine with this token's: ids, words, cosines."""
    table = session.model.transformer.wte.weight.float()
    if ask.token >= table.size(0):
        raise UsageError(f"there is no token {ask.token}: this model has 0 to {table.size(0) - 1}.")
    unit = table / table.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    cosine, nearest = (unit @ unit[ask.token]).topk(min(NEAREST + 1, table.size(0)))
    rows = [
        {"id": i, "word": session.word(i), "cosine": c}
        for i, c in zip(nearest.tolist(), cosine.tolist())
        if i != ask.token
    ]
    return {"word": session.word(ask.token), "nearest": rows[:NEAREST]}
