"""Ids to text, one id at a time: what is certain is handed out, what a later id may change is held back.

In: the ids of a prompt, then the ids that continue it. Out: pieces of the continuation's text.
`Tokenizer.stream` makes one; `gpt2/inference/generate.py` uses it.
"""

import codecs
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpt2.text.tokenizer import Tokenizer

# A clean-up of spaces reaches over the last words: "do n ' t" becomes "don't" with its last token.
_LAST_WORDS = re.compile(r"(?<!\s)(?:\s++\S*+){0,4}+\Z")


class StreamDecoder:
    """Decodes ids as they come.

    What `push` and `finish` return, joined, is what the ids add to the text of the prompt: the prompt's text and
    theirs together are `decode` of all the ids. A decoder that begins a text differently from a word ("the" and
    " the"), as Metaspace and WordPiece do, needs the prompt for that. Where the prompt's last characters come out
    otherwise once more ids follow (half a character, spaces that are cleaned up), the prompt's own text stays as it
    was and the continuation begins where the two texts part.
    """

    def __init__(self, tokenizer: "Tokenizer", prompt_ids: Iterable[int] = ()) -> None:
        """`prompt_ids` are the ids before the first that is pushed; without them the text begins with the stream."""
        self._tokenizer = tokenizer
        self._ids = list(map(int, prompt_ids))
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._adds_bytes = tokenizer.decoding.adds_bytes
        if self._adds_bytes:
            self._utf8.decode(b"".join(map(tokenizer.bytes_in_text, self._ids)))
            self._ids = []
        self._shown = self._utf8.getstate()[0].decode("utf-8", "replace")  # half a character: the prompt's text ends so
        self._sent = tokenizer.decode(self._ids) if self._ids else ""

    def push(self, token_id: int) -> str:
        """The text that is certain after this id: nothing while a character's bytes are incomplete."""
        if self._adds_bytes:
            return self._new(self._utf8.decode(self._tokenizer.bytes_in_text(token_id)))
        self._ids.append(int(token_id))
        if self._tokenizer.waits_for_more(token_id):
            return ""
        text = self._tokenizer.decode(self._ids)
        if not self._tokenizer.decoding.only_appends:
            text = _LAST_WORDS.sub("", text)
        return self._send(text.rstrip("\ufffd"))

    def finish(self) -> str:
        """What was held back."""
        if self._adds_bytes:
            return self._new(self._utf8.decode(b"", final=True))
        return self._send(self._tokenizer.decode(self._ids))

    def _new(self, text: str) -> str:
        if not text or not self._shown:
            return text
        shown, self._shown = self._shown, ""
        return text[_common(shown, text) :]

    def _send(self, text: str) -> str:
        if self._sent.startswith(text):
            return ""
        start = _common(self._sent, text)
        self._sent = text
        return text[start:]


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    parted = (i for i, (left, right) in enumerate(zip(one, other)) if left != right)
    return next(parted, min(len(one), len(other)))
