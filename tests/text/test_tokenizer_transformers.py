"""A directory's tokenizer against transformers' AutoTokenizer: ids, text, names, and what is written again."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Library
from transformers import AutoTokenizer

from gpt2.base.errors import UsageError
from gpt2.checkpoint.hub import bundled_directory
from gpt2.text import assembled
from gpt2.text.byte_level import byte_alphabet, gpt2_content
from gpt2.text.tokenizer import EOT, Tokenizer
from gpt2.text.tokenizer_files import OTHER_CLASSES, READ

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


def test_the_bundled_tokenizer_says_how_long_a_text_may_be() -> None:
    folder = bundled_directory()
    longest = AutoTokenizer.from_pretrained(folder).model_max_length
    assert longest == json.loads((folder / "config.json").read_text())["n_positions"]
