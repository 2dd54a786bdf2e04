"""Patching: which place carries the difference between two prompts (gpt2.explain.change.patching).

In: a clean and a corrupt prompt of equal token length, target and foil, a grid, a direction. Out: scores [L, K], told
cell by cell while they come.
"""

from typing import Any, Literal

import torch

from gpt2.explain.change.patching import Patching
from gpt2.server.answers.parameters import Parameters, Word
from gpt2.server.jobs import Tell
from gpt2.server.session import Session


class Patch(Parameters):
    """Two prompts, and what is patched from one run into the other."""

    clean: str
    corrupt: str
    target: Word = ""
    foil: Word = ""
    grid: Literal["resid", "attn", "mlp", "head"] = "resid"
    direction: Literal["denoise", "noise"] = "denoise"


def answer(session: Session, ask: Patch, tell: Tell) -> dict[str, Any]:
    """`scores` [L, K]: 0 where patching changed nothing, 1 where it moved the whole difference; not clipped."""
    session.encode(ask.clean), session.encode(ask.corrupt)
    target = session.token(ask.target) if ask.target else None
    foil = session.token(ask.foil) if ask.foil else None
    sweep = Patching(session.checkpoint, ask.clean, ask.corrupt, target, foil, ask.direction)
    scores = torch.full((session.config.n_layer, sweep.columns(ask.grid)), torch.nan)
    for done, cell in enumerate(sweep.cells(ask.grid), start=1):
        scores[cell.layer, cell.column] = cell.score
        tell(done / scores.numel(), {"scores": scores})
    grid = sweep.as_grid(ask.grid, scores, "exact")
    return {
        "scores": scores, "columns": list(grid.columns), "target": grid.target, "foil": grid.foil,
        "m_clean": grid.m_clean, "m_corrupt": grid.m_corrupt, "title": grid.title, "differs": sweep.differs,
    }  # fmt: skip
