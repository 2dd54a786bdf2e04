"""Ids that come one at a time: the text that a stream hands out is that of all the ids, as transformers decodes it."""

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers
from transformers import AutoTokenizer

from gpt2.text.tokenizer import EOT, Tokenizer
from tests.tokenizer_directories import compare, gpt2_vocabulary, pair, unigram, write


@pytest.mark.parametrize("with_bytes", [False, True])
@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_a_continuation_begins_where_its_prompt_ends(scheme: str, with_bytes: bool, tmp_path: Path) -> None:
    # Metaspace drops the space before a text's first word: alone, " sat" after "The cat" would be "sat".
    unigram(scheme, with_bytes).save(str(tmp_path / "tokenizer.json"))
    write(tmp_path, tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"})
    ours = compare(tmp_path, tmp_path / "again")
    prompt, more = ours.encode("The cat"), ours.encode("The cat sat at the")[len(ours.encode("The cat")) :]
    stream = ours.stream(prompt)
    pieces = [stream.push(token) for token in more] + [stream.finish()]
    assert ours.decode(prompt) + "".join(pieces) == ours.decode(prompt + more)
    assert pieces[0].startswith(" ")
    rng = random.Random(1)
    for _ in range(100):
        ids = [rng.randrange(ours.vocab_size) for _ in range(12)]
        stream = ours.stream()
        assert "".join([*map(stream.push, ids), stream.finish()]) == ours.decode(ids)


def test_half_a_character_is_completed_after_the_prompt() -> None:
    ours = Tokenizer.bytes()
    ids = ours.encode("a🙂b")
    for cut in range(1, len(ids)):
        stream = ours.stream(ids[:cut])
        text = "".join([*map(stream.push, ids[cut:]), stream.finish()])
        assert text == ("🙂b" if cut < 5 else "b")
    stream = ours.stream(ids[:3])  # the prompt's own text shows U+FFFD already
    assert stream.push(ids[0]) + stream.finish() == "a"


def test_spaces_are_cleaned_in_a_stream_too(tmp_path: Path) -> None:
    words = ["[UNK]", "do", "n", "'", "t", ".", "##s", "a"]
    library = Library(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    library.pre_tokenizer, library.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(cleanup=False)
    library.save(str(tmp_path / "tokenizer.json"))
    write(tmp_path, tokenizer_config={"tokenizer_class": "TokenizersBackend", "clean_up_tokenization_spaces": True})
    ours, theirs = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    rng = random.Random(2)
    for _ in range(200):
        ids = [rng.randrange(len(words)) for _ in range(9)]
        stream = ours.stream()
        assert "".join([*map(stream.push, ids), stream.finish()]) == ours.decode(ids) == theirs.decode(ids)


def test_a_row_without_a_token_has_a_label_and_no_text(tmp_path: Path) -> None:
    pair(tmp_path, gpt2_vocabulary() | {"<e>": 270, EOT: 263})
    write(tmp_path)
    ours = Tokenizer.load(tmp_path)
    assert ours.holes(273) == [261, 262, *range(264, 270), 271, 272]
    assert (ours.label(264), ours.label(272), ours.label(256)) == ("<no token 264>", "<no token 272>", "th")
    assert ours.decode([83, 264, 71]) == AutoTokenizer.from_pretrained(tmp_path).decode([83, 264, 71]) == "th"
    stream = ours.stream()
    assert stream.push(264) == ""
