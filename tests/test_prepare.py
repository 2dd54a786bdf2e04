"""Documents, token shards and `gpt2 prepare`: exact splitting, what is written, bad input, nothing half-written."""

import errno
import gzip
import hashlib
import json
import random
import re
from itertools import pairwise

import numpy as np
import pytest

from gpt2.cli.main import main
from gpt2.data import documents as documents_module
from gpt2.data import prepare as prepare_module
from gpt2.data.documents import documents, pieces
from gpt2.data.prepare import prepare, train_tokenizer
from gpt2.data.shards import ShardWriter, TokenShards
from gpt2.tokenizer import EOT, Tokenizer

SEP = f"\n{EOT}\n"
TEXTS = ["One fox.\n\nTwo crows.\n", "  naïve 🙂 text ", "\n", "a <|endoftext|> inside a line", "last\r\n"]


@pytest.fixture
def stories(tmp_path):
    """A .txt.gz file with every document followed by the separator."""
    path = tmp_path / "stories.txt.gz"
    path.write_bytes(gzip.compress("".join(text + SEP for text in TEXTS).encode()))
    return path


def split(tmp_path, text, name="file.txt"):
    path = tmp_path / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return list(documents(path))


def test_documents_are_unchanged(stories):
    assert list(documents(stories)) == TEXTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one document\n", ["one document\n"]),
        (f"a{SEP}b", ["a", "b"]),
        (f"a{SEP}b\n", ["a", "b\n"]),
        (f"a\n{EOT}", ["a"]),
        (f"{EOT}\na{SEP}{EOT}\n{SEP}b{SEP}", ["a", "b"]),
        (f"a{SEP}\n{EOT}\n", ["a"]),
        (f"a\n {EOT}\nb", [f"a\n {EOT}\nb"]),
        (f"a\r\n{EOT}\r\nb\r\n", ["a", "b\r\n"]),
        (f"a\r\n{EOT}\nb", ["a\r", "b"]),
        ("\ufeffa", ["a"]),
        (f"a\u2028{EOT}\u2028b", [f"a\u2028{EOT}\u2028b"]),
    ],
)
def test_separators(tmp_path, text, expected):
    assert split(tmp_path, text) == expected
    assert split(tmp_path, text, "file.txt.gz") == expected


@pytest.mark.parametrize("size", [20, 21, 33, 64])
def test_pieces_change_nothing(tmp_path, monkeypatch, size):
    # Separators and words stand on every side of a piece's border.
    monkeypatch.setattr(documents_module, "PIECE_BYTES", size)
    rng = random.Random(size)
    words = ["a", "bb", "🙂", " ", "  ", "\n", "\u3000", "\u00a0", EOT, SEP, "long" * 9, "\r\n", "'s", "12"]
    tokenizer = Tokenizer.train(["a bb 's  12 long long bb bb a 12\n\n a a\n\n  \n"] * 3, 280)
    cuts = 0
    for _ in range(200):
        text = "".join(rng.choice(words) for _ in range(rng.randint(1, 60)))
        path = tmp_path / "file.txt"
        path.write_bytes(text.encode())
        parts = re.split(rf"(?:\A|(?<=\n)){re.escape(EOT)}(\r\n|\n|\Z)", text)  # text, line end, text, ...
        whole = [parts[-1]]
        for body, end in zip(parts[-3::-2], parts[-2::-2], strict=True):
            whole.insert(0, body.removesuffix("\r\n" if end == "\r\n" and body.endswith("\r\n") else "\n"))
        found = list(pieces(path))
        joined, ids = [""], [[]]
        for piece, ends in found:
            joined[-1] += piece
            ids[-1] += tokenizer.encode(piece)
            if ends:
                joined.append("")
                ids.append([])
        assert joined.pop() == ""
        assert joined == [document for document in whole if document]
        assert ids[:-1] == [tokenizer.encode(document) for document in joined]
        cuts += len(found) - len(joined)
    assert cuts > 100


def test_a_piece_that_ends_where_the_document_does(tmp_path, monkeypatch):
    # The document's text is all handed out when its separator comes: its end must still be told.
    monkeypatch.setattr(documents_module, "PIECE_BYTES", 20)
    assert split(tmp_path, f"{'w' * 25}{SEP}b") == ["w" * 25, "b"]


