"""How the next token is drawn: the share that each likely token has after temperature, top-k and top-p, and one draw.

In: a scene, a row, the rules' settings, a seed. Out: `shares` [N] of the picture's tokens of that row (0 where a rule
cut it), how many tokens are left, the token drawn, and the text that goes on with it (None where it is not whole).
"""

from typing import Any

import torch
from pydantic import Field

from gpt2.base.errors import UsageError
from gpt2.inference.sampling import Sampling, choose, keep_top_k, keep_top_p
from gpt2.server.answers.parameters import Scene
from gpt2.server.answers.picture import likely, look
from gpt2.server.jobs import Tell
from gpt2.server.session import Session


class Draw(Scene):
    """A scene, a row, and how to draw: as in `gpt2.Sampling`; top_k 0 keeps all."""

    row: int = Field(ge=0)
    temperature: float = Field(default=0.8, ge=0, le=100, strict=False)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1, strict=False)
    seed: int = Field(default=0, ge=0, lt=2**64)


@torch.inference_mode()
def answer(session: Session, ask: Draw, tell: Tell) -> dict[str, Any]:
    """See the module's docstring."""
    ids = session.encode(ask.text)
    if ask.row >= len(ids):
        raise UsageError(f"there is no row {ask.row}: this text has rows 0 to {len(ids) - 1}.")
    now = look(session, ids, ask.switches)
    logits = now.logits[ask.row : ask.row + 1]
    shares = after_rules(logits, ask)
    shown = likely(now, look(session, ids, {}))[ask.row]
    sampling = Sampling(
        temperature=ask.temperature, top_k=ask.top_k or None, top_p=ask.top_p, seed=ask.seed, max_tokens=1
    )
    prefix = ids[: ask.row + 1]
    (token,) = choose(logits, [prefix], [0], sampling)
    longer = [*prefix, token]
    text = session.tokenizer.decode(longer)
    return {
        "ids": shown,
        "shares": shares[shown],
        "kept": int((shares > 0).sum()),
        "token": token,
        "word": session.word(token),
        "text": text if session.tokenizer.encode(text) == longer else None,
    }


def after_rules(logits: torch.Tensor, ask: Draw) -> torch.Tensor:
    """The distribution [V] that a draw is from, of logits [1, V]; rules in the order of gpt2.inference.sampling."""
    if ask.temperature == 0:
        return torch.zeros_like(logits[0]).index_fill(0, logits.argmax(dim=-1), 1.0)
    scores = (logits - logits.amax()) / max(ask.temperature, 1e-30)
    if ask.top_k:
        scores = keep_top_k(scores, ask.top_k)
    return keep_top_p(scores, ask.top_p).softmax(dim=-1)[0]
