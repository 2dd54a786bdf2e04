"""The tokenizer of a directory that has no tokenizer.json.

In: a directory with GPT-2's pair vocab.json and merges.txt (OpenAI's own names for them: encoder.json, vocab.bpe), or
BERT's vocab.txt. Out: the content that a tokenizer.json would have, or one sentence that says which file is missing.
assembled.py calls it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpt2.text.byte_level import gpt2_content
from gpt2.text.tokenizer_files import LAYOUTS, SENTENCEPIECE, WORD_LIST, Kind, flag, guarded, read_json, read_merges


def without_json(folder: Path, kind: Kind | None, options: Mapping[str, Any]) -> tuple[Path, Kind, dict[str, Any]]:
    """The tokenizer of a directory without a tokenizer.json: the vocabulary's file, its kind and its content."""
    words = folder / WORD_LIST
    if kind == "bert" and words.is_file():
        from gpt2.text.word_list import from_words

        return words, kind, guarded(words, lambda: from_words(words, options))
    for vocab, merges in ((folder / one, folder / other) for one, other in LAYOUTS):
        if vocab.is_file() and merges.is_file():
            if kind in ("bert", "file"):
                raise ValueError(
                    f"{folder}: {vocab.name} and {merges.name} are GPT-2's, but tokenizer_class names another kind, "
                    "which reads tokenizer.json: name GPT2Tokenizer in tokenizer_config.json, or put the file there."
                )
            entries, pairs = read_json(vocab), read_merges(merges)
            if not isinstance(entries, dict):
                raise ValueError(f"{vocab} is not a vocabulary: it must map each token to its id.")
            content = gpt2_content(entries, pairs, flag(folder, options, "add_prefix_space", False))
            return vocab, kind or "gpt2", content
    if words.is_file():
        raise ValueError(
            f"{words} is read only where tokenizer_class names BertTokenizer: put "
            '{"tokenizer_class": "BertTokenizer"} into tokenizer_config.json if the model was trained with it.'
        )
    for name in SENTENCEPIECE:
        if (folder / name).is_file():
            raise ValueError(
                f"{folder / name} is a SentencePiece model, which is not read here: install sentencepiece, open the "
                "directory with transformers' AutoTokenizer and save its backend_tokenizer as tokenizer.json there, "
                "with tokenizer_class PreTrainedTokenizerFast in tokenizer_config.json."
            )
    raise ValueError(f"{folder} has no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt.")
