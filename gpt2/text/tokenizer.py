"""Text to token ids and back: byte-level byte-pair encoding (Radford et al. 2019, section 2.2).

In: text. Out: a list of ids, which index the rows of `wte` (`gpt2/model.py` reads them next), and text again.

A text is UTF-8 bytes, each byte is one of 256 starting symbols, a split pattern cuts the text into words, and
within a word the pair of neighbours that stands first in the list of merges is joined until none is left.
Two libraries do the work. `tiktoken` is the faster and serves a tokenizer like GPT-2's (`merge_ranks` says
which ones are); `tokenizers` serves every other `tokenizer.json`, and trains new ones.
"""

import builtins
import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gpt2.base.cores import cores
from gpt2.base.errors import UsageError
from gpt2.base.foreign import off_the_terminal, panics_are_errors
from gpt2.base.habits import TOKENIZER, Absent, hint
from gpt2.text.assembled import Assembled, assemble, built
from gpt2.text.byte_level import (
    EOT,
    PATTERN,
    byte_alphabet,
    gpt2_content,
    has_endless_space,
    merge_ranks,
    spelled_bytes,
    spells_bytes,
    visible,
    well_formed,
)
from gpt2.text.decoding import BYTE, Decoding
from gpt2.text.identity import identity
from gpt2.text.learned import learned
from gpt2.text.stream import StreamDecoder
from gpt2.text.tokenizer_files import Kind, ends_in, guarded
from gpt2.text.written import Written

__all__ = ["EOT", "PATTERN", "StreamDecoder", "Tokenizer", "visible", "well_formed"]

if TYPE_CHECKING:
    import tiktoken
    import tokenizers


