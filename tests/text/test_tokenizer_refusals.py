"""What of a directory's tokenizer would give other ids than transformers is refused by name, and nothing is lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from gpt2.base.errors import UsageError
from gpt2.text.byte_level import byte_alphabet, gpt2_content
from gpt2.text.tokenizer import EOT, Tokenizer
from gpt2.text.tokenizer_files import OTHER_CLASSES, READ
from tests.tokenizer_directories import compare, gpt2_vocabulary, pair, unigram, write


def test_files_with_other_marks_and_line_ends(tmp_path: Path) -> None:
    def made(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        pair(folder, gpt2_vocabulary(EOT))
        return write(folder, tokenizer_config={}, special_tokens_map={}, added_tokens={})

    plain = Tokenizer.load(made("plain"))
    lines = made("lines")
    (lines / "merges.txt").write_bytes((lines / "merges.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert compare(lines, tmp_path / "lines again").hash == plain.hash
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        folder = made(f"mark in {name}")
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
        with pytest.raises(Exception):  # noqa: B017 -- transformers raises several kinds
            AutoTokenizer.from_pretrained(folder)
        with pytest.raises(ValueError, match=rf"{name} begins with a byte order mark \(BOM\): save it as UTF-8"):
            Tokenizer.load(folder)


REFUSED: list[tuple[str, dict[str, Any]]] = [
    (
        r"tokenizer_config.json: tokenizer_class is 'T5TokenizerFast', which is not read here",
        {"tokenizer_config": {"tokenizer_class": "T5TokenizerFast"}},
    ),
    (
        r"auto_map is \{'AutoTokenizer'.*is not supported",
        {"tokenizer_config": {"auto_map": {"AutoTokenizer": ["a.B", None]}}},
    ),
    (r"add_prefix_space is 'yes', and must be true or false", {"tokenizer_config": {"add_prefix_space": "yes"}}),
    (r"eos_token is 3, which is no token", {"tokenizer_config": {"eos_token": 3}}),
    (r"extra_special_tokens is 'a', and must be a list", {"tokenizer_config": {"extra_special_tokens": "a"}}),
    (r"added_tokens_decoder holds \{'x': ", {"tokenizer_config": {"added_tokens_decoder": {"x": {"content": "a"}}}}),
    (r"added_tokens.json: '<e>' has the id '7': an id is a whole number", {"added_tokens": {"<e>": "7"}}),
    (r"special_tokens_map.json holds a list, and must hold an object", {"special_tokens_map": []}),
    (r"'a' and 'b' have the same id 1: give each its own", {"vocab": {"a": 1, "b": 1}}),
    (r"'a' has the id -1, and an id is a whole number", {"vocab": {"a": -1}}),
    (r"'a' has the id 9999999999, and", {"vocab": {"a": 9999999999}}),
    (r"'a' has the id True, and", {"vocab": {"a": True}}),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "files"), REFUSED)
def test_what_would_change_ids_is_refused_by_name(sentence: str, files: dict[str, Any], tmp_path: Path) -> None:
    pair(tmp_path, gpt2_vocabulary(EOT))
    if "vocab" in files:
        (tmp_path / "merges.txt").write_text("")
    write(tmp_path, **files)
    with pytest.raises(ValueError, match=sentence) as refusal:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_model_that_the_named_class_does_not_read_is_refused(tmp_path: Path) -> None:
    unigram().save(str(tmp_path / "tokenizer.json"))
    write(tmp_path)  # transformers would make a byte-level BPE of it
    with pytest.raises(ValueError, match=r"its model is 'Unigram', .* name PreTrainedTokenizerFast"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").rename(tmp_path / "spiece.model")
    with pytest.raises(ValueError, match=r"spiece.model is a SentencePiece model, .*install sentencepiece"):
        Tokenizer.load(tmp_path)


def test_every_class_of_transformers_is_read_or_refused() -> None:
    import transformers
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    names = {name for name in dir(transformers) if name.removesuffix("Fast").endswith("Tokenizer")}
    names |= {name for name in TOKENIZER_MAPPING_NAMES.values() if name is not None}
    known = OTHER_CLASSES | READ.keys()
    assert {name for name in names if name.removesuffix("Fast") not in known} - {"AutoTokenizer"} == set()


@pytest.mark.parametrize("added", [3, {"a": 1}, [3]])
def test_added_tokens_that_are_none_are_refused(added: Any, tmp_path: Path) -> None:
    content = gpt2_content({char: i for i, char in enumerate(byte_alphabet())}, [])
    (tmp_path / "tokenizer.json").write_text(json.dumps(content | {"added_tokens": added}))
    with pytest.raises(ValueError, match=r"tokenizer.json is not a usable tokenizer"):
        Tokenizer.load(tmp_path)


def test_a_tokenizer_is_not_saved_over_other_files(tmp_path: Path) -> None:
    tokenizer, mine = Tokenizer.bytes(), tmp_path / "vocab.json"
    mine.write_text("my words")
    with pytest.raises(UsageError, match=r"vocab.json is there already: choose another directory"):
        tokenizer.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.json"]
    assert mine.read_text() == "my words"
    tokenizer.save(tmp_path, overwrite=True)
    tokenizer.save(tmp_path)  # what is there is the same
    elsewhere = mine.rename(tmp_path / "elsewhere.json")
    mine.symlink_to(elsewhere)
    with pytest.raises(UsageError, match=r"vocab.json is not a file of a tokenizer"):
        tokenizer.save(tmp_path, overwrite=True)


def test_a_post_processor_with_an_unknown_token_names_the_file(tmp_path):
    Tokenizer.bytes().save(tmp_path)
    part = [{"SpecialToken": {"id": "<x>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    pair = [*part, {"Sequence": {"id": "B", "type_id": 1}}]
    made = {"type": "TemplateProcessing", "single": part, "pair": pair, "special_tokens": {}}
    whole = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**whole, "post_processor": made}))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(ValueError, match=r"tokenizer\.json: `tokenizers` cannot put its special tokens around a text"):
        Tokenizer.load(tmp_path)
