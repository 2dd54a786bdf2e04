"""How a text longer than the context is read: in windows that begin one stride after the other.

In: token ids, the size of a window, the stride. Out: windows, each with the targets that it scores; every target is
scored once. Read next: bits_per_byte.py, token_scores.py.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpt2.base.errors import UsageError
from gpt2.loss import IGNORED
from gpt2.model import GPT2

Spans = tuple[Sequence[int], Sequence[int]]
"""Spans of targets that belong together: the place in the text of each one's first target, and of each one's last."""


@dataclass(frozen=True)
class Window:
    """Inputs ids[start:stop] of a sequence, whose targets ids[start + 1 : stop + 1] count from the `skip`-th on."""

    ids: Sequence[int]
    start: int
    stop: int
    skip: int

    def inputs(self) -> list[int]:
        """The tokens that the model reads."""
        return list(self.ids[self.start : self.stop])

    def targets(self) -> list[int]:
        """The token that follows each input; -100 where an earlier window scored it."""
        return [IGNORED] * self.skip + list(self.ids[self.start + self.skip + 1 : self.stop + 1])

    def __len__(self) -> int:
        return self.stop - self.start


def windows(ids: Sequence[int], context: int, stride: int, spans: Spans | None = None) -> Iterator[Window]:
    """Cut a sequence (its first id is context only) into windows of at most `context`, one every `stride` tokens.

    spans  what a window scores as a whole, in the order of the text; targets outside all of them are not scored.
           Without spans each target stands for itself, and with a stride above `context` the tokens between two
           windows are scored by none. With spans a window begins earlier than the stride says, at the latest one
           token before the next span.

    Raises ValueError for a span that no window can hold.
    """
    firsts, lasts = (range(1, len(ids)),) * 2 if spans is None else spans
    done = start = 0
    while done < len(firsts):
        fit = bisect_right(lasts, start + context, lo=done)
        if fit > done:
            yield Window(ids, start, lasts[fit - 1], firsts[done] - start - 1)
            done = fit
        elif firsts[done] - 1 == start:
            raise ValueError(f"{lasts[done] - firsts[done] + 1} tokens belong together, the context is {context}.")
        start += stride
        if spans is None:
            done = bisect_right(firsts, start, lo=done)
        elif done < len(firsts):
            start = min(start, firsts[done] - 1)


def batches(plan: Sequence[Window], batch_tokens: int) -> Iterator[list[Window]]:
    """Batches of about `batch_tokens`, the longest windows first: with similar lengths together, little is padding."""
    left = sorted(plan, key=lambda w: -len(w))
    while left:
        n = max(1, batch_tokens // len(left[0]))
        yield left[:n]
        left = left[n:]


def padded(rows: Sequence[Sequence[int]], filler: int, device: torch.device) -> Tensor:
    """Ids [R, T]; shorter rows are filled up on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows], device=device)


def window_sizes(model: GPT2, context: int | None, stride: int | None, least: int = 1) -> tuple[int, int]:
    """The size of a window (default: the model's context) and the stride (default: half of it).

    Raises UsageError for a context that is not `least` to the model's, or a stride that is not 1 to the context.
    """
    limit = model.config.n_positions
    context = limit if context is None else context
    if not least <= context <= limit:
        raise UsageError(argument="context", value=context, mend=f"this model takes {least} to {limit}.")
    stride = max(1, context // 2) if stride is None else stride
    if not 1 <= stride <= context:
        raise UsageError(argument="stride", value=stride, mend=f"it must be 1 to the context, {context}.")
    return context, stride