class Tokenizer:
    """A vocabulary and its rules, held as the content of a `tokenizer.json`.

    Make one with `load`, `train` or `bytes`; `gpt2.load` returns a model's own.

        tokenizer.encode("The cat")     # [464, 3797] with GPT-2's vocabulary
        tokenizer.decode([464, 3797])   # "The cat"

    Attributes:
        vocab_size: one more than the largest id.
        ordinary_size: one more than the largest id of a token that was not added to the vocabulary.
        eot_id: the token that ends a text: the one that its directory names, else `<|endoftext|>`, else None.
        bos_id: the token that stands before a text: the one that its directory names, else `eot_id`.
        pad_id: the token that fills up short rows, if the directory names one, else None.
        added: token -> id of those that were added to the vocabulary, special or not.
        found: what its directory says besides, None for a tokenizer that was made here.
    """

    def __init__(self, content: dict[str, Any], found: Assembled | None = None) -> None:
        """Take the parsed content of a `tokenizer.json`; its truncation and padding are dropped.

        `found` is what a directory says beside it.
        """
        self._content = content | {"truncation": None, "padding": None}
        vocab, added = content["model"]["vocab"], content.get("added_tokens") or []
        if isinstance(vocab, list):  # Unigram: pairs of token and score, the place is the id
            vocab = {token: i for i, (token, _) in enumerate(vocab)}
        self.added = {str(token["content"]): int(token["id"]) for token in added}
        self._vocab: dict[str, int] = vocab | self.added
        if not self._vocab:
            raise ValueError("the tokenizer's vocabulary is empty.")
        self._token = {i: token for token, i in self._vocab.items()}
        self.vocab_size = max(self._token) + 1
        self.ordinary_size = max([i for token, i in self._vocab.items() if token not in self.added], default=-1) + 1
        self.found = found
        self._options: Mapping[str, Any] = {} if found is None else found.named.options
        ends = {} if found is None else ends_in(found.path.parent, found.named, self._vocab)
        self.eot_id = ends.get("eos", self._vocab.get(EOT))
        self.bos_id = ends.get("bos", self.eot_id)
        self.pad_id = ends.get("pad")
        self._ends_made_special: list[dict[str, Any]] = []  # so that no text spells them unless that is allowed
        for token in added if found is not None else ():
            if token["id"] in (self.eot_id, self.bos_id) and not token["special"]:
                token["special"] = True
                self._ends_made_special.append({key: value for key, value in token.items() if key != "id"})

    from_pretrained = Absent(TOKENIZER)

    def __getattr__(self, name: str) -> Any:
        """Always an AttributeError; for the names of other libraries it says what to write."""
        raise AttributeError(f"'Tokenizer' object has no attribute {name!r}{hint(TOKENIZER, name)}")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Always a UsageError: a text becomes ids by `encode`."""
        raise UsageError(
            "a tokenizer is no function: write tokenizer.encode(text) for a list of ids, "
            "torch.tensor([tokenizer.encode(text)]) for a model."
        )

    # Making one

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "Tokenizer":
        """Read the tokenizer of a directory, as `transformers.AutoTokenizer` would (`gpt2.text.assembled`).

        Taken is the first of: tokenizer.json; vocab.json and merges.txt; encoder.json and vocab.bpe; vocab.txt.
        Raises ValueError when none of them is there or one cannot be understood.
        """
        found = assemble(Path(directory))

        def made() -> "Tokenizer":
            tokenizer = cls(found.content, found)
            if tokenizer._ranks is None:
                tokenizer.library(False)  # whatever `tokenizers` cannot read is refused now
            return tokenizer

        with off_the_terminal():
            tokenizer = guarded(found.path, made)
        if tokenizer.before or tokenizer.after:
            from gpt2.text.special_tokens import tell_of_around

            tell_of_around(found.path.parent, *(list(map(tokenizer.label, ids)) for ids in tokenizer._around))
        return tokenizer

    @classmethod
    def bytes(cls) -> "Tokenizer":
        """The tokenizer without merges: 256 bytes and `<|endoftext|>`."""
        return cls(gpt2_content({char: i for i, char in enumerate(byte_alphabet())} | {EOT: 256}, []))

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "Tokenizer":
        """Learn a byte-level BPE with GPT-2's split pattern and GPT-2's order of ids.

        The 256 bytes come first, then the merges in the order in which they were learned, and
        `<|endoftext|>` last. `texts` is read once, as a stream. Fewer entries than `vocab_size` come out when
        the texts have no more pairs that occur twice. Raises ValueError for a `vocab_size` below 257.
        """
        return cls(learned(texts, vocab_size))

    # What it is

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what decides the ids: vocabulary, merges, special tokens, the end of a text.

        It is the same for every layout of files. A tokenizer that is not like GPT-2's adds its other rules
        (normaliser, split, decoder).
        """
        return identity(self._content, self._vocab, self.special, self.eot_id, like_gpt2=self._ranks is not None)

    @property
    def splits_before_space(self) -> bool:
        """Whether a text cut before runs of white space, its parts encoded alone, gives the same ids.

        True with GPT-2's split pattern, which begins a word before every such run and never looks back.
        """
        return self._ranks is not None

    @property
    def special(self) -> dict[str, int]:
        """Token -> id of the special tokens, which a text spells only where that is allowed."""
        added = self._content.get("added_tokens") or []
        return {token["content"]: int(token["id"]) for token in added if token.get("special")}

    @property
    def splits_special(self) -> bool:
        """Whether no text ever spells a special token, by `split_special_tokens` of its directory."""
        return bool(self._options.get("split_special_tokens"))

    @cached_property
    def _ranks(self) -> dict[builtins.bytes, int] | None:
        return merge_ranks(self._content)

    @cached_property
    def _tiktoken(self) -> "tiktoken.Encoding | None":
        if self._ranks is None:
            return None
        import tiktoken

        return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=self._ranks, special_tokens=self.special)

    @cached_property
    def _libraries(self) -> dict[bool, "tokenizers.Tokenizer"]:
        return {}

    def library(self, allow_special: bool) -> "tokenizers.Tokenizer":
        """The same tokenizer as one of the library `tokenizers`, which knows where in a text each token stands."""
        from tokenizers import AddedToken

        if allow_special not in self._libraries:
            library = built(self._content) if self.found is None else self.found.library()
            library.no_truncation()
            library.no_padding()
            if not allow_special and self._ends_made_special:
                library.add_special_tokens([AddedToken(**flags) for flags in self._ends_made_special])
            library.encode_special_tokens = self.splits_special or not allow_special  # their text is ordinary
            self._libraries[allow_special] = library
        return self._libraries[allow_special]

    @cached_property
    def _around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        processor = self._content.get("post_processor")
        if not processor or processor.get("type") == "ByteLevel":
            return (), ()
        from gpt2.text.special_tokens import around_of

        return around_of(self.library(True), "the tokenizer" if self.found is None else self.found.path)

    @property
    def before(self) -> tuple[int, ...]:
        """The ids that transformers puts before the ids of a text (`add_special_tokens=True`)."""
        return self._around[0]

    @property
    def after(self) -> tuple[int, ...]:
        """The ids that transformers puts after the ids of a text (`add_special_tokens=True`)."""
        return self._around[1]

    def around(self, ids: Iterable[int]) -> list[int]:
        """The ids of a text with those before and after it: what `transformers` gives for the text by default."""
        return [*self.before, *ids, *self.after]

    # Text to ids

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The ids of a text.

        Text that spells a special token (`<|endoftext|>`) is ordinary text unless `allow_special`. Nothing is put
        around them, such as BERT's [CLS] and [SEP]: these are transformers' ids with `add_special_tokens=False`, and
        `around` adds what it adds by default. A lone surrogate, which no UTF-8 can hold, becomes U+FFFD.
        """
        if not isinstance(text, str):
            raise UsageError(f"a text is of type {type(text).__name__}: give one str; encode_batch takes a list.")
        return self.encode_batch([text], allow_special, threads=1)[0]

    def encode_batch(
        self, texts: Sequence[str], allow_special: bool = False, threads: int | None = None
    ) -> list[list[int]]:
        """The ids of each text, computed on `threads` threads (as many as there are cores when None)."""
        texts = [well_formed(text) for text in texts]
        fast = self._tiktoken
        if fast is None or any(map(has_endless_space, texts)):
            library = self.library(allow_special)
            silent = off_the_terminal() if len(texts) == 1 else nullcontext()  # a batch may take long
            with silent, panics_are_errors("the tokenizer cannot encode this text"):
                return [row.ids for row in library.encode_batch_fast(texts, add_special_tokens=False)]
        allowed = allow_special and not self.splits_special
        if len(texts) == 1:
            return [fast.encode(texts[0], allowed_special="all") if allowed else fast.encode_ordinary(texts[0])]
        threads = threads or cores()
        if allowed:
            return fast.encode_batch(texts, num_threads=threads, allowed_special="all")
        return fast.encode_ordinary_batch(texts, num_threads=threads)

    # Ids to text

    def token_bytes(self, token_id: int) -> builtins.bytes:
        """The bytes that a token stands for; raises ValueError for an id that no token has."""
        token = self._token.get(token_id)
        if token is None:
            raise ValueError(f"token id {token_id} is not in the vocabulary (ids 0 to {self.vocab_size - 1}).")
        if spells_bytes(self._content):
            return spelled_bytes(token)
        if token in self.added:
            return token.encode()
        if match := BYTE.fullmatch(token):
            return builtins.bytes([int(match[1], 16)])
        return token.replace("▁", " ").encode()

    def has(self, token_id: int) -> bool:
        """Whether a token has this id."""
        return token_id in self._token

    def label(self, token_id: int) -> str:
        """A token as tables show it (`visible`); `<no token 123>` for an id that no token has."""
        return visible(self.token_bytes(token_id)) if self.has(token_id) else f"<no token {token_id}>"

    def holes(self, vocab_size: int) -> list[int]:
        """The ids below `vocab_size` that no token has: rows of a model that nothing may draw."""
        return [i for i in range(vocab_size) if not self.has(i)]

    def bytes_in_text(self, token_id: int) -> builtins.bytes:
        """The bytes that an id adds to a text: none for a hole; ValueError for an id past the vocabulary."""
        return b"" if not self.has(token_id) and 0 <= token_id < self.vocab_size else self.token_bytes(token_id)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids, as `transformers` decodes them with `skip_special_tokens=False`.

        Bytes that are not whole UTF-8 become U+FFFD. An id within the vocabulary that no token has adds nothing; one
        outside it raises ValueError, and what is no id UsageError.
        """
        try:
            ids = list(map(operator.index, ids))
        except TypeError:
            raise UsageError("decode takes token ids: a list of whole numbers, such as [464, 3797].") from None
        parts = list(map(self.bytes_in_text, ids))  # an unknown id is refused, not skipped
        library = None if self.decoding.bytes_add_up else self.library(True)
        return self.decoding.text(parts, ids, library)

    def stream(self, prompt_ids: Iterable[int] = ()) -> StreamDecoder:
        """A decoder that takes one id at a time; `prompt_ids` are those that stand before the first."""
        return StreamDecoder(self, prompt_ids)

    def waits_for_more(self, token_id: int) -> bool:
        """Whether the id is one byte of a run that is read as a whole: a wrong byte further on spoils all of it."""
        return self.decoding.waits_for_more(self._token.get(token_id, ""))

    @cached_property
    def decoding(self) -> Decoding:
        """How the texts of tokens become one text."""
        return Decoding.of(self._content, self._options)

    # Writing

    def save(self, directory: str | os.PathLike[str], context: int | None = None, overwrite: bool = False) -> None:
        """Write the tokenizer's files so that `transformers.AutoTokenizer` gives the same ids.

        One that was read from a directory is written as it stood there, with pad token, chat template, longest length
        and all else. `context` is the longest text of the model beside it; it is written (`model_max_length`) where
        no file said anything about the tokenizer. Raises UsageError, before anything is written, where another file of
        the same name stands, unless `overwrite`; for a link in any case.
        """
        ends = {"eos": self.eot_id, "bos": self.bos_id}
        kind: Kind = "file" if self._ranks is None else "gpt2"
        Written(
            self._content,
            self.found,
            self._vocab,
            {end: i for end, i in ends.items() if i is not None},
            kind if self.found is None else self.found.kind,
        ).write(Path(directory), context, overwrite)
