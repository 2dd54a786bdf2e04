"""The tokenizer: GPT-2's ids, decoding whole and streamed, special tokens, files, training, bad input."""

import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2.text import byte_level
from gpt2.text.byte_level import has_endless_space
from gpt2.text.stream import _LAST_WORDS
from gpt2.text.tokenizer import EOT, Tokenizer, visible

ROOT = Path(__file__).parents[2]
SAMPLE = "The cat sat on the mat.\n\n  It's 12 o'clock — naïve 🙂 日本語!\t\r\n   <|endoftext|> the end   "
FABLE = (ROOT / "gpt2" / "assets" / "stories.txt").read_text(encoding="utf-8")[:20_000]


@pytest.fixture(scope="module")
def gpt2(gpt2_files) -> Tokenizer:
    return Tokenizer.load(gpt2_files)


@pytest.fixture(scope="module")
def parity():
    spec = importlib.util.spec_from_file_location("parity", ROOT / "benchmarks" / "tokenizer_parity.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    """A trained tokenizer of 300 entries."""
    return Tokenizer.train([FABLE], 300)


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory) -> Path:
    """A tokenizer that is nothing like GPT-2's."""
    from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Library

    words = ["[UNK]", EOT, "the", "cat", "##s", "sat", "<", "|", ">", "endoftext", "."]
    library = Library(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    library.normalizer = normalizers.Lowercase()
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    library.add_special_tokens([AddedToken(EOT, special=True)])
    library.enable_truncation(2)
    directory = tmp_path_factory.mktemp("wordpiece")
    library.save(str(directory / "tokenizer.json"))
    return directory


def test_gpt2_ids(gpt2):
    assert gpt2.encode("The cat sat on the") == [464, 3797, 3332, 319, 262]
    assert (gpt2.vocab_size, gpt2.eot_id) == (50257, 50256)
    assert gpt2.splits_before_space


def test_ids_equal_transformers_and_decoding_returns_the_text(gpt2, gpt2_files, parity):
    theirs = parity.reference(gpt2_files)
    rng = random.Random(1)
    texts = ["", " ", "\n", SAMPLE, FABLE, *(parity.random_text(rng) for _ in range(2000))]
    count = parity.compare(gpt2, theirs, texts)
    assert count["ids"] > 50_000
    assert (count["ids_differ"], count["decoding_differs"]) == (0, 0)


def test_batch_equals_single(gpt2, small, wordpiece):
    texts = [SAMPLE, "", "the cats", FABLE]
    for tokenizer in (gpt2, small, Tokenizer.load(wordpiece)):
        for allow in (False, True):
            assert tokenizer.encode_batch(texts, allow) == [tokenizer.encode(text, allow) for text in texts]


def test_end_of_text_is_ordinary_text_unless_allowed(gpt2, small, wordpiece):
    for tokenizer in (gpt2, small, Tokenizer.bytes(), Tokenizer.load(wordpiece)):
        text = f"the {EOT} cat"
        assert tokenizer.eot_id not in tokenizer.encode(text)
        assert tokenizer.encode(text, allow_special=True).count(tokenizer.eot_id) == 1
        assert tokenizer.token_bytes(tokenizer.eot_id) == EOT.encode()
    assert gpt2.decode(gpt2.encode(f"a{EOT}b")) == gpt2.decode([64, 50256, 65]) == f"a{EOT}b"


def test_other_tokenizers_are_not_cut_short(wordpiece):
    # The file asks for truncation after 2 tokens, which would silently lose text.
    tokenizer = Tokenizer.load(wordpiece)
    ids = tokenizer.encode("The cats sat.")
    assert ids == [2, 3, 4, 5, 10]
    assert tokenizer.decode(ids) == "the cats sat."
    assert not tokenizer.splits_before_space
    stream = tokenizer.stream()
    assert "".join([*map(stream.push, ids), stream.finish()]) == "the cats sat."


def test_streaming_holds_back_incomplete_characters(gpt2):
    stream = gpt2.stream()
    ids = gpt2.encode("a🙂b")
    assert len(ids) > 3
    parts = [stream.push(token) for token in ids]
    assert [part for part in parts if part] == ["a", "🙂", "b"]
    assert stream.finish() == ""

    broken = ids[:2]  # the character never ends
    stream = gpt2.stream()
    assert [stream.push(token) for token in broken] == ["a", ""]
    assert stream.finish() == "\ufffd"


def test_streaming_equals_decoding_for_any_ids(gpt2, small):
    rng = random.Random(2)
    for tokenizer in (gpt2, small, Tokenizer.bytes()):
        for _ in range(300):
            ids = [rng.randrange(min(tokenizer.vocab_size, rng.choice((257, 60_000)))) for _ in range(20)]
            stream = tokenizer.stream()
            assert "".join([*map(stream.push, ids), stream.finish()]) == tokenizer.decode(ids)


def named_ends(directory: Path, size: int, **files) -> tuple[int | None, int | None]:
    """The ends that `Tokenizer.bytes()` with "</s>" (257) and "<s>" (258) takes from these files."""
    Tokenizer.bytes().save(directory)
    for path in directory.iterdir():
        if path.name not in ("vocab.json", "merges.txt"):
            path.unlink()
    for name, content in ({"added_tokens": {"</s>": 257, "<s>": 258}} | files).items():
        (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = Tokenizer.load(directory)
    assert tokenizer.vocab_size == size  # tokens added later are neither lost nor, in the model, cut off as padding
    assert tokenizer.eot_id not in tokenizer.encode("the </s> end")
    assert tokenizer.encode("a</s>", allow_special=True) == [64, 257]
    return tokenizer.bos_id, tokenizer.eot_id


def test_the_ends_of_a_text_are_those_that_the_directory_names(tmp_path):
    ids = {"bos_token_id": 258, "eos_token_id": [257, 256]}
    cases = [
        ({}, (256, 256)),
        ({"tokenizer_config": {"eos_token": "</s>"}}, (257, 257)),
        ({"tokenizer_config": {"eos_token": {"content": "</s>"}, "bos_token": None}}, (257, 257)),
        ({"special_tokens_map": {"eos_token": "</s>", "bos_token": "<s>"}}, (258, 257)),
        ({"config": ids}, (258, 257)),
        ({"generation_config": ids, "config": {"eos_token_id": 0}}, (258, 257)),
        ({"tokenizer_config": {"eos_token": EOT}, "config": ids}, (258, 256)),
        ({"config": {"bos_token_id": 50256, "eos_token_id": 50256}}, (256, 256)),  # transformers' default
        ({"config": {"eos_token_id": None}, "tokenizer_config": {"eos_token": "no such token"}}, (259, 259)),
        ({"config": {"eos_token_id": 198}}, (198, 198)),  # a new line ends the text, and stays ordinary text
    ]
    for number, (files, ends) in enumerate(cases):
        size = 260 if 259 in ends else 259  # transformers adds a token that the vocabulary lacks
        assert named_ends(tmp_path / str(number), size, **files) == ends, files
    assert Tokenizer.load(tmp_path / "9").encode("\n") == Tokenizer.bytes().encode("\n")
    hashes = [Tokenizer.load(tmp_path / str(number)).hash for number in (0, 1, 2, 7)]
    assert hashes[0] != hashes[1]  # shards that end their documents otherwise are other data
    assert (hashes[1], hashes[0]) == (hashes[2], hashes[3])


@pytest.mark.parametrize("wrong", [257, -1])
def test_an_id_outside_the_vocabulary_is_named(wrong, wordpiece):
    for tokenizer in (Tokenizer.bytes(), Tokenizer.load(wordpiece)):
        with pytest.raises(ValueError, match=f"token id {wrong} is not in the vocabulary"):
            tokenizer.decode([2, wrong])
        with pytest.raises(ValueError, match=str(wrong)):
            tokenizer.token_bytes(wrong)


def test_bytes_follow_gpt2s_order(gpt2):
    tokenizer = Tokenizer.bytes()
    assert (tokenizer.vocab_size, tokenizer.eot_id) == (257, 256)
    assert [tokenizer.token_bytes(i) for i in range(256)] == [gpt2.token_bytes(i) for i in range(256)]
    assert tokenizer.decode(tokenizer.encode(SAMPLE)) == SAMPLE
    assert len(tokenizer.encode(SAMPLE)) == len(SAMPLE.encode())


def test_training_gives_gpt2s_layout(small, gpt2):
    assert (small.vocab_size, small.eot_id) == (300, 299)
    assert small.splits_before_space  # ids in merge order, so tiktoken serves it
    assert [small.token_bytes(i) for i in range(256)] == [gpt2.token_bytes(i) for i in range(256)]
    assert len(small.encode(FABLE)) < 0.7 * len(FABLE.encode())
    assert small.decode(small.encode(SAMPLE)) == SAMPLE
    assert small.hash == Tokenizer.train(iter([FABLE]), 300).hash
    # The other library, given the same tokenizer, agrees.
    assert small.library(False).encode(FABLE + SAMPLE, add_special_tokens=False).ids == small.encode(FABLE + SAMPLE)


def test_training_stops_when_no_pair_repeats():
    assert Tokenizer.train(["abab"], 1000).vocab_size < 262
    with pytest.raises(ValueError, match="256 is too small"):
        Tokenizer.train([FABLE], 256)


def test_save_and_load_in_every_layout(small, gpt2, tmp_path):
    for name, tokenizer in {"small": small, "bytes": Tokenizer.bytes()}.items():
        saved = tmp_path / name
        tokenizer.save(saved)
        layouts = {
            "json": {"tokenizer.json": "tokenizer.json"},
            "hf": {"vocab.json": "vocab.json", "merges.txt": "merges.txt"},
            "openai": {"vocab.json": "encoder.json", "merges.txt": "vocab.bpe"},
        }
        for layout, files in layouts.items():
            directory = tmp_path / f"{name}-{layout}"
            directory.mkdir()
            for source, target in files.items():
                shutil.copy(saved / source, directory / target)
            loaded = Tokenizer.load(directory)
            assert loaded.hash == tokenizer.hash
            assert (loaded.vocab_size, loaded.eot_id) == (tokenizer.vocab_size, tokenizer.eot_id)
            assert loaded.encode(SAMPLE, True) == tokenizer.encode(SAMPLE, True)
        assert not [path for path in saved.iterdir() if path.name.endswith(".tmp")]
    assert len({small.hash, gpt2.hash, Tokenizer.bytes().hash}) == 3


def test_hash_of_gpt2_never_changes(gpt2):
    # Manifests of token shards hold it.
    assert gpt2.hash == "a4ca33ea0b69d1c7aff4222dcc44f858b4ba3811d4ccb46b0a6d085dda8ba20a"


def test_transformers_reads_what_save_writes(small, gpt2, wordpiece, tmp_path):
    from transformers import AutoTokenizer

    for name, tokenizer in {"small": small, "gpt2": gpt2, "other": Tokenizer.load(wordpiece)}.items():
        tokenizer.save(tmp_path / name)
        theirs = AutoTokenizer.from_pretrained(tmp_path / name, local_files_only=True)
        assert theirs(SAMPLE).input_ids == tokenizer.encode(SAMPLE, allow_special=True)
        assert theirs(SAMPLE, split_special_tokens=True).input_ids == tokenizer.encode(SAMPLE)
        # a tokenizer.json that names no end says no more than it did when it is written again
        assert theirs.eos_token_id == (None if name == "other" else tokenizer.eot_id)
        assert Tokenizer.load(tmp_path / name).eot_id == tokenizer.eot_id


def test_ids_out_of_merge_order_go_the_other_way(tmp_path):
    # tiktoken takes the lower id first: with these ids it would read "abc" as ab+c, the merges say a+bc.
    Tokenizer.bytes().save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"] |= {"ab": 257, "bc": 258}
    content["model"]["merges"] = [["b", "c"], ["a", "b"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path)
    assert not tokenizer.splits_before_space
    assert list(map(tokenizer.token_bytes, tokenizer.encode("abc"))) == [b"a", b"bc"]


def test_a_token_that_merges_never_reach_goes_the_other_way(tmp_path):
    # tiktoken takes a word that is a token at once; here the merges lead "abc" to a+bc and no further.
    Tokenizer.bytes().save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"] |= {"bc": 257, "ab": 258, "abc": 259}
    content["model"]["merges"] = ["b c", "a b", "ab c"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path)
    assert not tokenizer.splits_before_space
    assert list(map(tokenizer.token_bytes, tokenizer.encode("abc"))) == [b"a", b"bc"]


def test_surrogates_become_replacement_characters(gpt2, wordpiece):
    assert gpt2.encode("a\ud800b") == gpt2.encode("a\ufffdb")
    assert gpt2.encode("\ud83d\ude42") == gpt2.encode("🙂")  # a pair, as broken JSON readers leave it
    assert Tokenizer.load(wordpiece).encode("the \ud800") == [2, 0]


@pytest.mark.parametrize("run", [" ", "\n", "a", "!", "é"])
def test_endless_runs(run, gpt2):
    # tiktoken's regular expressions overflow on some 10^5 white-space characters in a row.
    n = 700_000 if run.isspace() else 200_000
    text = "x" + run * n + "y"
    ids = gpt2.encode(text)
    assert gpt2.decode(ids) == text
    if run == " ":
        assert ids == [87, *[220] * (n - 1), 331]  # the last space belongs to the word: " y"


class Watched(str):
    """A text that counts the characters which a test for white space looks at."""

    looked = 0

    def __getitem__(self, key):
        return Watched(super().__getitem__(key))

    def isspace(self):
        Watched.looked += len(self) - len(self.lstrip()) + 1
        return super().isspace()


@pytest.mark.parametrize("run", [1, 5_000, 49_999, 50_000, 99_999, 100_000, 300_000])
@pytest.mark.parametrize("space", [" ", "\n", "\u00a0"])
def test_the_guard_against_endless_space_looks_at_each_character_once(run, space, monkeypatch):
    # A regular expression that was tried from every character looked 5 * 10^9 times at a table of 2 MB.
    text = Watched("abc" + ("word" + space * run) * (300_000 // run))
    monkeypatch.setattr(Watched, "looked", 0)
    found = has_endless_space(text)
    assert Watched.looked <= len(text)
    assert found or run < 100_000
    assert not found or run >= 50_000


def test_a_long_run_goes_the_other_way_wherever_it_stands(monkeypatch, gpt2):
    source = random.Random(0)
    monkeypatch.setattr(byte_level, "_ENDLESS", 6)
    for _ in range(300):
        text = "".join(source.choice(["a", " is", "1", ".", "é"]) + " \n"[source.randrange(2)] * source.randrange(15)
                       for _ in range(source.randrange(5)))  # fmt: skip
        longest = max(map(len, re.findall(r"\s+", text)), default=0)
        assert longest >= 6 if has_endless_space(text) else longest < 12
        assert gpt2.encode(text) == gpt2._tiktoken.encode_ordinary(text)


def test_the_last_words_are_held_back_in_linear_time():
    # Tried from every white-space character, with every way to share a run among four words, 200 spaces took minutes.
    slow = re.compile(r"(?:\s+\S*){0,4}\Z")
    source = random.Random(0)
    for _ in range(2000):
        text = "".join(source.choice("ab \n ") for _ in range(source.randrange(12)))
        assert _LAST_WORDS.sub("", text) == slow.sub("", text)
    spaces = " " * 20_000
    assert _LAST_WORDS.sub("", f"a{spaces}b c d e f") == f"a{spaces}b"


def test_visible():
    assert visible(b" the cat") == "·the·cat"
    assert visible(b"\n\t\r\x00") == r"\n\t\x0d\x00"
    assert visible("né🙂".encode()) == "né🙂"
    assert visible("🙂".encode()[:2]) == r"\xf0\x9f"
    assert visible("\u202e\u200b".encode()) == r"\xe2\x80\xae\xe2\x80\x8b"  # would turn the terminal's line


def test_bad_files(tmp_path):
    def refuses(pattern, **files):
        directory = tmp_path / str(len(list(tmp_path.iterdir())))
        directory.mkdir()
        for name, content in files.items():
            (directory / name.replace("_", ".")).write_bytes(content)
        with pytest.raises(ValueError, match=pattern):
            Tokenizer.load(directory)

    with pytest.raises(ValueError, match="is not a directory"):
        Tokenizer.load(tmp_path / "nowhere")
    refuses("has no tokenizer: it needs tokenizer.json")
    refuses("has no tokenizer", vocab_json=b"{}")
    refuses("is not JSON", tokenizer_json=b"{")
    refuses("is not UTF-8", tokenizer_json=b"\xff")
    for content in (b"[]", b"3", b"{}", b'{"model": {"vocab": 3}}', b'{"model": {"vocab": {"a": "b"}}}'):
        refuses("is not a usable tokenizer", tokenizer_json=content)
    refuses("vocabulary is empty", vocab_json=b"{}", merges_txt=b"")
    refuses("is not a vocabulary", vocab_json=b"[]", merges_txt=b"")
    refuses("line 2: 'a b c' is not a merge", vocab_json=b'{"a": 0}', merges_txt=b"#version: 0.2\na b c\n")
    refuses("is not a usable tokenizer", vocab_json=b'{"a": 0}', merges_txt=b"a b\n")


def test_importing_is_light():
    code = "import gpt2.text.tokenizer, sys; print({'torch', 'tiktoken', 'tokenizers', 'numpy'} & set(sys.modules))"
    command, environment = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "set()"
