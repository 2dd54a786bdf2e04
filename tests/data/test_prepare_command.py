"""`gpt2 prepare` as it is typed: what it prints and refuses, what it verifies, special tokens in a text."""

import json
import re
import shlex
from importlib import import_module

import pytest
from stories import TEXTS, left_in, prepared, texts_of

from gpt2.cli.main import main
from gpt2.data.shards import TokenShards
from gpt2.text.tokenizer import EOT, Tokenizer


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
    assert err == f"gpt2: {out}: not as it was written.\n"
    for name in written:
        assert f"{out / name} was changed: its SHA-256 is not that of the manifest" in stdout
        (out / name).unlink()
    code, stdout, _ = command("--verify", out, "--json")
    assert code == 1
    problems = json.loads(stdout)[str(out)]
    for name in written:
        again = f"make it again with gpt2 prepare FILE ... --out {out} --overwrite"
        assert f"{out / name} is missing: {again}." in problems


@pytest.mark.parametrize("name", ["manifest.json", "doc_starts.npy", "shard-00000.bin", "tokenizer/tokenizer.json"])
def test_the_command_that_a_damaged_set_offers_works_as_typed(command, stories, tmp_path, name):
    out = tmp_path / "a set"
    prepared([stories], out)
    data = (out / name).read_bytes()
    (out / name).write_bytes(data[:40] + bytes([data[40] ^ 5]) + data[41:-3])
    code, stdout, err = command("--verify", out)
    assert code == 1
    words = shlex.split(re.search(r"gpt2 prepare FILE \.\.\. (.*?)\.\n", stdout + err)[1])
    assert command(stories, "--tokenizer", "bytes", *words)[0] == 0
    assert command("--verify", words[1])[0] == 0


def test_a_signal_behind_the_end_says_that_all_is_done(command, stories, tmp_path, monkeypatch):
    """The same command was advised by nothing, and answered that the directory is not empty."""
    module, out = import_module("gpt2.data.prepare"), tmp_path / "out"
    whole = module._put_in_place

    def interrupted(*given):
        whole(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_put_in_place", interrupted)
    words = (stories, "--tokenizer", "bytes", "--out", out)
    code, _, err = command(*words)
    assert code == 130
    assert f"{out} is a complete data set: nothing is left to do." in err
    code, _, err = command(*words)
    assert code == 2
    assert "it is a complete data set, so train on it" in err


@pytest.mark.parametrize(("field", "value"), [("eot_id", 3), ("vocab_size", 9), ("documents", 1), ("dtype", "uint16 ")])
def test_a_changed_number_of_the_manifest_is_noticed(command, stories, tmp_path, field, value):
    out = tmp_path / "out"
    manifest = prepared([stories], out).manifest
    (out / "manifest.json").write_text(json.dumps({**manifest, field: value}))
    code, _, err = command("--verify", out)
    assert code == 1
    assert "manifest.json is" in err


def test_verify_reads_data_sets_of_before(command, stories, tmp_path):
    """Their manifest hashes the shards alone."""
    out = tmp_path / "out"
    shards = prepared([stories], out)
    manifest = {key: value for key, value in shards.manifest.items() if key not in ("files", "sha256")}
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert command("--verify", out)[0] == 0
    Tokenizer.train(["abab abab"], 258).save(out / "tokenizer", overwrite=True)
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
