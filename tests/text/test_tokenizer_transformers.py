"""A directory's tokenizer against transformers' AutoTokenizer: ids, text, names, and what is written again."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, normalizers, processors
from transformers import AutoTokenizer

from gpt2.checkpoint.hub import bundled_directory
from gpt2.text import assembled
from gpt2.text.byte_level import byte_alphabet, gpt2_content
from gpt2.text.tokenizer import EOT, Tokenizer
from tests.tokenizer_directories import WORDS, byte_level, compare, gpt2_vocabulary, pair, write

CHAT = {"model_max_length": 77, "padding_side": "left", "truncation_side": "left", "pad_token": "<pad>"}
SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "add_prefix_space alone": {"tokenizer_config": {"add_prefix_space": True}},
    "tokens outside the vocabulary": {
        "tokenizer_config": {"pad_token": "[PAD]", "unk_token": "<e>", "eos_token": "</s>"}
    },
    "only in added_tokens_decoder": {
        "tokenizer_config": {
            "added_tokens_decoder": {
                "261": {"content": EOT, "special": True},
                "300": {"content": "<e>", "lstrip": True, "special": False, "normalized": False},
                "299": {"content": "</s>", "rstrip": True, "special": True},
            },
            "eos_token": "</s>",
        },
        "special_tokens_map": {"pad_token": "not read beside added_tokens_decoder"},
    },
    "only in a map": {
        "special_tokens_map": {"pad_token": {"content": "<e>", "lstrip": True, "rstrip": False}, "eos_token": "</s>"},
        "tokenizer_config": {"eos_token": "<s>"},
    },
    "added_tokens.json": {"added_tokens": {"<e>": 262, "</s>": 263}, "tokenizer_config": {"eos_token": "</s>"}},
    "more special tokens": {
        "tokenizer_config": {"additional_special_tokens": ["<e>", {"__type": "AddedToken", "content": "[PAD]"}]},
        "special_tokens_map": {"extra_special_tokens": ["</s>"]},
    },
    "named special tokens": {
        "tokenizer_config": {"extra_special_tokens": {"boi_token": "<e>"}, "image_token": "[PAD]"}
    },
    "before and after": {"tokenizer_config": {"add_bos_token": True, "add_eos_token": True, "bos_token": "<s>"}},
    "split": {"tokenizer_config": {"split_special_tokens": True}},
    "cleaned, but not a BPE": {"tokenizer_config": {"clean_up_tokenization_spaces": True}},
    "cleaned all the same": {
        "tokenizer_config": {
            "clean_up_tokenization_spaces": True,
            "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True,
        }
    },
    "a chat model": {"tokenizer_config": CHAT | {"chat_template": [{"name": "default", "template": "{{ x }}"}]}},
    "RoBERTa's": {"tokenizer_config": {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True}},
    "a class nobody knows": {"tokenizer_config": {"tokenizer_class": "OwnTokenizerFast", "pad_token": "<e>"}},
    "as the file is": {"tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>"}},
}
LAYOUTS = ("pair", "json", "both", "other json")


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.filterwarnings("ignore::gpt2.base.notes.Note")
def test_ids_text_and_names_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    as_it_is = SETTINGS[name].get("tokenizer_config", {}).get("tokenizer_class", "") in (
        "OwnTokenizerFast",
        "PreTrainedTokenizerFast",
    )
    for layout in LAYOUTS:
        folder = tmp_path / layout
        folder.mkdir()
        vocab = gpt2_vocabulary(EOT, "<s>") if layout != "json" else gpt2_vocabulary("</s>")
        if layout in ("pair", "both"):
            pair(folder, vocab)
        if layout != "pair":
            library = byte_level(vocab, add_prefix_space=layout == "other json", use_regex=layout != "other json")
            if layout == "other json":
                library.normalizer = normalizers.Lowercase()
                library.enable_truncation(3)
                library.enable_padding(pad_token="<pad>")
                parts = [("<s>", vocab["<s>"]), (EOT, vocab[EOT])]
                library.post_processor = processors.TemplateProcessing(f"<s> $A {EOT}", special_tokens=parts)
            library.add_tokens([AddedToken("[PAD]", special=False, normalized=True), AddedToken(EOT, special=True)])
            library.save(str(folder / "tokenizer.json"))
        write(folder, **SETTINGS[name])
        if layout == "pair" and as_it_is:
            with pytest.raises(ValueError, match=r"vocab.json and merges.txt are GPT-2's, but tokenizer_class names"):
                Tokenizer.load(folder)
        else:
            compare(folder, tmp_path / f"{layout} again")


BERT: tuple[dict[str, Any], ...] = (
    {},
    {"do_lower_case": False},
    {"tokenize_chinese_chars": False, "strip_accents": True},
    {"eos_token": "[SEP]", "clean_up_tokenization_spaces": True, "bos_token": "[BOS]"},
)


@pytest.mark.parametrize("settings", BERT)
@pytest.mark.filterwarnings("ignore::gpt2.base.notes.Note")
def test_the_words_of_bert(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    write(folder, config={"model_type": "gpt2", "tokenizer_class": "BertTokenizer"}, tokenizer_config=settings)
    ours = compare(folder, tmp_path / "again")
    assert (ours.before, ours.after, ours.pad_id) == ((2,), (3,), 1)
    assert ours.eot_id == (3 if settings.get("eos_token") else None)
    assert ours.encode("the cats") == [4, 5, 6]  # without [CLS] and [SEP]
    write(folder)
    if not settings:
        with pytest.raises(ValueError, match=r"vocab.txt is read only where tokenizer_class names BertTokenizer"):
            Tokenizer.load(folder)
    made = tmp_path / "json"
    made.mkdir()
    AutoTokenizer.from_pretrained(tmp_path / "again").save_pretrained(made)
    write(made)
    assert compare(made, tmp_path / "made again").encode("the cats") == [4, 5, 6]


def test_side_files_are_carried_through(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "additional_chat_templates").mkdir(parents=True)
    pair(source, gpt2_vocabulary(EOT))
    write(source, tokenizer_config=CHAT | {"own field": [1], "model_input_names": ["input_ids"]})
    (source / "chat_template.jinja").write_bytes("{{ 'é' }}\r\n".encode())
    (source / "chat_template.json").write_text('{"chat_template": "of a processor"}')
    (source / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    with pytest.warns(Warning, match="nothing here reads 'own field'"):
        ours = compare(source, out)
    assert ours.pad_id == 262
    assert json.loads((out / "tokenizer_config.json").read_text())["own field"] == [1]
    for name in ("chat_template.jinja", "chat_template.json", "additional_chat_templates/tools.jinja", "merges.txt"):
        assert (out / name).read_bytes() == (source / name).read_bytes()


def test_what_is_made_here_says_how_long_a_text_may_be(tmp_path: Path) -> None:
    Tokenizer.bytes().save(tmp_path, context=24)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.model_max_length == 24
    assert len(theirs("a" * 100, truncation=True).input_ids) == 24
    Tokenizer.load(tmp_path).save(tmp_path / "again", context=12)
    assert AutoTokenizer.from_pretrained(tmp_path / "again").model_max_length == 24


def test_an_end_that_only_config_names_is_not_lost_without_it(tmp_path: Path) -> None:
    pair(tmp_path, gpt2_vocabulary(EOT))
    write(tmp_path, config={"model_type": "gpt2", "eos_token_id": 198, "bos_token_id": 5, "pad_token_id": 7})
    ours = compare(tmp_path, tmp_path / "again")
    assert (ours.eot_id, ours.bos_id, ours.pad_id) == (198, 5, 7)


def test_an_id_that_a_file_gives_in_vain_is_told(tmp_path: Path) -> None:
    pair(tmp_path, gpt2_vocabulary(EOT))
    write(tmp_path, added_tokens={"<e>": 300})
    with pytest.warns(Warning, match=r"'<e>' has the id 300 there, but 262 follows"):
        assert compare(tmp_path, tmp_path / "again").vocab_size == 263


def test_what_is_put_around_a_text_is_told(tmp_path: Path) -> None:
    pair(tmp_path, gpt2_vocabulary(EOT, "<s>"))
    write(tmp_path, tokenizer_config={"add_bos_token": True, "bos_token": "<s>"})
    with pytest.warns(Warning, match=r"transformers puts special tokens around a text \(<s> text\); here the"):
        ours = Tokenizer.load(tmp_path)
    assert (ours.encode("the"), ours.around(ours.encode("the"))) == ([257], [262, 257])


PLAIN: list[dict[str, Any]] = [
    {},
    {"tokenizer_config": {"tokenizer_class": "GPT2Tokenizer", "eos_token": "ab", "add_bos_token": False}},
    {"special_tokens_map": {"pad_token": "ab", "unk_token": None}},
    {"tokenizer": [{"content": EOT, "id": 257}, {"content": "ab", "id": 256, "special": True, "lstrip": True}]},
    {"tokenizer": [{"content": EOT, "id": 3, "special": True, "normalized": True}]},
]


@pytest.mark.parametrize("files", PLAIN)
def test_tokens_of_the_vocabulary_need_no_library(
    files: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short way gives what adding the tokens to the library gives."""
    vocab = {char: i for i, char in enumerate(byte_alphabet())} | {"ab": 256, EOT: 257}
    files = {"config": {"model_type": "gpt2"}, **files}
    if "tokenizer" in files:
        files["tokenizer"] = gpt2_content(vocab, [("a", "b")]) | {"added_tokens": files["tokenizer"]}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("a b\n")
    with monkeypatch.context() as without_library:
        without_library.setattr(assembled, "built", None)
        short = assembled.assemble(tmp_path)
    monkeypatch.setattr(assembled, "_all_in_vocabulary", lambda *given: None)
    assert short == assembled.assemble(tmp_path)


def test_the_bundled_tokenizer_says_how_long_a_text_may_be() -> None:
    folder = bundled_directory()
    longest = AutoTokenizer.from_pretrained(folder).model_max_length
    assert longest == json.loads((folder / "config.json").read_text())["n_positions"]