def test_json_lines(tmp_path):
    path = tmp_path / "file.jsonl"
    rows = [{"text": "one\n"}, {"text": f"a{SEP}b", "title": "t"}, {"text": ""}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    assert list(documents(path)) == ["one\n", f"a{SEP}b"]
    with pytest.raises(ValueError, match=r"file.jsonl, line 1, has no text in a field 'title' \(it has text\)"):
        list(documents(path, field="title"))
    path.write_text('{"text": "a"}\n{"text": 3}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 2, has no text in a field 'text'"):
        list(documents(path))
    for wrong in (b"{\n", b"[1]\n", b'"text"\n', b'{"text": "\xff"}\n'):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"file\.jsonl, line 1, "):
            list(documents(path))


@pytest.mark.parametrize("before", ["ä" * 10, f"ä\n{EOT}\n" * 2, f"ä{SEP}" + "word " * 300_000])
def test_not_utf8_names_file_and_byte(tmp_path, before):
    with pytest.raises(ValueError, match=rf"file.txt is not UTF-8 \(byte {len(before.encode()) + 1} of its text\)"):
        split(tmp_path, before.encode() + b"x\xffy\n")
    with pytest.raises(ValueError, match=rf"\(byte {len(before.encode())} of"):
        split(tmp_path, before.encode() + "🙂".encode()[:3])


def test_files_that_are_refused(tmp_path, stories):
    for name, pattern in {"none.txt": "does not exist", "": "is a directory", "a.pdf": "unknown kind"}.items():
        (tmp_path / "a.pdf").touch()
        with pytest.raises(ValueError, match=pattern):
            list(documents(tmp_path / name))
    for empty in ("", SEP, f"{EOT}\n{EOT}"):
        with pytest.raises(ValueError, match="holds no document"):
            split(tmp_path, empty)
    data = stories.read_bytes()
    for broken in (data[:-10], b"no gzip", data[:20] + b"\x00\x00\x00" + data[23:]):
        stories.write_bytes(broken)
        with pytest.raises(ValueError, match=r"stories.txt.gz is a damaged .gz file"):
            list(documents(stories))


def prepared(files, out, tokenizer=None, **options):
    manifest = prepare(files, out, tokenizer or Tokenizer.bytes(), **options)
    shards = TokenShards(out)
    assert shards.manifest == manifest
    shards.verify()
    return shards


def texts_of(shards):
    tokenizer, borders = shards.tokenizer(), [*map(int, shards.doc_starts), len(shards)]
    found = []
    for start, end in pairwise(borders):
        assert shards[end - 1 : end].tolist() == [tokenizer.eot_id]
        found.append(tokenizer.decode(shards[start : end - 1].tolist()))
    return found


@pytest.mark.parametrize("shard_tokens", [7, 90, 10**6])
def test_prepare_writes_every_document(stories, tmp_path, shard_tokens):
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({"text": "from JSON"}) + "\n", encoding="utf-8")
    shards = prepared([stories, more], tmp_path / "out", shard_tokens=shard_tokens)
    assert texts_of(shards) == [*TEXTS, "from JSON"]
    manifest = shards.manifest
    size = sum(len(text.encode()) for text in TEXTS)
    assert manifest["bytes"] == size + 9
    assert manifest["documents"] == len(TEXTS) + 1
    assert manifest["tokens"] == len(shards) == size + 9 + len(TEXTS) + 1
    assert (manifest["format"], manifest["dtype"]) == (1, "uint16")
    assert (manifest["vocab_size"], manifest["eot_id"]) == (257, 256)
    assert manifest["tokenizer_hash"] == Tokenizer.bytes().hash
    assert manifest["sources"][0] == {
        "file": "stories.txt.gz",
        "sha256": hashlib.sha256(stories.read_bytes()).hexdigest(),
        "bytes": size,
        "documents": len(TEXTS),
    }
    assert manifest["shards"][0]["file"] == "shard-00000.bin"
    assert all(shard["tokens"] == shard_tokens for shard in manifest["shards"][:-1])
    assert len(manifest["shards"]) == -(-len(shards) // shard_tokens)
    raw = (tmp_path / "out" / "shard-00000.bin").read_bytes()
    assert np.array_equal(np.frombuffer(raw, "<u2"), shards[: len(raw) // 2])


def test_long_documents_and_small_batches_change_nothing(tmp_path, monkeypatch):
    text = "The quick fox, it's 12 o'clock.\n\n  Naïve 🙂 crows! " * 400
    path = tmp_path / "long.txt"
    path.write_bytes(f"{text}{SEP}short{SEP}".encode())
    tokenizer = train_tokenizer([path], 300)
    expected = [*tokenizer.encode(text), tokenizer.eot_id, *tokenizer.encode("short"), tokenizer.eot_id]
    monkeypatch.setattr(documents_module, "PIECE_BYTES", 1000)
    monkeypatch.setattr(prepare_module, "BATCH_CHARACTERS", 3000)
    assert train_tokenizer([path], 300).hash == tokenizer.hash
    told = []
    shards = prepared([path], tmp_path / "out", tokenizer, jobs=2, progress=told.append)
    assert shards[:].tolist() == expected
    assert shards.doc_starts.tolist() == [0, len(tokenizer.encode(text)) + 1]
    assert told == sorted(told)
    assert told[-1] == path.stat().st_size


def test_a_tokenizer_that_may_not_be_cut_sees_whole_documents(tmp_path, monkeypatch):
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Library

    vocab = {"[UNK]": 0, EOT: 1, "a": 2, " ": 3, "a ": 4, "a a": 5, " a": 6}  # words with spaces inside
    library = Library(models.BPE(vocab, [("a", " "), ("a ", "a")], unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Split("|", "removed")
    library.decoder = decoders.Fuse()
    library.add_special_tokens([AddedToken(EOT, special=True)])
    library.save(str(tmp_path / "tokenizer.json"))
    monkeypatch.setattr(documents_module, "PIECE_BYTES", 20)
    (tmp_path / "file.txt").write_text("a " * 50, encoding="utf-8")
    shards = prepared([tmp_path / "file.txt"], tmp_path / "out", Tokenizer.load(tmp_path))
    assert shards[:].tolist() == [*Tokenizer.load(tmp_path).encode("a " * 50), 1]


def test_slices_across_shards(tmp_path):
    (tmp_path / "file.txt").write_bytes(bytes(range(97, 122)) * 4)
    shards = prepared([tmp_path / "file.txt"], tmp_path / "out", shard_tokens=9)
    whole = np.array([*Tokenizer.bytes().encode((tmp_path / "file.txt").read_text()), 256])
    assert len(shards) == 101
    for a in (None, 0, 5, 9, 17, 18, 100, 101, 200, -3):
        for b in (None, 0, 5, 9, 10, 27, 100, 101, 200, -1):
            part = shards[a:b]
            assert part.dtype == np.uint16
            assert np.array_equal(part, whole[a:b])
    with pytest.raises(ValueError, match="step"):
        shards[::2]


def test_damaged_data_sets_are_refused(stories, tmp_path):
    out = tmp_path / "out"
    prepared([stories], out, shard_tokens=30)
    shard = out / "shard-00001.bin"
    data = bytearray(shard.read_bytes())
    shard.write_bytes(data[:-2])
    with pytest.raises(ValueError, match=r"shard-00001.bin has 58 bytes, not the 60"):
        TokenShards(out)
    data[3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ValueError, match=r"shard-00001.bin was changed"):
        TokenShards(out).verify()
    shard.unlink()
    with pytest.raises(ValueError, match=r"shard-00001.bin is missing"):
        TokenShards(out)
    (out / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        TokenShards(out)
    with pytest.raises(ValueError, match="is not a prepared data set"):
        TokenShards(tmp_path)


def test_another_tokenizer_or_other_starts_are_noticed(stories, tmp_path):
    out = tmp_path / "out"
    prepared([stories], out)
    Tokenizer.train(["abab abab"], 258).save(out / "tokenizer")
    with pytest.raises(ValueError, match="is not the tokenizer of these shards"):
        TokenShards(out).tokenizer()
    np.save(out / "doc_starts.npy", np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match="has 2 documents, not the 5"):
        TokenShards(out)


def left_in(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_large_vocabulary_is_refused(stories, tmp_path):
    tokenizer = Tokenizer.bytes()
    tokenizer.vocab_size = 65_537
    with pytest.raises(ValueError, match=r"65,537 does not fit: .* at most 65,536"):
        prepare([stories], tmp_path / "out", tokenizer)
    tokenizer.vocab_size, tokenizer.eot_id = 65_536, None
    with pytest.raises(ValueError, match=r"no <\|endoftext\|>"):
        prepare([stories], tmp_path / "out", tokenizer)
    assert left_in(tmp_path) == ["stories.txt.gz"]


def test_the_largest_id_fits(tmp_path):
    writer = ShardWriter(tmp_path, 10)
    writer.write(np.array([0, 65_535]))
    writer.close()
    assert np.fromfile(tmp_path / "shard-00000.bin", "<u2").tolist() == [0, 65_535]


def test_overwrite(stories, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    prepared([stories], out)  # an empty directory is fine
    with pytest.raises(ValueError, match=r"is not empty: .*--overwrite"):
        prepare([stories], out, Tokenizer.bytes())
    (tmp_path / "one.txt").write_text("one")
    assert texts_of(prepared([tmp_path / "one.txt"], out, overwrite=True)) == ["one"]
    (out / "two.txt").write_text("two")
    with pytest.raises(ValueError, match="lies in"):
        prepare([out / "two.txt"], out, Tokenizer.bytes(), overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("{}")
    for directory in (out, tmp_path / "other"):  # one holds a stranger's file, the other is no data set at all
        with pytest.raises(ValueError, match="is not only a prepared data set, so --overwrite leaves it alone"):
            prepare([stories], directory, Tokenizer.bytes(), overwrite=True)
    assert left_in(tmp_path) == ["one.txt", "other", "out", "stories.txt.gz"]
    assert (out / "two.txt").exists()


@pytest.mark.parametrize("name", ["shard-00000.bin", "manifest.json", "tokenizer.json", "doc_starts.npy"])
def test_disk_full_leaves_nothing(stories, tmp_path, monkeypatch, name):
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*args, **kwargs):
        raise full

    target = {
        "shard-00000.bin": (ShardWriter, "write"),
        "manifest.json": (prepare_module.json, "dumps"),
        "tokenizer.json": (Tokenizer, "save"),
        "doc_starts.npy": (np, "save"),
    }[name]
    monkeypatch.setattr(*target, fail)
    with pytest.raises(OSError, match="so nothing was written") as caught:
        prepare([stories], tmp_path / "out", Tokenizer.bytes())
    assert caught.value.filename == str(tmp_path / "out")
    assert left_in(tmp_path) == ["stories.txt.gz"]


def test_a_full_disk_keeps_the_old_data_set(stories, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepared([stories], out)
    real = prepare_module.os.replace
    calls = []

    def fail_once(source, target):
        calls.append(target)
        if len(calls) == 2:  # the old one is moved away, the new one cannot take its place
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    put_in_place = prepare_module._put_in_place

    def on_a_full_disk(building, target):
        monkeypatch.setattr(prepare_module.os, "replace", fail_once)
        put_in_place(building, target)

    monkeypatch.setattr(prepare_module, "_put_in_place", on_a_full_disk)
    with pytest.raises(OSError, match="No space"):
        prepare([stories], out, Tokenizer.bytes(), overwrite=True)
    monkeypatch.undo()
    assert texts_of(TokenShards(out)) == TEXTS
    assert left_in(tmp_path) == ["out", "stories.txt.gz"]


@pytest.fixture
def command(capsys):
    """Run `gpt2 prepare` and return (exit code, standard output, standard error)."""

    def run(*words):
        code = main(["prepare", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_command(command, stories, tmp_path):
    code, out, err = command(stories, "--out", tmp_path / "a", "--vocab-size", 260, "--shard-tokens", 50, "--json")
    assert (code, err) == (0, "")
    shards = TokenShards(tmp_path / "a")
    assert json.loads(out) == shards.manifest
    assert texts_of(shards) == TEXTS
    code, out, err = command(stories, stories, "--out", tmp_path / "b", "--tokenizer", tmp_path / "a" / "tokenizer")
    assert (code, err) == (0, "")
    assert "10 documents" in out
    assert TokenShards(tmp_path / "b").manifest["tokenizer_hash"] == shards.manifest["tokenizer_hash"]
    assert command(stories, "--out", tmp_path / "c", "--tokenizer", "bytes")[0] == 0


def test_command_refuses_in_one_sentence(command, stories, tmp_path):
    (tmp_path / "file").write_text("a file, no directory")
    (tmp_path / "bad.txt").write_bytes(b"a\xff")
    (tmp_path / "empty.txt").touch()
    before = left_in(tmp_path)
    good = (stories, "--tokenizer", "bytes", "--out")
    for code, pattern, words in [
        (2, "no files", ("--out", tmp_path / "out")),
        (2, "is a file: --out takes a directory", (*good, tmp_path / "file")),
        (1, "not a directory", (*good, tmp_path / "file" / "out")),
        (1, "is not UTF-8 (byte 1 of", (tmp_path / "bad.txt", *good, tmp_path / "out")),
        (1, "is not UTF-8 (byte 1 of", (tmp_path / "bad.txt", "--vocab-size", 300, "--out", tmp_path / "out")),
        (1, "no document in empty.txt", (tmp_path / "empty.txt", *good[1:], tmp_path / "out")),
        (1, "does not exist", (tmp_path / "nowhere.txt", *good[1:], tmp_path / "out")),
        (2, "is not empty", (*good, tmp_path)),
        (2, "exclude each other", (*good, tmp_path / "out", "--vocab-size", 300)),
        (1, "256 is too small", (stories, "--vocab-size", 256, "--out", tmp_path / "out")),
        (2, "70000 is too large: give at most 65,536", (stories, "--vocab-size", 70000, "--out", tmp_path / "out")),
        (1, "--shard-tokens takes 1 or more", (*good, tmp_path / "out", "--shard-tokens", 0)),
        (2, "--jobs 0 is too few", (*good, tmp_path / "out", "--jobs", 0)),
    ]:
        got, out, err = command(*words)
        assert (got, out, err.count("\n")) == (code, "", 1), err
        assert err.startswith("gpt2: ")
        assert pattern in err
        assert left_in(tmp_path) == before
