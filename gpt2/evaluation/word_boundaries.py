"""Where words begin and end among tokens, and which tokens say that a word has ended.

In: a tokenizer, the ids of a text. Out: the words with their tokens, and two sets of ids whose probabilities are the
boundary terms of word_scores.py.

A word is what stands between white space: space, tab, new line, carriage return, vertical tab and form feed. Its
punctuation belongs to it, and the white space before it too, since GPT-2's tokens begin with their space. White space
at the end of a text is an item of its own, without a word. A token that opens or ends a text is one too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from gpt2.base.errors import UsageError
from gpt2.text.tokenizer import Tokenizer

# Something to see, and white space after it. GPT-2 has a token of spaces and no-break spaces, which is none of these.
_INSIDE = re.compile(r"\S[^ \t\n\r\v\f]*[ \t\n\r\v\f]")


@dataclass(frozen=True)
class Word:
    """Tokens ids[first:stop] of a text; `text` is "" for white space that no word follows.

    spaced  whether its first token tells that a word before it has ended (`Boundaries.ended`)
    """

    text: str
    first: int
    stop: int
    spaced: bool


@dataclass(frozen=True)
class Boundaries:
    """Two sets of token ids.

    ended    a word has ended before such a token: it begins with white space, or opens or ends a text
    attached  a word that follows no white space begins with such a token, as the first one of a text does
    """

    ended: tuple[int, ...]
    attached: tuple[int, ...]


@lru_cache(maxsize=8)
def boundaries(tokenizer: Tokenizer, vocab_size: int) -> Boundaries:
    """The two sets among the ids below `vocab_size`; an id that no token has is in neither.

    Raises UsageError for a tokenizer whose tokens do not show where words begin: none begins with white space (such
    as WordPiece), or one goes on past white space.
    """
    ends = {tokenizer.eot_id, tokenizer.bos_id}
    data = {i: tokenizer.token_bytes(i) for i in range(vocab_size) if tokenizer.has(i)}
    spaced = {i for i, one in data.items() if one[:1].isspace() and i not in ends}
    across = [i for i, one in data.items() if i not in ends and _INSIDE.search(one.decode("utf-8", "replace"))]
    mend = "leave out {words}, since the scores of its tokens are right."
    if not spaced:
        raise UsageError("this tokenizer has no token that begins with white space, so words cannot be told apart",
                         mend, words=None)  # fmt: skip
    if across:
        raise UsageError(
            f"this tokenizer's token {tokenizer.label(across[0])!r} goes on past the end of a word", mend, words=None
        )
    return Boundaries(
        tuple(sorted(spaced | {i for i in ends if i is not None and i < vocab_size})),
        tuple(i for i in data if i not in spaced),
    )


def words_of(tokenizer: Tokenizer, ids: Sequence[int]) -> list[Word]:
    """The words of a text, which together have all its tokens."""
    ends = {tokenizer.eot_id, tokenizer.bos_id}
    found: list[Word] = []
    first, said, begun = 0, b"", False  # whether there is more than white space in `said`
    for place, token in enumerate(ids):
        data, is_end = tokenizer.token_bytes(token), token in ends
        after_end = place > first and ids[place - 1] in ends
        if place > first and (is_end or after_end or (data[:1].isspace() and begun)):
            found.append(_word(tokenizer, ids, first, place, said))
            first, said, begun = place, b"", False
        said += data
        begun = begun or bool(data.strip())
    if ids:
        found.append(_word(tokenizer, ids, first, len(ids), said))
    return found


def _word(tokenizer: Tokenizer, ids: Sequence[int], first: int, stop: int, said: bytes) -> Word:
    spaced = said[:1].isspace() or ids[first] in (tokenizer.eot_id, tokenizer.bos_id)
    return Word(said.strip().decode("utf-8", "replace"), first, stop, spaced)
