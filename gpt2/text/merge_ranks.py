"""Whether `tiktoken` may serve a tokenizer, and what it needs for that: the bytes of each token and its id.

In: the content of a tokenizer.json. Out: the ranks, or None where `tokenizers` must do the work.
`gpt2/text/tokenizer.py` asks.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from gpt2.text.tokenizer_files import byte_alphabet, merges_of


def merge_ranks(content: dict[str, Any]) -> dict[bytes, int] | None:
    """The bytes of each ordinary token and its id, if `tiktoken` gives the ids of `tokenizers`; else None.

    It does for a byte-level BPE with GPT-2's pattern and no normaliser, whose ids stand in the order of the
    merges and whose every token is what its own bytes merge to. `tiktoken` knows no merges: it joins the
    neighbours whose joint bytes have the lowest id, and takes a word that is a token at once. Where every
    token is reached, two neighbours with the joint bytes of a token are always the pair of its merge.
    """
    model, split = content["model"], content.get("pre_tokenizer") or {}
    decoder, added = content.get("decoder") or {}, content.get("added_tokens") or []
    like_gpt2 = (
        model.get("type", "BPE") == "BPE"
        and not any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
        and not content.get("normalizer")
        and (split.get("type"), split.get("use_regex", True)) == ("ByteLevel", True)
        and not split.get("add_prefix_space", True)
        and decoder.get("type") == "ByteLevel"
        and all(token.get("special") for token in added)
        and not any(token.get(key) for token in added for key in ("lstrip", "rstrip", "single_word"))
    )
    special = {token["content"] for token in added}
    if not like_gpt2 or _one_begins_another(special):
        return None
    ordinary = {token: i for token, i in model["vocab"].items() if token not in special}
    alphabet, merges = byte_alphabet(), merges_of(model)
    merged = [ordinary.get(left + right, -1) for left, right in merges]
    if any(b <= a for a, b in pairwise([-1, *merged])):
        return None
    if not all(part in model["vocab"] for merge in merges for part in merge):
        return None
    if not ordinary.keys() >= alphabet.keys() or len(ordinary) != len(alphabet) + len(merges):
        return None
    if not set().union(*ordinary) <= alphabet.keys():
        return None
    if not _each_token_is_reached(model["vocab"], ordinary, merges):
        return None
    byte = {ord(char): byte for char, byte in alphabet.items()}
    return {token.translate(byte).encode("latin-1"): i for token, i in ordinary.items()}


def _one_begins_another(special: Iterable[str]) -> bool:
    """`tokenizers` takes the longer of two special tokens that begin alike, `tiktoken` the first of its list."""
    tokens = sorted(special)
    return any(longer.startswith(shorter) for shorter, longer in pairwise(tokens))


def _each_token_is_reached(vocab: dict[str, int], tokens: Iterable[str], merges: list[tuple[str, str]]) -> bool:
    from tokenizers import models

    model = models.BPE(vocab=vocab, merges=merges)
    return all(len(model.tokenize(token)) == 1 for token in tokens)
