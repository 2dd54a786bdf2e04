"""A second model beside the page's own: what the two must share, so that their answers can be compared.

In: a session, another checkpoint. Out: a session of that one. Read next: app.py, web/details/compare.js.

Two predictions are compared token by token, so both models must read with the same tokenizer. Blocks and heads are
compared where both have them; for models of other sizes the page compares predictions and losses, and says so.
"""

from typing import TYPE_CHECKING

from gpt2.base.errors import UsageError
from gpt2.server.session import Session

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint

PROBE = "One day, a dog found 12 ünlike things: \n\t1.50 in the park's \u4e2d."  # read to compare rules of splitting


def other_session(session: Session, checkpoint: "Checkpoint") -> Session:
    """The session of the second model. UsageError for one whose tokens are not those of the first."""
    mine, theirs = session.tokenizer, checkpoint.tokenizer
    labels = (
        [tokenizer.label(i) for i in range(tokenizer.vocab_size)] if tokenizer is not None else None
        for tokenizer in (mine, theirs)
    )
    ours, others = labels
    if ours != others or mine.encode(PROBE) != theirs.encode(PROBE):
        raise UsageError(
            f"{session.name} and {checkpoint.name} read text with different tokenizers, so their predictions are about "
            "different tokens and cannot be compared: choose two models with the same tokenizer."
        )
    return Session(checkpoint)
