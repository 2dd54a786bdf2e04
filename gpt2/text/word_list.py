"""BERT's words: a tokenizer of its WordPiece (Devlin et al. 2019), as GPT-2 models of Chinese have one.

In: a vocab.txt, or the vocabulary of a tokenizer.json, and the options of the class. Out: the content of a
tokenizer.json. `gpt2/text/assembled.py` asks where the directory names one of BERT's classes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt2.base.foreign import shortened
from gpt2.text.tokenizer_files import SETTINGS, flag, read_text


def from_words(path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """The content for a vocab.txt, which has a token in each line."""
    from tokenizers import models

    read_text(path)
    return words_content(path.parent, models.WordPiece.read_file(str(path)), options)


def words_content(folder: Path, vocab: dict[str, int], options: Mapping[str, Any]) -> dict[str, Any]:
    """The `tokenizer.json` of BERT's WordPiece (Devlin et al. 2019)."""
    unknown = options.get("unk_token", "[UNK]")
    unknown = unknown.get("content") if isinstance(unknown, dict) else unknown
    if not isinstance(unknown, str):
        raise ValueError(f"{folder / SETTINGS}: unk_token is {shortened(unknown)}, and BERT's words need one.")
    strip = options.get("strip_accents")
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": flag(folder, options, "tokenize_chinese_chars", True),
            "strip_accents": None if strip is None else flag(folder, options, "strip_accents", False),
            "lowercase": flag(folder, options, "do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    }  # fmt: skip
