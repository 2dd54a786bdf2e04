"""Token shards: what is written, bad input, nothing half-written, damage that is found."""

import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from stories import SEP, TEXTS, left_in, prepared, texts_of

from gpt2.base.errors import UsageError
from gpt2.data import documents as documents_module
from gpt2.data import encode as encode_module
from gpt2.data import prepare as prepare_module
from gpt2.data.prepare import prepare, train_tokenizer
from gpt2.data.shards import ShardWriter, TokenShards
from gpt2.text.tokenizer import EOT, Tokenizer


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
    Tokenizer.train(["abab abab"], 258).save(out / "tokenizer", overwrite=True)
    with pytest.raises(ValueError, match="is not the tokenizer of these shards"):
        TokenShards(out).tokenizer()
    np.save(out / "doc_starts.npy", np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match="has 2 documents, not the 5"):
        TokenShards(out)


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
    with pytest.raises(ValueError, match=r"is not empty: it is a complete data set, so train on it,"):
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
