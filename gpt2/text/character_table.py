"""A vocabulary of single characters, as nanoGPT's character-level data sets keep it in `meta.pkl`.

In: the file. Out: a `Tokenizer`. The file is a pickle, and unpickling may run code: here whatever is more than dicts,
lists, texts and numbers is refused before it is made.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from gpt2.base.foreign import in_words, off_the_terminal, shortened
from gpt2.base.lfs import refuse_pointer
from gpt2.text.tokenizer import Tokenizer

META_FILE = "meta.pkl"
LARGEST = 64_000_000  # bytes; all of Unicode needs less


class CharacterTokenizer(Tokenizer):
    """A tokenizer whose every token is one character; a text with another character is refused by its name."""

    def encode_batch(
        self, texts: Sequence[str], allow_special: bool = False, threads: int | None = None
    ) -> list[list[int]]:
        """The ids of each text. ValueError naming a character that has no id."""
        unknown = set().union(*texts) - self._vocab.keys()
        if unknown:
            known = shortened("".join(self._vocab))
            raise ValueError(f"the text has {min(unknown)!r}, for which this tokenizer has no token: it has {known}.")
        return super().encode_batch(texts, allow_special, threads)


class _PlainValues(pickle.Unpickler):
    """Reads built-in containers, texts and numbers; every class and every function is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {shortened(f'{module}.{name}')}")


def read_characters(path: Path) -> Tokenizer:
    """The tokenizer of a `meta.pkl`, whose ids are those of its `itos`.

    Raises ValueError naming the file for one that holds anything but plain values, and for a vocabulary that does not
    give each id from 0 on one character of its own.
    """
    refuse_pointer(path)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is too large for a vocabulary of characters: name another tokenizer.")
    try:
        with path.open("rb") as file, off_the_terminal():
            meta = _PlainValues(file).load()
    except OSError:
        raise
    except Exception as error:  # a damaged or hostile file may raise anything
        raise ValueError(
            f"{path} is damaged or holds more than a vocabulary ({in_words(error)}): it was not read."
        ) from None
    return CharacterTokenizer(_content(_characters(path, meta)))


def _characters(path: Path, meta: Any) -> dict[str, int]:
    """Each character and its id."""
    table = meta.get("itos") if isinstance(meta, dict) else None
    if isinstance(table, list):
        table = dict(enumerate(table))
    if not isinstance(table, dict) or not table:
        raise ValueError(f"{path} has no itos, the table of ids and characters: name another tokenizer.")
    for i in range(len(table)):
        char = table.get(i)
        if not isinstance(char, str) or len(char) != 1 or "\ud800" <= char <= "\udfff":
            raise ValueError(f"{path}: itos has {shortened(char)} for {i}, not one character: name another tokenizer.")
    ids = {table[i]: i for i in range(len(table))}
    if len(ids) < len(table) or meta.get("stoi", ids) != ids:
        raise ValueError(f"{path}: itos and stoi contradict each other, or a character has two ids: fetch it again.")
    return ids


def _content(ids: dict[str, int]) -> dict[str, Any]:
    """The tokenizer.json in which every character is a word; one without an id is an error."""
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": ""},
    }
