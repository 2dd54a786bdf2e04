"""Surprisal by word: the sum over a word's tokens, and the same corrected for the leading space.

In: words, what the model predicts at their boundaries, the log probabilities of their tokens. Out: `WordScore`s.

A token of GPT-2 begins with its space, so that a space says that the word before it has ended. The sum over the tokens
of a word thus charges it for the end of the word before, and not for its own. Pimentel and Meister (2024, "How to
compute the probability of a word", section 3) and Oh and Schuler (2024, "Leading whitespaces of language models'
subword vocabulary pose a confound for calculating word probabilities") move that charge to where it belongs:

    corrected(w) = surprisal(w) - boundary before w + boundary after w
    boundary = -log2 P(the next token begins a new word, or the text ends | all before it)

The boundaries after one word and before the next are the same, so the corrected words of a text sum to its surprisal,
plus the boundary after the last word, minus the boundary before the first.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gpt2.evaluation.word_boundaries import Word


class Boundary(Protocol):
    """The natural log probabilities of the two sets of word_boundaries.py at one place."""

    @property
    def ended(self) -> float:
        """Of the tokens before which a word has ended."""
        ...

    @property
    def attached(self) -> float:
        """Of the tokens that begin a word without white space."""
        ...


@dataclass(frozen=True)
class WordScore:
    """A word with its surprisals in bits.

    word         without the white space before it; "" for white space at the end of a text
    first, stop  its tokens' places among those of the text, `stop` not included
    uncorrected  the sum of its tokens' surprisals, the white space before it included
    corrected    with the correction for the leading space
    before       the boundary term before it; that of a word without white space before it (the first of a text) is
                 -log2 P(the next token does not begin with white space)
    after        the boundary term after it

    Where the first token of the word has no score, the word has none. White space at the end of a text is no word:
    `corrected` is as `uncorrected` there, and it has no boundary terms.
    """

    word: str
    first: int
    stop: int
    uncorrected: float | None
    corrected: float | None
    before: float | None
    after: float | None


def bits(log_prob: float | None) -> float | None:
    """The surprisal in bits of a natural log probability."""
    return None if log_prob is None else -log_prob / math.log(2) + 0.0


def scored(
    words: Sequence[tuple[Word, Boundary | None, Boundary]], log_probs: Sequence[float | None]
) -> Iterator[WordScore]:
    """A score for each word: (the word, what is predicted at its first token, and at the one after it).

    log_probs  of the text's tokens, natural
    """
    for number, (word, before, after) in enumerate(words):
        parts = [x for x in log_probs[word.first : word.stop] if x is not None]
        uncorrected = bits(math.fsum(parts)) if len(parts) == word.stop - word.first else None
        place = word.text, word.first, word.stop, uncorrected
        if not word.text:
            yield WordScore(*place, uncorrected, None, None)
            continue
        start = None if before is None else bits(before.ended if word.spaced else before.attached)
        next_spaced = number + 1 == len(words) or words[number + 1][0].spaced
        end = bits(after.ended if next_spaced else after.attached)
        corrected = None if uncorrected is None or start is None or end is None else uncorrected - start + end
        yield WordScore(*place, corrected, start, end)
