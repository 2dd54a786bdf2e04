"""What a tokenizer's files hold: reading and writing them, and GPT-2's rules in the form of a tokenizer.json.

In: the path of a file. Out: its text or object, or one sentence that says what is wrong with it.
`gpt2/text/assembled.py` makes a tokenizer of them: read it next.
"""

import codecs
import json
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from gpt2.base.lfs import refuse_pointer

EOT = "<|endoftext|>"
"""The separator between documents, the one special token of GPT-2; a directory may name another."""

LAYOUTS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
WORD_LIST = "vocab.txt"
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model")


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


def merges_of(model: dict[str, Any]) -> list[tuple[str, str]]:
    """The merges as pairs; files hold them as "a b" or as ["a", "b"]."""
    return [(left, right) for left, right in (m.split(" ") if isinstance(m, str) else m for m in model["merges"])]


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
            "merges": [list(merge) for merge in merges],
        },
    }


def has_tokenizer(folder: Path) -> bool:
    """Whether the directory holds the files of a tokenizer, of a kind that is read here or of one that is refused."""
    layouts = [("tokenizer.json",), *LAYOUTS, (WORD_LIST,), *((name,) for name in SENTENCEPIECE)]
    return any(all((folder / name).is_file() for name in names) for names in layouts)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file. ValueError for anything else than an object."""
    value = read_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}, and must hold an object: fetch the tokenizer again.")
    return value


def read_text(path: Path) -> str:
    """A file's text. ValueError for what is not UTF-8, and for a byte order mark, which transformers refuses too."""
    refuse_pointer(path)
    data = path.read_bytes()
    for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if data.startswith(mark):
            raise ValueError(f"{path} begins with a byte order mark (BOM): save it as UTF-8 without one.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte {error.start}): fetch the tokenizer again.") from None


def read_json(path: Path) -> Any:
    """The value in a JSON file, whatever it is. ValueError naming the line for what is not JSON."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON (line {error.lineno}): fetch the tokenizer again.") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply for JSON: fetch the tokenizer again.") from None


def read_merges(path: Path) -> Iterator[tuple[str, str]]:
    """The pairs of a merges.txt, in order. ValueError naming the line for what is no pair."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("#version"):
            continue
        parts = line.rstrip("\r").split(" ")
        if len(parts) != 2:
            raise ValueError(f"{path}, line {number}: {line!r} is not a merge of two tokens.")
        yield parts[0], parts[1]


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all, with line ends as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
