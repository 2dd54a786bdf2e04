"""One sample of one request while it is in a batch, and the draw of the next tokens of several.

In: logits of rows whose settings differ. Out: a token for each, or the error of that row alone. Read next: batch.py.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from gpt2.inference.engine.request import Request
from gpt2.inference.engine.ticket import Ticket
from gpt2.inference.generate import without
from gpt2.inference.row import Row
from gpt2.inference.sampling import Sampling, TokenLogprob, choose, log_probabilities

T = TypeVar("T")


@dataclass(eq=False)
class Running:
    """A row of a batch.

    request, ticket  what is answered
    row              the text as it grows; None where only the prompt is scored
    ids              prompt and output
    reserved         positions that it may come to hold
    start            where in `ids` the window begins that the model reads: position 0
    scored           the log probabilities of the prompt's tokens, as far as they are known; None: not asked of this row
    looked           whether a beginning that is known already has been looked for
    """

    request: Request
    ticket: Ticket
    row: Row | None
    ids: list[int]
    reserved: int
    start: int = 0
    scored: list[TokenLogprob | None] | None = None
    looked: bool = False

    def __post_init__(self) -> None:
        """What of its settings decides the next token; equal for rows that can be drawn at once."""
        sampling = self.request.sampling or Sampling()
        self.kind = replace(
            sampling, seed=0, n=1, max_tokens=1, max_length=None, stop=(), ignore_eos=False, slide=True, truncate=None
        )

    @property
    def window(self) -> list[int]:
        """What the model reads."""
        return self.ids[self.start :] if self.start else self.ids

    @property
    def length(self) -> int:
        """How many tokens the window has."""
        return len(self.ids) - self.start

    @property
    def sample(self) -> int:
        """Which sample of its request this is."""
        return 0 if self.row is None else self.row.sample


@dataclass(frozen=True)
class Drawn:
    """A token for a row, or the error that ends its request."""

    token: int = 0
    logprob: TokenLogprob | None = None
    error: Exception | None = None


def draw(logits: Tensor, rows: Sequence[Running], holes: Sequence[int]) -> list[Drawn]:
    """What follows each of R rows, drawn at once for those with equal settings.

    logits  [R, V], raw
    holes   ids that no token has
    """
    scores, drawn = without(logits, holes), [Drawn()] * len(rows)
    alike: dict[Sampling, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        alike[row.kind].append(index)

    def some(indices: list[int]) -> list[Drawn]:
        whole = len(indices) == len(rows)
        mine, kind = [rows[i] for i in indices], rows[indices[0]].kind
        tokens = choose(
            scores if whole else scores[indices],
            [row.ids for row in mine],
            [row.sample for row in mine],
            kind,
            starts=[len(row.ticket.ids) for row in mine],
            seeds=[row.request.sampling.seed if row.request.sampling else 0 for row in mine],
        )
        if kind.logprobs is None:
            return [Drawn(token) for token in tokens]
        found = log_probabilities(logits if whole else logits[indices], tokens, kind.logprobs)
        return [Drawn(token, logprob) for token, logprob in zip(tokens, found)]

    for indices in alike.values():
        for index, one in zip(indices, each_apart(some, indices)):
            drawn[index] = one if isinstance(one, Drawn) else Drawn(error=one)
    return drawn


def each_apart(work: Callable[[list[int]], Sequence[T]], indices: list[int]) -> list[T | Exception]:
    """`work` over all of these at once; where that raises, over each alone, so that only the cause of it fails."""
    try:
        return [*work(indices)]
    except Exception as error:
        if len(indices) == 1:
            return [error]
    return [one for index in indices for one in each_apart(work, [index])]
