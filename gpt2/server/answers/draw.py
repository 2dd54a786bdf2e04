"""How the next token is drawn: the share that each likely token has after temperature, top-k and top-p, and one draw.

In: a scene, a row, the rules' settings, a seed. Out: `shares` [N] of the picture's tokens of that row (0 where a rule
cut it), how many tokens are left, the token drawn, and the text that goes on with it (None where it is not whole).
"""

from typing import Any

from pydantic import Field

from gpt2.base.errors import UsageError
from gpt2.explain.see.flow import likely
from gpt2.inference.sampling import Sampling, choose, distribution
from gpt2.server.answers.parameters import Scene, Whole
from gpt2.server.jobs import Tell
from gpt2.server.session import Session


class Draw(Scene):
    """A scene, a row, and how to draw: as in `gpt2.Sampling`; top_k 0 keeps all."""

    row: Whole
    temperature: float = Field(default=0.8, ge=0, le=100)
    top_k: Whole = 0
    top_p: float = Field(default=0.95, gt=0, le=1)
    seed: int = Field(default=0, ge=0, lt=2**64)


def answer(session: Session, ask: Draw, tell: Tell) -> dict[str, Any]:
    """See the module's docstring."""
    ids = session.encode(ask.text)
    if ask.row >= len(ids):
        raise UsageError(f"there is no row {ask.row}: this text has rows 0 to {len(ids) - 1}.")
    now = session.look(ids, ask.switches)
    logits = now.logits[ask.row : ask.row + 1]
    shown = likely(now, session.look(ids, {}), ask.row)
    sampling = Sampling(
        temperature=ask.temperature, top_k=ask.top_k or None, top_p=ask.top_p, seed=ask.seed, max_tokens=1
    )
    prefix = ids[: ask.row + 1]
    (shares,) = distribution(logits, [prefix], sampling)
    (token,) = choose(logits, [prefix], [0], sampling)
    longer = [*prefix, token]
    text = session.tokenizer.decode(longer)
    return {
        "ids": shown,
        "shares": shares[shown],
        "kept": int(shares.count_nonzero()),
        "token": token,
        "word": session.word(token),
        "text": text if session.tokenizer.encode(text) == longer else None,
    }
