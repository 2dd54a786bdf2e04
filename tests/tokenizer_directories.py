"""Directories with a tokenizer's files, as users have them, and what transformers makes of them."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Library
from transformers import AutoTokenizer

from gpt2.text.byte_level import byte_alphabet
from gpt2.text.tokenizer import Tokenizer

TEXTS = [
    "the cats sat.<|endoftext|> don't </s><s> a <pad>[PAD] <e>  x\n",
    "中文 Héé the",
    "",
    " ",
    " the  cat <e> sat",
    "the[SEP]the",
]
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "c"), ("Ġc", "a"), ("Ġca", "t")]
WORDS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "the", "cat", "##s", "sat", ".", "中", "文", "h", "##e", "##é", "a", "'"]


def gpt2_vocabulary(*more: str) -> dict[str, int]:
    return {token: i for i, token in enumerate([*byte_alphabet(), *(a + b for a, b in MERGES), *more])}


def pair(folder: Path, vocab: dict[str, int]) -> None:
    """vocab.json and merges.txt"""
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES), encoding="utf-8")


def byte_level(vocab: dict[str, int], **split: bool) -> Library:
    library = Library(models.BPE(vocab, MERGES))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(**split)
    library.decoder = decoders.ByteLevel()
    return library


def unigram(scheme: str = "always", with_bytes: bool = False) -> Library:
    pieces = ["<unk>", "</s>", "▁The", "▁", "▁cat", "cat", "s", "▁sat", "a", "t", "h", "e", "was"]
    pieces += [f"<0x{byte:02X}>" for byte in range(256)] if with_bytes else []
    library = Library(models.Unigram([(p, -float(i)) for i, p in enumerate(pieces)], 0, byte_fallback=with_bytes))
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    joined = [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme), decoders.Fuse()]
    library.decoder = decoders.Sequence(joined) if with_bytes else decoders.Metaspace(prepend_scheme=scheme)
    library.add_special_tokens([AddedToken("</s>", special=True)])
    return library


def write(folder: Path, **files: Any) -> Path:
    """JSON files by name; text for `words`; config.json of a GPT-2 unless it is given."""
    for name, content in ({"config": {"model_type": "gpt2"}} | files).items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def facts(theirs: Any) -> dict[str, Any]:
    """What transformers makes of a directory, field by field."""
    names = (
        "special_tokens_map", "all_special_tokens", "extra_special_tokens", "chat_template", "model_max_length",
        "padding_side", "truncation_side", "clean_up_tokenization_spaces", "model_input_names", "split_special_tokens",
        "add_bos_token", "add_eos_token", "pad_token_id", "eos_token_id", "bos_token_id",
    )  # fmt: skip
    added = {number: repr(token) for number, token in theirs.added_tokens_decoder.items()}
    ids = [theirs(text).input_ids for text in TEXTS]
    return {name: getattr(theirs, name) for name in names} | {"added": added, "words": theirs.get_vocab(), "ids": ids}


def compare(folder: Path, out: Path, seed: int = 0) -> Tokenizer:
    """Load, encode, decode, stream, save and load again, here and in transformers."""
    theirs, ours = AutoTokenizer.from_pretrained(folder), Tokenizer.load(folder)
    ends = {ours.eot_id, ours.bos_id}
    for text in TEXTS:
        ids = theirs(text, add_special_tokens=False).input_ids
        assert ours.encode(text, allow_special=True) == ids
        assert ours.around(ids) == theirs(text).input_ids
        assert ours.decode(ids) == theirs.decode(ids)
        plain = theirs(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert ours.encode(text) == plain or ends & set(plain)  # ours hides the ends of a text, special or not
    rng = random.Random(seed)
    for _ in range(10):
        ids = [rng.randrange(ours.vocab_size) for _ in range(12)]
        assert ours.decode(ids) == theirs.decode(ids)
    before = facts(theirs)
    ours.save(out)
    alone = Tokenizer.load(out)
    assert (alone.hash, alone.eot_id, alone.bos_id) == (ours.hash, ours.eot_id, ours.bos_id)
    if (folder / "config.json").exists():
        shutil.copy(folder / "config.json", out)
    assert facts(AutoTokenizer.from_pretrained(out)) == before
    return ours
