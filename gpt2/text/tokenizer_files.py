"""What a tokenizer's files hold, and whether `tiktoken` may serve it.

In: a directory with tokenizer.json, or with GPT-2's pair vocab.json and merges.txt (OpenAI's own names for
them: encoder.json, vocab.bpe). Out: the content of a tokenizer.json, the one form in which every tokenizer is
held by `gpt2/text/tokenizer.py`, the file to read before this one.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gpt2.base.lfs import refuse_pointer

EOT = "<|endoftext|>"
"""The separator between documents, the one special token of GPT-2; a directory may name another (`read_ends`)."""

LAYOUTS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))


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
    if not like_gpt2:
        return None
    special = {token["content"] for token in added}
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


def _each_token_is_reached(vocab: dict[str, int], tokens: Iterable[str], merges: list[tuple[str, str]]) -> bool:
    from tokenizers import models

    model = models.BPE(vocab=vocab, merges=merges)
    return all(len(model.tokenize(token)) == 1 for token in tokens)


def merges_of(model: dict[str, Any]) -> list[tuple[str, str]]:
    """The merges as pairs; files hold them as "a b" or as ["a", "b"]."""
    return [(left, right) for left, right in (m.split(" ") if isinstance(m, str) else m for m in model["merges"])]


def gpt2_content(
    vocab: dict[str, int], merges: Sequence[tuple[str, str]], added: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Any]:
    """The `tokenizer.json` of a byte-level BPE with GPT-2's rules; `added` are special tokens beside `EOT`."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    special = {token: i for token, i in vocab.items() if token == EOT} | dict(added)
    plain = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": token, **plain} for token, i in special.items()],
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
            "merges": [list(merge) for merge in merges],
        },
    }


def has_tokenizer(folder: Path) -> bool:
    """Whether the directory holds the files of a tokenizer."""
    layouts = [("tokenizer.json",), *LAYOUTS]
    return any(all((folder / name).is_file() for name in names) for names in layouts)


def read_content(folder: Path) -> tuple[Path, Any]:
    """The file that holds the tokenizer of a directory, and its content in the form of a tokenizer.json."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a directory: give the directory that holds tokenizer.json.")
    if (folder / "tokenizer.json").is_file():
        return folder / "tokenizer.json", _read_json(folder / "tokenizer.json")
    for vocab_name, merges_name in LAYOUTS:
        vocab, merges = folder / vocab_name, folder / merges_name
        if vocab.is_file() and merges.is_file():
            entries = _read_json(vocab)
            if not isinstance(entries, dict):
                raise ValueError(f"{vocab} is not a vocabulary: it must map each token to its id.")
            pairs = list(_read_merges(merges))
            return vocab, gpt2_content(entries, pairs, _read_added(folder, entries, pairs))
    raise ValueError(f"{folder} has no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt.")


def read_ends(folder: Path, ids: Mapping[str, int]) -> dict[str, int]:
    """The tokens that the files beside a tokenizer name as ends of a text: {"bos": id, "eos": id}, or fewer.

    Asked in this order: tokenizer_config.json and special_tokens_map.json, which name the token, then
    generation_config.json and config.json, which name its id (of a list, the first). A token that is not in the
    vocabulary, as transformers' default 50256 in a small one, is passed over.
    """
    known: set[int] = set(ids.values())
    ends: dict[str, int] = {}
    for file in ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json"):
        named = _read_object(folder / file)
        for end in ("bos", "eos"):
            token, number = _content(named.get(f"{end}_token")), named.get(f"{end}_token_id")
            number = number[0] if isinstance(number, list) and number else number
            found = ids.get(token) if token is not None else number
            if type(found) is int and found in known:
                ends.setdefault(end, found)
    return ends


def _read_added(folder: Path, vocab: Mapping[str, int], merges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The tokens beside vocab.json and merges.txt that no text spells: those added later, and the ends of a text."""
    settings = _read_object(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
    later = {_content(entry): int(i) for i, entry in settings.items()}
    added = {token: i for token, i in (_read_object(folder / "added_tokens.json") | later).items() if token}
    spelt = {*byte_alphabet(), *(left + right for left, right in merges)}  # an end may be "\n", an ordinary token
    ends = set(read_ends(folder, {**vocab, **added}).values())
    return added | {token: i for token, i in vocab.items() if i in ends and token not in spelt}


def _content(token: Any) -> str | None:
    """The text of a token, which files hold as a string or as an object with its text as `content`."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty for a file that is not there or holds something else."""
    value = _read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _read_text(path: Path) -> str:
    refuse_pointer(path)
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start}): fetch the tokenizer again.") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON (line {error.lineno}): fetch the tokenizer again.") from None


def _read_merges(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        parts = line.rstrip("\r").split(" ")
        if len(parts) != 2:
            raise ValueError(f"{path}, line {number}: {line!r} is not a merge of two tokens.")
        yield parts[0], parts[1]


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
