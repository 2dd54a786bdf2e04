"""One number of the run, and the calculation that made it (gpt2.explain.walk.calculation).

In: a text, switches, where the number stands. Out: `kind`, `value`, `computed`, `numbers`, and the `word` of the
token where there is one for each index; of its terms those that weigh most, `left` and `right` [n], at which of the
`of` places they stand, `at` [n], and the sum of the `rest`.
"""

from typing import Any

from gpt2.explain.walk.calculation import calculation, to_read
from gpt2.server.answers.parameters import Scene, Whole, Word
from gpt2.server.jobs import Tell
from gpt2.server.session import Session

TERMS = 40


class Number(Scene):
    """A scene, an address such as "3.attn.scores" or "probability", the head where it has heads, and an index."""

    address: Word
    row: Whole
    index: Whole
    head: Whole | None = None


def answer(session: Session, ask: Number, tell: Tell) -> dict[str, Any]:
    """See the module's docstring."""
    read = to_read(ask.address, session.config.n_layer)
    run = session.trace(session.encode(ask.text), ask.switches, read)
    found = calculation(run, ask.address, ask.row, ask.index, ask.head)
    told = {name: getattr(found, name) for name in ("kind", "value", "computed", "numbers")}
    word = session.word(ask.index) if ask.address in ("logits", "probability") else ""
    return told | vars(found.terms(TERMS)) | {"word": word}
