"""Text to token ids and back: byte-level byte-pair encoding (Radford et al. 2019, section 2.2).

In: text. Out: a list of ids, which index the rows of `wte` (`gpt2/model.py` reads them next), and text again.

A text is UTF-8 bytes, each byte is one of 256 starting symbols, a split pattern cuts the text into words, and
within a word the pair of neighbours that stands first in the list of merges is joined until none is left.
Two libraries do the work. `tiktoken` is the faster and serves a tokenizer like GPT-2's (`merge_ranks` says
which ones are); `tokenizers` serves every other `tokenizer.json`, and trains new ones.
"""

import builtins
import codecs
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.text.tokenizer_files import (
    EOT,
    byte_alphabet,
    gpt2_content,
    merge_ranks,
    merges_of,
    read_content,
    read_ends,
    write_text,
)

if TYPE_CHECKING:
    import tiktoken
    import tokenizers

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""How GPT-2 cuts text into words before merging (OpenAI's encoder.py, with its contractions gathered)."""

# tiktoken's regular-expression engine gives up (a Rust panic) on some hundreds of thousands of white-space
# characters in a row, which it must be able to backtrack over; `tokenizers` does not.
_ENDLESS_SPACE = re.compile(r"\s{100000}")


class Tokenizer:
    """A vocabulary and its rules, held as the content of a `tokenizer.json`.

    Make one with `load`, `train` or `bytes`.

    Attributes:
        vocab_size: one more than the largest id.
        eot_id: the token that ends a text: the one that its directory names, else `<|endoftext|>`, else None.
        bos_id: the token that stands before a text: the one that its directory names, else `eot_id`.
    """

    def __init__(self, content: dict[str, Any], directory: Path | None = None) -> None:
        """Take the parsed content of a `tokenizer.json`; its truncation and padding are dropped.

        `directory` may hold files that name the ends of a text (`gpt2.text.tokenizer_files.read_ends`).
        """
        self._content = content | {"truncation": None, "padding": None}
        vocab, added = content["model"]["vocab"], content.get("added_tokens") or []
        if isinstance(vocab, list):  # Unigram: pairs of token and score, the place is the id
            vocab = {token: i for i, (token, _) in enumerate(vocab)}
        self._added = {str(token["content"]): int(token["id"]) for token in added}
        self._vocab: dict[str, int] = vocab | self._added
        if not self._vocab:
            raise ValueError("the tokenizer's vocabulary is empty.")
        self._token = {i: token for token, i in self._vocab.items()}
        self.vocab_size = max(self._token) + 1
        ends = {} if directory is None else read_ends(directory, self._vocab)
        self.eot_id = ends.get("eos", self._vocab.get(EOT))
        self.bos_id = ends.get("bos", self.eot_id)

    # Making one

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "Tokenizer":
        """Read the tokenizer of a directory.

        Taken is the first of: tokenizer.json; vocab.json and merges.txt; encoder.json and vocab.bpe.
        Raises ValueError when none of them is there or one cannot be understood.
        """
        path, content = read_content(Path(directory))
        try:
            tokenizer = cls(content, path.parent)
            if tokenizer._ranks is None:
                tokenizer._library(False)  # whatever `tokenizers` cannot read is refused now
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, ValueError) else "it lacks a part or holds a wrong one"
            raise ValueError(f"{path} is not a usable tokenizer: {reason.rstrip('.')}.") from None
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
        if vocab_size < 257:
            raise ValueError(f"a vocabulary of {vocab_size} is too small: 256 bytes and {EOT} make 257.")
        from tokenizers import Tokenizer as Library
        from tokenizers import models, pre_tokenizers, trainers

        learner = Library(models.BPE())
        learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - 1,
            min_frequency=2,
            show_progress=False,
            initial_alphabet=list(byte_alphabet()),
        )
        learner.train_from_iterator((well_formed(text) for text in texts), trainer)
        model = json.loads(learner.to_str())["model"]
        merges = [tuple(merge) for merge in model["merges"]]
        tokens = [*byte_alphabet(), *(left + right for left, right in merges), EOT]
        return cls(gpt2_content({token: i for i, token in enumerate(tokens)}, merges))

    # What it is

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what decides the ids: vocabulary, merges, special tokens, the end of a text.

        It is the same for every layout of files. A tokenizer that is not like GPT-2's adds its other rules
        (normaliser, split, decoder).
        """
        model = self._content["model"]
        identity: dict[str, Any] = {
            "vocabulary": sorted(self._vocab.items(), key=lambda entry: (entry[1], entry[0])),
            "merges": merges_of(model) if "merges" in model else [],
            "special": sorted(self._special),
        }
        if self.eot_id != self._vocab.get(EOT):
            identity["end"] = self.eot_id
        if self._ranks is None:
            identity["rules"] = {key: self._content.get(key) for key in ("normalizer", "pre_tokenizer", "decoder")}
            identity["model"] = {key: model[key] for key in sorted(model) if key not in ("vocab", "merges")}
        text = json.dumps(identity, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def splits_before_space(self) -> bool:
        """Whether a text cut before runs of white space, its parts encoded alone, gives the same ids.

        True with GPT-2's split pattern, which begins a word before every such run and never looks back.
        """
        return self._ranks is not None

    @property
    def _special(self) -> dict[str, int]:
        added = self._content.get("added_tokens") or []
        return {token["content"]: int(token["id"]) for token in added if token.get("special")}

    @cached_property
    def _ranks(self) -> dict[builtins.bytes, int] | None:
        return merge_ranks(self._content)

    @cached_property
    def _tiktoken(self) -> "tiktoken.Encoding | None":
        if self._ranks is None:
            return None
        import tiktoken

        return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=self._ranks, special_tokens=self._special)

    @cached_property
    def _libraries(self) -> dict[bool, "tokenizers.Tokenizer"]:
        return {}

    def _library(self, allow_special: bool) -> "tokenizers.Tokenizer":
        if allow_special not in self._libraries:
            from tokenizers import Tokenizer as Library

            try:
                library = Library.from_str(json.dumps(self._content))
            except Exception as error:  # the library raises plain Exception
                raise ValueError(f"`tokenizers` cannot read it ({error})") from None
            library.encode_special_tokens = not allow_special  # True: their text is ordinary text
            self._libraries[allow_special] = library
        return self._libraries[allow_special]

    # Text to ids

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The ids of a text.

        Text that spells a special token (`<|endoftext|>`) is ordinary text unless `allow_special`. A lone
        surrogate, which no UTF-8 can hold, becomes U+FFFD.
        """
        return self.encode_batch([text], allow_special, threads=1)[0]

    def encode_batch(
        self, texts: Sequence[str], allow_special: bool = False, threads: int | None = None
    ) -> list[list[int]]:
        """The ids of each text, computed on `threads` threads (as many as there are cores when None)."""
        texts = [well_formed(text) for text in texts]
        fast = self._tiktoken
        if fast is None or any(len(text) >= 100_000 and _ENDLESS_SPACE.search(text) for text in texts):
            library = self._library(allow_special)
            return [row.ids for row in library.encode_batch_fast(texts, add_special_tokens=False)]
        if len(texts) == 1:
            return [fast.encode(texts[0], allowed_special="all") if allow_special else fast.encode_ordinary(texts[0])]
        threads = threads or os.cpu_count() or 1
        if allow_special:
            return fast.encode_batch(texts, num_threads=threads, allowed_special="all")
        return fast.encode_ordinary_batch(texts, num_threads=threads)

    # Ids to text

    def token_bytes(self, token_id: int) -> builtins.bytes:
        """The bytes that a token stands for; raises ValueError for an id outside the vocabulary."""
        token = self._token.get(token_id)
        if token is None:
            raise ValueError(f"token id {token_id} is not in the vocabulary (ids 0 to {self.vocab_size - 1}).")
        if token in self._added:
            return token.encode()
        if self._is_byte_level:
            alphabet = byte_alphabet()
            if all(char in alphabet for char in token):
                return builtins.bytes(alphabet[char] for char in token)
            return token.encode()
        if match := re.fullmatch(r"<0x([0-9A-F]{2})>", token):  # SentencePiece's byte tokens
            return builtins.bytes([int(match[1], 16)])
        return token.replace("▁", " ").encode()

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids; bytes that are not whole UTF-8 become U+FFFD."""
        if self._is_byte_level:
            return b"".join(map(self.token_bytes, map(int, ids))).decode("utf-8", "replace")
        ids = list(ids)
        for token_id in ids:
            self.token_bytes(token_id)  # an unknown id is refused, not skipped
        return self._library(True).decode(ids, skip_special_tokens=False)

    def stream(self) -> "StreamDecoder":
        """A decoder that takes one id at a time."""
        return StreamDecoder(self)

    @cached_property
    def _is_byte_level(self) -> bool:
        decoder = self._content.get("decoder") or {}
        return decoder.get("type") == "ByteLevel"

    # Writing

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write the tokenizer's files so that `transformers.AutoTokenizer` gives the same ids."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        ends = {"bos_token": self.bos_id, "eos_token": self.eot_id, "unk_token": self.eot_id}
        special = {name: self._token[i] for name, i in ends.items() if i is not None}
        settings: dict[str, Any] = special | {"clean_up_tokenization_spaces": False}
        model = self._content["model"]
        if self._ranks is not None:
            settings |= {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False}
            write_text(folder / "vocab.json", json.dumps(model["vocab"], ensure_ascii=False))
            lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges_of(model))]
            write_text(folder / "merges.txt", "\n".join(lines) + "\n")
        else:
            settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        write_text(folder / "tokenizer.json", json.dumps(self._content, ensure_ascii=False, indent=1))
        write_text(folder / "tokenizer_config.json", json.dumps(settings, indent=2) + "\n")
        write_text(folder / "special_tokens_map.json", json.dumps(special, indent=2) + "\n")


class StreamDecoder:
    """Decodes ids as they come. What `push` and `finish` return, joined, is `decode` of all the ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._ids: list[int] = []  # only for a tokenizer whose text is not the sum of its tokens' bytes
        self._sent = ""

    def push(self, token_id: int) -> str:
        """The text that is certain after this id: nothing while a character's bytes are incomplete."""
        if self._tokenizer._is_byte_level:
            return self._utf8.decode(self._tokenizer.token_bytes(token_id))
        self._ids.append(token_id)
        text = self._tokenizer.decode(self._ids).rstrip("\ufffd")
        return self._send(text[: max(map(text.rfind, " \n")) + 1])  # a later token may change the last word

    def finish(self) -> str:
        """What was held back."""
        if self._tokenizer._is_byte_level:
            return self._utf8.decode(b"", final=True)
        return self._send(self._tokenizer.decode(self._ids))

    def _send(self, text: str) -> str:
        new = text[len(self._sent) :]
        self._sent += new
        return new


def visible(data: builtins.bytes) -> str:
    r"""A token as it is printed: a space as `·`, a new line as `\n`, a tab as `\t`, the rest as it is.

    Control and formatting characters, and bytes that are not whole UTF-8, are printed as `\xNN`.
    """
    return "".join(map(_visible_char, data.decode("utf-8", "surrogateescape")))


def _visible_char(char: str) -> str:
    named = {" ": "·", "\n": "\\n", "\t": "\\t"}
    if char in named:
        return named[char]
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def well_formed(text: str) -> str:
    """The text with paired surrogates joined and lone ones replaced by U+FFFD."""
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
