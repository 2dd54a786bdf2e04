"""GPT-2's byte-level byte-pair encoding: its alphabet, its rules as a tokenizer.json, and its like.

In: a vocabulary and its merges, or the content of a tokenizer.json. Out: such a content; and what `tiktoken` needs to
serve it, or None where `tokenizers` must do the work. Texts are mended before a tokenizer and shown after it here too.
`gpt2/text/tokenizer.py` uses all of it: read it next.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

EOT = "<|endoftext|>"
"""The separator between documents, the one special token of GPT-2; a directory may name another."""

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""How GPT-2 cuts text into words before merging (OpenAI's encoder.py, with its contractions gathered)."""

# tiktoken's regular-expression engine gives up (a Rust panic) on some hundreds of thousands of white-space
# characters in a row, which it must be able to backtrack over; `tokenizers` does not.
_ENDLESS = 50_000


@lru_cache(maxsize=1)
def byte_alphabet() -> dict[str, int]:
    """The printable character that stands for each byte in GPT-2's files, in GPT-2's order (its ids).

    The 188 bytes that print in Latin-1 stand for themselves; the other 68 are moved up to U+0100 and on.
    """
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    moved = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(moved)}


def merges_of(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The merges as pairs; files hold them as "a b" or as ["a", "b"]."""
    merges: list[Any] = model["merges"]
    if set(map(type, merges)) == {tuple}:
        return merges
    return [(left, right) for left, right in (m.split(" ") if isinstance(m, str) else m for m in merges)]


def gpt2_content(
    vocab: dict[str, int], merges: Sequence[tuple[str, str]], prefix_space: bool = False
) -> dict[str, Any]:
    """The `tokenizer.json` of a byte-level BPE with GPT-2's rules, whose one special token is `EOT` if it is there.

    prefix_space  a text that begins with a word is read as if a space stood before it
    """
    byte_level = {"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": True, "use_regex": True}
    plain = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": token, **plain} for token, i in vocab.items() if token == EOT],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level | {"trim_offsets": False},
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": list(merges),
        },
    }


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
    spelled = "".join(ordinary).translate(byte).encode("latin-1")
    ends = accumulate(map(len, ordinary), initial=0)
    return {spelled[start:end]: i for (start, end), i in zip(pairwise(ends), ordinary.values())}


def _one_begins_another(special: Iterable[str]) -> bool:
    """`tokenizers` takes the longer of two special tokens that begin alike, `tiktoken` the first of its list."""
    tokens = sorted(special)
    return any(longer.startswith(shorter) for shorter, longer in pairwise(tokens))


def _each_token_is_reached(vocab: dict[str, int], tokens: Iterable[str], merges: list[tuple[str, str]]) -> bool:
    from tokenizers import models

    model = models.BPE(vocab=vocab, merges=merges, cache_capacity=0)  # each token is asked for once
    return set(map(len, map(model.tokenize, tokens))) <= {1}


def spells_bytes(content: Mapping[str, Any]) -> bool:
    """Whether the tokens of a tokenizer.json are spelled in GPT-2's alphabet of bytes."""
    return (content.get("decoder") or {}).get("type") == "ByteLevel"


def spelled_bytes(token: str) -> bytes:
    """The bytes of a token in that alphabet; a token with another character, which was added, is its own text."""
    alphabet = byte_alphabet()
    if all(char in alphabet for char in token):
        return bytes(alphabet[char] for char in token)
    return token.encode()


def visible(data: bytes) -> str:
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


def has_endless_space(text: str) -> bool:
    """Whether twice `_ENDLESS` characters of white space stand in a row, perhaps half as many: each is looked at once.

    So long a run fills one of the blocks that the text is cut into, wherever it begins.
    """
    return any(text[at : at + _ENDLESS].isspace() for at in range(0, len(text) - _ENDLESS + 1, _ENDLESS))


def cleaned(text: str) -> str:
    """A text without the spaces that joining words left before punctuation (`clean_up_tokenization_spaces`)."""
    for mark in ".?!,":
        text = text.replace(f" {mark}", mark)
    text = text.replace(" ' ", "'")
    for ending in ("n't", "'m", "'s", "'ve", "'re"):
        text = text.replace(f" {ending}", ending)
    return text
