"""Three small vocabularies, trained once: byte-level BPE as GPT-2's, Unigram with Metaspace, WordPiece."""

import functools
import json
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

END = "<|endoftext|>"
CORPUS = [
    "The cat sat on the mat, and the dog didn't mind. The cat's name was Tom; it'll be back.",
    "Once upon a time there was a little girl who lived in a village near the forest, and she said hello.",
    "In 2019 they had 1234 parameters - don't you think that's enough? We've seen it: yes, they're there.",
    "Grüße aus Köln, où est la bibliothèque? Ça va. 日本語のテキスト と 漢字. Привет, мир! 😀 fine.",
    "the the the and and and cat cat dog dog was was little little said said upon time time there there",
]
TEXTS = [
    "The cat sat on the mat.",
    " the dog didn't mind",
    "Once upon  a time   there",
    "hello , world ! do n't you think ?",
    "Grüße, Köln 日本語 😀",
    "line one\nline two\n\n  indented\t tab ",
    "THE CAT'S 1234 parameters; it'll be",
    f"a cat{END}the dog {END} end",
    "<pad>the<extra_0> cat <|im_start|>user\n<extra_1>said",
    " ",
    "x",
]


@functools.cache
def byte_level() -> str:
    """tokenizer.json of a byte-level BPE with `<|endoftext|>` as the last token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    content = json.loads(tokenizer.to_str())
    content["model"]["vocab"][END] = len(content["model"]["vocab"])
    content["added_tokens"] = [added(content["model"]["vocab"][END], END)]
    return json.dumps(content, ensure_ascii=False)


@functools.cache
def metaspace() -> str:
    """tokenizer.json of a Unigram model whose words begin with "▁"."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>"
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return str(tokenizer.to_str())


@functools.cache
def word_piece() -> tuple[str, ...]:
    """The lines of a BERT-style vocab.txt."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, show_progress=False, special_tokens=special)
    tokenizer.train_from_iterator(CORPUS, trainer)
    vocab = tokenizer.get_vocab()
    return tuple(sorted(vocab, key=lambda token: vocab[token]))


def added(number: int, content: str, **other: Any) -> dict[str, Any]:
    """An entry of `added_tokens`."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": content, **flags, **other}
