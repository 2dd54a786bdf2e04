"""How the texts of tokens become one text, by the rules of their tokenizer.

In: the content of a tokenizer.json and the options of its class. Out: the text of ids, and what a stream may rely on:
whether the bytes of the tokens add up, whether a further token changes the text before it.
tokenizer.py decodes by it, stream.py hands text out by it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpt2.base.foreign import off_the_terminal, panics_are_errors
from gpt2.text.byte_level import cleaned, spells_bytes

if TYPE_CHECKING:
    import tokenizers

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""SentencePiece's token of one byte."""

_APPENDING = {"ByteLevel", "Metaspace", "ByteFallback", "Fuse", "Replace"}


@dataclass(frozen=True)
class Decoding:
    """The rules by which a tokenizer makes a text of tokens.

    bytes_add_up  the decoder joins the bytes of the tokens; a normaliser changes how `tokenizers` writes an added one
    cleans_up     the spaces before punctuation are taken away (`clean_up_tokenization_spaces`)
    decoders      the kinds of the decoder's parts
    """

    bytes_add_up: bool
    cleans_up: bool
    decoders: frozenset[str | None]

    @classmethod
    def of(cls, content: Mapping[str, Any], options: Mapping[str, Any]) -> "Decoding":
        """The rules of a tokenizer.json's content, under the options of tokenizer_config.json."""
        decoder = content.get("decoder") or {}
        told = "clean_up_tokenization_spaces"
        is_bpe = content["model"].get("type", "BPE") == "BPE"
        forced = options.get(f"{told}_for_bpe_even_though_it_will_corrupt_output")
        return cls(
            spells_bytes(content) and not content.get("normalizer"),
            bool(options.get(told)) and (not is_bpe or bool(forced)),
            frozenset(part.get("type") for part in decoder.get("decoders", [decoder])),
        )

    def text(self, parts: Iterable[bytes], ids: Sequence[int], library: "tokenizers.Tokenizer | None") -> str:
        """The text of `ids`, whose bytes are `parts`; `library` decodes them where their bytes do not add up."""
        if library is None:
            text = b"".join(parts).decode("utf-8", "replace")
        else:
            with off_the_terminal(), panics_are_errors("the tokenizer cannot decode these tokens"):
                text = library.decode(ids, skip_special_tokens=False)
        return cleaned(text) if self.cleans_up else text

    @property
    def adds_bytes(self) -> bool:
        """Whether the bytes of a text are those of its tokens, one after the other."""
        return self.bytes_add_up and not self.cleans_up

    @property
    def only_appends(self) -> bool:
        """Whether a further id leaves the text before it as it is, but for half a character at the end."""
        return not self.cleans_up and self.decoders <= _APPENDING

    def waits_for_more(self, token: str) -> bool:
        """Whether the token is one byte of a run that is read as a whole: a wrong byte further on spoils all of it."""
        return "ByteFallback" in self.decoders and bool(BYTE.fullmatch(token))
