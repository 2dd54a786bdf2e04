"""A byte-level BPE as plain numbers, for an encoder in another language.

In: a tokenizer. Out: `BytePairs`, of which the same ids follow without any library, or one sentence that says in what
the tokenizer differs from GPT-2's. `gpt2/explain/live/tokenizer.py` sends them to a browser, where
`gpt2/server/web/engine/bpe.js` reads them.

The classes of characters in the split pattern are part of it. Each engine of regular expressions has those of its own
version of Unicode, and JavaScript's white space has U+FEFF where that of the engine used here has U+0085.
"""

import json
import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from gpt2.base.errors import UsageError
from gpt2.base.foreign import shortened
from gpt2.text.byte_level import byte_alphabet, visible
from gpt2.text.tokenizer import Tokenizer

Ranges = tuple[tuple[int, int], ...]
"""Code points in ascending order: the first and the last of each run."""


@dataclass(frozen=True)
class BytePairs:
    """A vocabulary and its merges.

    size            one more than the largest id
    alphabet        the id of each of the 256 bytes
    left, right     the ids that each merge joins, the first merge first
    made            the id that each merge makes
    others          id -> bytes of every token that is not the bytes of `left` and `right` of a merge, in their order
    classes         "letters", "numbers" and "spaces" of the split pattern (gpt2.text.byte_level.PATTERN)
    hidden          the characters of tokens that `visible` writes as bytes
    """

    size: int
    alphabet: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    made: tuple[int, ...]
    others: dict[int, bytes]
    classes: dict[str, Ranges]
    hidden: str


def byte_pairs(tokenizer: Tokenizer) -> BytePairs:
    """The numbers of a tokenizer that cuts and merges texts as GPT-2's does.

    Raises UsageError naming the model, normaliser, split, decoder or added token that is of another kind.
    """
    content = json.loads(tokenizer.library(False).to_str())
    if what := _unlike_gpt2(content) or ("its decoding takes spaces away" if tokenizer.decoding.cleans_up else ""):
        raise UsageError(
            f"a browser reads texts with a byte-level BPE as GPT-2's only, and this tokenizer is of another kind: "
            f"{what}. Use the page of the local server, or a still file."
        )
    vocab, merges = content["model"]["vocab"], content["model"]["merges"]
    alphabet = {byte: vocab[char] for char, byte in byte_alphabet().items()}
    spelled = {i: bytes([byte]) for byte, i in alphabet.items()}
    others: dict[int, bytes] = {}
    left, right, made = [], [], []
    for one, other in merges:
        first, second, joint = vocab[one], vocab[other], vocab[one + other]
        left.append(first)
        right.append(second)
        made.append(joint)
        expected = tokenizer.token_bytes(joint)
        if joint not in spelled and spelled.get(first, b"") + spelled.get(second, b"") != expected:
            others[joint] = expected
        spelled[joint] = expected
    for i in range(tokenizer.vocab_size):
        if i not in spelled and tokenizer.has(i):
            spelled[i] = others[i] = tokenizer.token_bytes(i)
    return BytePairs(
        size=tokenizer.vocab_size,
        alphabet=tuple(alphabet[byte] for byte in range(256)),
        left=tuple(left),
        right=tuple(right),
        made=tuple(made),
        others=others,
        classes=classes(),
        hidden=_hidden(spelled.values()),
    )


def _unlike_gpt2(content: Mapping[str, Any]) -> str:
    """What a tokenizer.json has that GPT-2's has not, in words; empty for nothing."""
    model, split = content["model"], content["pre_tokenizer"] or {}
    if model["type"] != "BPE":
        return f"its model is {model['type']}"
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if model.get(option):
            return f"its model has {option} {shortened(model[option])}"
    if content["normalizer"]:
        return f"its normalizer is {content['normalizer']['type']}"
    if split.get("type") != "ByteLevel":
        return f"its pre_tokenizer is {split.get('type', 'missing')}"
    if split["add_prefix_space"] or not split["use_regex"]:
        return "its pre_tokenizer has " + ("add_prefix_space" if split["add_prefix_space"] else "no use_regex")
    if (content["decoder"] or {}).get("type") != "ByteLevel":
        return f"its decoder is {(content['decoder'] or {}).get('type', 'missing')}"
    for token in content["added_tokens"]:
        if not token["special"]:
            return f"it reads the added token {shortened(token['content'])} in every text"
    lacking = sum(char not in model["vocab"] for char in byte_alphabet())
    return f"its vocabulary lacks {lacking} of the 256 bytes" if lacking else ""


@cache
def classes() -> dict[str, Ranges]:
    """The letters, numbers and white space that the split pattern means, by the engine that cuts texts here."""
    import tiktoken

    every = array("I", [*range(0xD800), *range(0xE000, 0x110000)]).tobytes().decode(f"utf-32-{sys.byteorder[0]}e")
    one_byte_each = {bytes([byte]): byte for byte in range(256)}
    found = {}
    for name, pattern in (("letters", r"\p{L}"), ("numbers", r"\p{N}"), ("spaces", r"\s")):
        # what the pattern does not match is left out of the ids
        engine = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=one_byte_each, special_tokens={})
        found[name] = _ranges(map(ord, bytes(engine.encode_ordinary(every)).decode()))
    return found


def _ranges(ascending: Iterable[int]) -> Ranges:
    runs: list[list[int]] = []
    for point in ascending:
        if runs and runs[-1][1] == point - 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return tuple((first, last) for first, last in runs)


def _hidden(tokens: Iterable[bytes]) -> str:
    whole = set().union(*(token.decode("utf-8", "ignore") for token in tokens))
    return "".join(sorted(char for char in whole if visible(char.encode()).startswith("\\x")))
