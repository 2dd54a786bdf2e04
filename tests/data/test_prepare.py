"""Token shards and `gpt2 prepare`: what is written, bad input, nothing half-written, damage that is found."""

import errno
import gzip
import hashlib
import json
import os
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gpt2.base.errors import UsageError
from gpt2.cli.main import main
from gpt2.data import documents as documents_module
from gpt2.data import encode as encode_module
from gpt2.data import prepare as prepare_module
from gpt2.data.prepare import prepare, train_tokenizer
from gpt2.data.shards import ShardWriter, TokenShards
from gpt2.text.tokenizer import EOT, Tokenizer

SEP = f"\n{EOT}\n"
TEXTS = ["One fox.\n\nTwo crows.\n", "  naïve 🙂 text ", "\n", "a <|endoftext|> inside a line", "last\r\n"]


@pytest.fixture
def stories(tmp_path):
    """A .txt.gz file with every document followed by the separator."""
    path = tmp_path / "stories.txt.gz"
    path.write_bytes(gzip.compress("".join(text + SEP for text in TEXTS).encode()))
    return path


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
    monkeypatch.setattr(encode_module, "BATCH_CHARACTERS", 3000)
    assert train_tokenizer([path], 300).hash == tokenizer.hash
    told = []
    shards = prepared([path], tmp_path / "out", tokenizer, processes=2, progress=lambda read, _: told.append(read))
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
    with pytest.raises(ValueError, match=r"65,537 does not fit, .*: choose a tokenizer of at most 65,536"):
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
    with pytest.raises(ValueError, match=r"is not empty: choose another out, or replace it with overwrite=True\.$"):
        prepare([stories], out, Tokenizer.bytes())
    (tmp_path / "one.txt").write_text("one")
    assert texts_of(prepared([tmp_path / "one.txt"], out, overwrite=True)) == ["one"]
    (out / "two.txt").write_text("two")
    with pytest.raises(ValueError, match="lies in"):
        prepare([out / "two.txt"], out, Tokenizer.bytes(), overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("{}")
    (tmp_path / "more").mkdir()
    prepared([stories], tmp_path / "more")
    (tmp_path / "more" / "tokenizer" / "notes").write_text("mine")
    for directory, name in [
        (out, "two.txt"),
        (tmp_path / "other", "manifest.json"),
        (tmp_path / "more", "tokenizer/notes"),
    ]:
        refusal = (
            f"holds {name}, which is not part of a prepared data set: move it to another place, or choose another out."
        )
        with pytest.raises(UsageError, match=re.escape(refusal)):
            prepare([stories], directory, Tokenizer.bytes(), overwrite=True)
    assert left_in(tmp_path) == ["more", "one.txt", "other", "out", "stories.txt.gz"]
    assert (out / "two.txt").exists()


def test_disk_full_leaves_nothing(stories, tmp_path, monkeypatch):
    """Whichever file does not fit: a shard, the document starts, the tokenizer or the manifest."""
    out = tmp_path / "new" / "out"
    real, calls = os.fsync, []

    def fail_after(n):
        def fsync(file):
            calls.append(file)
            if len(calls) > n:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(file)

        calls.clear()
        monkeypatch.setattr("os.fsync", fsync)

    fail_after(10**6)
    prepare([stories], out, Tokenizer.bytes())
    assert len(calls) > 5
    shutil.rmtree(out.parent)
    for n in range(len(calls)):
        fail_after(n)
        with pytest.raises(OSError, match="No space left on device, so nothing was written") as caught:
            prepare([stories], out, Tokenizer.bytes())
        assert caught.value.filename == str(out)
        assert left_in(tmp_path) == ["stories.txt.gz"]


def test_a_directory_that_cannot_be_made(stories, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # as for anybody but root
        with pytest.raises(ValueError, match="may not be written to: change its permissions, or choose another"):
            prepare([stories], tmp_path / "new" / "out", Tokenizer.bytes())
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="Permission denied, so nothing was written"):
        prepare([stories], tmp_path / "new" / "out", Tokenizer.bytes())
    assert left_in(tmp_path) == ["stories.txt.gz"]


def test_a_full_disk_keeps_the_old_data_set(stories, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepared([stories], out)
    real = os.rename
    calls = []

    def fail_once(source, target):
        calls.append(target)
        if len(calls) == 2:  # the old one is moved away, the new one cannot take its place
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    put_in_place = prepare_module._put_in_place

    def on_a_full_disk(place, target):
        monkeypatch.setattr(os, "rename", fail_once)
        put_in_place(place, target)

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
    assert (code, err.count(f"{EOT} once, read as ordinary text")) == (0, 1)
    shards = TokenShards(tmp_path / "a")
    assert json.loads(out) == shards.manifest
    assert texts_of(shards) == TEXTS
    code, out, err = command(stories, stories, "--out", tmp_path / "b", "--tokenizer", tmp_path / "a" / "tokenizer")
    assert code == 0
    assert err == (
        f"gpt2: {tmp_path / 'b'}: the text spells {EOT} 2 times, read as ordinary text: --allow-special reads it as "
        f"the token, --split-inline ends a document at each {EOT}.\n"
    )
    assert "10 documents" in out
    assert TokenShards(tmp_path / "b").manifest["tokenizer_hash"] == shards.manifest["tokenizer_hash"]
    assert command(stories, "--out", tmp_path / "c", "--tokenizer", "bytes")[0] == 0
    code, out, err = command(stories, "--out", tmp_path / "d", "--vocab-size", 60_000)
    size = TokenShards(tmp_path / "d").manifest["vocab_size"]
    assert code == 0
    assert err.startswith(f"gpt2: the text has no more pairs to merge, so the vocabulary has {size:,} entries\n")


def test_command_refuses_in_one_sentence(command, stories, tmp_path):
    (tmp_path / "file").write_text("a file, no directory")
    (tmp_path / "bad.txt").write_bytes(b"a\xff")
    (tmp_path / "empty.txt").touch()
    before = left_in(tmp_path)
    good = (stories, "--tokenizer", "bytes", "--out")
    for code, pattern, words in [
        (2, "no files", ("--out", tmp_path / "out")),
        (2, "is a file: choose another directory with --out", (*good, tmp_path / "file")),
        (2, "file is a file, so ", (*good, tmp_path / "file" / "out" / "more")),
        (1, "is not UTF-8 (byte 1 of", (tmp_path / "bad.txt", *good, tmp_path / "out")),
        (1, "is not UTF-8 (byte 1 of", (tmp_path / "bad.txt", "--vocab-size", 300, "--out", tmp_path / "out")),
        (1, "no document in empty.txt", (tmp_path / "empty.txt", *good[1:], tmp_path / "out")),
        (1, "does not exist", (tmp_path / "nowhere.txt", *good[1:], tmp_path / "out")),
        (2, "holds bad.txt, which is not part of a prepared data set: move it to another", (*good, tmp_path)),
        (2, "exclude each other", (*good, tmp_path / "out", "--vocab-size", 300)),
        (2, "256 is out of range: give 257 to 65,536", (stories, "--vocab-size", 256, "--out", tmp_path / "out")),
        (2, "70000 is out of range", (stories, "--vocab-size", 70000, "--out", tmp_path / "out")),
        (2, "--shard-tokens is 0: it must be at least 1.", (*good, tmp_path / "out", "--shard-tokens", 0)),
        (2, "--processes is 0: it must be at least 1.", (*good, tmp_path / "out", "--processes", 0)),
        (2, "--out is missing: name the directory to write", (stories,)),
        (2, "no data set: name a directory", ("--verify",)),
        (1, "is not a prepared data set", ("--verify", tmp_path)),
    ]:
        got, out, err = command(*words)
        assert (got, out, err.count("\n")) == (code, "", 1), err
        assert err.startswith("gpt2: ")
        assert pattern in err
        assert left_in(tmp_path) == before


def test_verify_names_every_file_that_differs(command, stories, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    prepared([stories], out, shard_tokens=30)
    prepared([stories], other)
    assert command("--verify", other, out) == (
        0,
        f"{other}: every file is as it was written\n{out}: every file is as it was written\n",
        "",
    )
    written = [path.relative_to(out) for path in out.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert len(written) >= 8
    for name in written:
        data = bytearray((out / name).read_bytes())
        data[-1] ^= 1
        (out / name).write_bytes(data)
    code, stdout, err = command("--verify", other, out)
    assert code == 1
    assert err == f"gpt2: {out}: not as it was written: prepare it again with --overwrite.\n"
    for name in written:
        assert f"{out / name} was changed: its SHA-256 is not that of the manifest" in stdout
        (out / name).unlink()
    code, stdout, _ = command("--verify", out, "--json")
    assert code == 1
    problems = json.loads(stdout)[str(out)]
    for name in written:
        assert f"{out / name} is missing: run gpt2 prepare again." in problems


def test_verify_reads_data_sets_of_before(command, stories, tmp_path):
    """Their manifest hashes the shards alone."""
    out = tmp_path / "out"
    shards = prepared([stories], out)
    manifest = {key: value for key, value in shards.manifest.items() if key != "files"}
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert command("--verify", out)[0] == 0
    Tokenizer.train(["abab abab"], 258).save(out / "tokenizer")
    code, stdout, _ = command("--verify", out)
    assert code == 1
    assert "is not the tokenizer of these shards" in stdout


def test_a_directory_is_read_in_order(command, stories, tmp_path):
    books = tmp_path / "books"
    (books / "b").mkdir(parents=True)
    (books / "b" / "one.jsonl").write_text('{"body": "one"}\n')
    stories.rename(books / "a.txt.gz")
    (books / "cover.png").touch()
    code, stdout, err = command(books, "--out", tmp_path / "out", "--tokenizer", "bytes", "--column", "body")
    assert code == 0
    assert f"{len(TEXTS) + 1} documents" in stdout
    assert err.startswith(
        f"gpt2: {books}: left out 1 file of another kind (cover.png)\ngpt2: {tmp_path / 'out'}: the text spells "
    )
    assert err.count("\n") == 2
    shards = TokenShards(tmp_path / "out")
    assert texts_of(shards) == [*TEXTS, "one"]
    assert [source["file"] for source in shards.manifest["sources"]] == ["a.txt.gz", "b/one.jsonl"]


def test_special_tokens_in_text_are_said_read_or_split(command, tmp_path):
    """A chat model's tokens, cut into pieces without a word, were ids that it never meets."""
    tokenizer = Tokenizer.bytes()
    (tmp_path / "chat.txt").write_text(f"hi{EOT}there{EOT}\nyou\n")
    (tmp_path / "empty.txt").touch()
    text = [tokenizer.encode(part) for part in ("hi", "there", "\nyou\n", "you\n")]
    end = [tokenizer.eot_id]
    words = (tmp_path / "chat.txt", tmp_path / "empty.txt", "--tokenizer", "bytes", "--out")
    said = "1 file holds no document: empty.txt"
    for options, ids, documents, spelled in [
        ((), tokenizer.encode(f"hi{EOT}there{EOT}\nyou\n") + end, 1, 2),
        (("--allow-special",), text[0] + end + text[1] + end + text[2] + end, 1, 0),
        (("--split-inline",), text[0] + end + text[1] + end + text[3] + end, 3, 0),
    ]:
        out = tmp_path / "".join(["out", *options])
        code, _, err = command(*words, out, *options)
        shards = TokenShards(out)
        assert (code, shards[0 : len(shards)].tolist(), len(shards.doc_starts)) == (0, ids, documents)
        assert (f"spells {EOT} {spelled} times, read as ordinary text" in err) == bool(spelled)
        assert err.count("\n") == bool(spelled) + (said in err)
        names = {name for name in ("allow_special", "split_inline") if name in shards.manifest}
        assert names == {option.strip("-").replace("-", "_") for option in options}


def test_special_tokens_with_several_processes_and_a_learned_tokenizer(tmp_path, recwarn, monkeypatch):
    monkeypatch.setattr(encode_module, "BATCH_CHARACTERS", 5000)
    (tmp_path / "a.txt").write_text(f"a b{EOT}c d\n" * 2000)
    one, two = (prepare([tmp_path / "a.txt"], tmp_path / f"{n}", Tokenizer.bytes(), processes=n) for n in (1, 2))
    assert one["shards"] == two["shards"]
    assert sum("2,000 times" in str(w.message) for w in recwarn) == 2
    learned = train_tokenizer([tmp_path / "a.txt"], 300, split_inline=True)
    assert not any("endof" in learned.label(i) for i in range(learned.vocab_size - 1))


def test_an_unfinished_set_with_other_reading_is_begun_afresh(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text(f"a{EOT}b" * 20)
    files, out = [tmp_path / "a.txt"], tmp_path / "out"
    with monkeypatch.context() as context:
        context.setattr(prepare_module, "_describe", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare(files, out, Tokenizer.bytes(), shard_tokens=10, allow_special=True)
    told: list[str] = []
    manifest = prepare(files, out, Tokenizer.bytes(), shard_tokens=10, tell=told.append)
    assert "its allow special differed" in told[0]
    assert manifest["tokens"] == len(f"a{EOT}b") * 20 + 1
