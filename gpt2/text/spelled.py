"""Special tokens that a text spells: how often, and one sentence where they are read as ordinary text.

In: a tokenizer and texts. Out: counts by token. `Tokenizer.encode` reads `<|endoftext|>` in a text as ordinary text
unless told otherwise, since a text that speaks of the token would end there; a chat model trained on such ids never
meets its tokens. Whoever encodes a user's text counts with it and says so, as `encode_told` of ids.py does.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from gpt2.base.errors import Failure
from gpt2.base.notes import note
from gpt2.text.tokenizer import EOT, Tokenizer

FEW = 8  # tokens: so many searches of a text are faster than one for any of them
SHOWN = 3


class Spelled:
    """Counts the special tokens of a tokenizer, or other `tokens`, in texts; `pattern` finds any of them."""

    def __init__(self, tokenizer: Tokenizer, tokens: Iterable[str] | None = None) -> None:
        self.tokens = special_texts(tokenizer) if tokens is None else tuple(tokens)
        longest_first = sorted(self.tokens, key=len, reverse=True)
        self.pattern = "|".join(map(re.escape, longest_first)) or "(?!)"
        self._any = re.compile(self.pattern)

    def count(self, text: str) -> Counter[str]:
        """How often the text spells each of them; where one holds another, the longer counts."""
        if len(self.tokens) <= FEW and not any(token in text for token in self.tokens):
            return Counter()
        return Counter(self._any.findall(text))

    def sub(self, change: Callable[[str], str], text: str) -> str:
        """The text with each of them changed."""
        return self._any.sub(lambda match: change(match[0]), text)

    def without(self, text: str) -> list[str]:
        """The parts of the text between them."""
        return self._any.split(text)


def special_texts(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The special tokens of a tokenizer as a text spells them, by their ids; none where no text ever does."""
    if tokenizer.splits_special:
        return ()
    return tuple(sorted(tokenizer.special, key=tokenizer.special.__getitem__))


def tell_spelled(counts: Mapping[str, int], where: str = "", *, split: bool = False) -> None:
    """Say in one note what was read as ordinary text, and which argument reads it as tokens; nothing for no counts.

    where  what the text is of, to begin the sentence with
    split  whether the caller also offers `split_inline`, which ends a document at `<|endoftext|>`
    """
    counts = {token: n for token, n in counts.items() if n}
    if not counts:
        return
    n = sum(counts.values())
    often = sorted(counts, key=lambda token: (-counts[token], token))
    names = ", ".join(token if len(counts) == 1 else f"{token} {counts[token]:,}" for token in often[:SHOWN])
    more = f" and {len(often) - SHOWN} others" if len(often) > SHOWN else ""
    times = "once" if n == 1 else f"{n:,} times"
    what = f"the text spells {names}{more}" if len(counts) == 1 else f"the text spells special tokens ({names}{more})"
    also = ", {split_inline} ends a document at each " + EOT if split and EOT in counts else ""
    mend = "{allow_special} reads " + ("it as the token" if len(counts) == 1 else "them as tokens") + also + "."
    said = f"{where and f'{where}: '}{what} {times}, read as ordinary text"
    note(Failure(said, mend, allow_special=True, split_inline=True))
