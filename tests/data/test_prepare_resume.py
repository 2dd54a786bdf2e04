"""A `gpt2 prepare` that was cut short goes on, and its data set is the one that an undisturbed run makes."""

import gzip
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from functools import partial

import pytest

from gpt2.base.errors import UsageError
from gpt2.cli.main import main
from gpt2.data import documents as documents_module
from gpt2.data import encode as encode_module
from gpt2.data.prepare import prepare
from gpt2.data.shards import TokenShards
from gpt2.data.unfinished import kept, place_for, workplace
from gpt2.data.workers import encoders
from gpt2.text.tokenizer import EOT, Tokenizer

SEP = f"\n{EOT}\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files whose documents, pieces, batches and shards end in different places."""
    monkeypatch.setattr(documents_module, "PIECE_BYTES", 100)
    monkeypatch.setattr(encode_module, "BATCH_CHARACTERS", 400)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # the disk need not be waited for here
    (tmp_path / "a.txt").write_text("".join(f"story {n} {'goes on ' * n}{SEP}" for n in range(30)))
    lines = [json.dumps({"text": f"line {n}"}) for n in range(30)]
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (tmp_path / "c.txt").write_text("one long story " * 100)
    return [tmp_path / name for name in ("a.txt", "b.jsonl.gz", "c.txt")]


def content(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def run(files, out, stop=None, **options):
    """Prepare, interrupted after `stop` bytes of text; returns (bytes of text encoded, what the user is told)."""
    told, notes = [0], []

    def progress(_, text):
        told.append(text)
        if stop and text >= stop:
            raise KeyboardInterrupt

    options = {"shard_tokens": 500, "processes": 1} | options
    prepare(files, out, Tokenizer.bytes(), progress=progress, tell=notes.append, **options)
    return told[-1], "".join(notes)


def test_a_run_interrupted_anywhere_ends_as_if_it_had_not_been(files, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "new" / "out"
    size, note = run(files, whole)
    assert note == ""
    went_on = 0
    for stop in range(400, 20_000, 700):
        try:
            run(files, out, stop)
            break
        except KeyboardInterrupt:
            pass
        n = kept(out)
        assert out.parent.exists() == (n > 0)
        again, note = run(files, out)
        assert (again < size, note.startswith(f"an earlier run was cut short: going on after its {n} shard")) == (
            n > 0,
            n > 0,
        )
        went_on += n > 0
        assert content(out) == content(whole)
        assert [path.name for path in out.parent.iterdir()] == ["out"]
        for path in sorted(out.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        out.rmdir()
        out.parent.rmdir()
    assert went_on == 8


def test_a_run_interrupted_again_and_again(files, tmp_path):
    run(files, tmp_path / "whole")
    out = tmp_path / "out"
    shards = []
    while not out.exists():
        try:
            run(files, out, stop=2_000)
        except KeyboardInterrupt:
            shards.append(kept(out))
    assert shards == sorted(set(shards))
    assert len(shards) == 3
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.parametrize("change", ["shard tokens", "field", "tokenizer", "files", "later file", "one file more"])
def test_a_changed_run_starts_afresh(files, tmp_path, change):
    """A file that was not reached may change: what is complete does not depend on it."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(files, out, stop=3_000)
    assert kept(out) == 6
    options, tokenizer = {"shard_tokens": 500, "processes": 1}, Tokenizer.bytes()
    if change == "shard tokens":
        options["shard_tokens"] = 600
    elif change == "field":
        options["field"] = "other"
        files[1] = tmp_path / "c.txt"
    elif change == "tokenizer":
        tokenizer = Tokenizer.train(["story story"], 258)
    elif change in ("files", "later file"):
        files[0 if change == "files" else 2].write_text("another story " * 50)
    else:
        files.append(files[0])
    notes = []
    prepare(files, out, tokenizer, tell=notes.append, **options)
    if change in ("later file", "one file more"):
        assert notes == ["an earlier run was cut short: going on after its 6 shards (3,000 tokens)."]
    else:
        assert notes[0].startswith("an earlier run was cut short, but its ")
        assert change in notes[0]
        assert notes[0].endswith(" differed: this run starts afresh.")
    prepare(files, tmp_path / "whole", tokenizer, **options)
    assert content(out) == content(tmp_path / "whole")


def test_an_error_keeps_complete_shards_and_nothing_else(files, tmp_path, capsys):
    out = tmp_path / "out"
    files.append(tmp_path / "d.txt")
    files[3].write_bytes(b"fine\xff")
    words = ["prepare", *map(str, files), "--tokenizer", "bytes", "--shard-tokens", "500", "--out", str(out)]
    assert main([*words, "--processes", "1"]) == 1
    error = capsys.readouterr().err
    assert "d.txt is not UTF-8 (byte 4 of its text)" in error
    assert "complete shards are kept: the same command goes on from there." in error
    assert not out.exists()
    n = kept(out)
    assert n > 5
    left = {path.name for path in place_for(out).iterdir()}
    assert {name for name in left if name.startswith("shard")} == {f"shard-{i:05d}.bin" for i in range(n)}
    files[3].write_bytes(b"fine")
    assert main(words) == 0
    assert f"going on after its {n} shards" in capsys.readouterr().err
    run(files, tmp_path / "whole")
    assert content(out) == content(tmp_path / "whole")


def test_a_shard_that_reaches_into_the_next_file(files, tmp_path):
    """The batch in which it ends began in the file before; but if the next one changes, the shard is wrong."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(name * 50)
    short = [tmp_path / "one.txt", tmp_path / "two.txt", *files]
    with pytest.raises(KeyboardInterrupt):
        run(short, tmp_path / "out", stop=300, shard_tokens=200)
    assert kept(tmp_path / "out") == 1
    (tmp_path / "two.txt").write_text("two" * 49 + "tww")
    assert "but its files differed: this run starts afresh" in run(short, tmp_path / "out", shard_tokens=200)[1]


def test_damaged_notes_are_no_trap(files, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(files, out, stop=3_000)
    (place_for(out) / "unfinished.json").write_text('{"options"')
    assert run(files, out)[1] == "an earlier run was cut short, but its notes are damaged: this run starts afresh."
    run(files, tmp_path / "whole")
    assert content(out) == content(tmp_path / "whole")


def test_two_at_once_are_kept_apart(files, tmp_path):
    out = tmp_path / "out"
    with workplace(out, {}, []), pytest.raises(UsageError, match=r"another gpt2 prepare is at work on .*out: wait"):
        run(files, out)
    run(files, out)


def test_killed_while_several_processes_encode(tmp_path, monkeypatch):
    """kill -9 leaves no process behind, and the next run goes on."""
    text = tmp_path / "text.txt"
    text.write_text("".join(f"Story number {n} of many, all of them alike.{SEP}" for n in range(6_000)))
    script = f"""
        import os, signal
        from gpt2.data import encode
        from gpt2.data.prepare import prepare
        from gpt2.text.tokenizer import Tokenizer
        def progress(read, size):
            if size > 150_000:
                os.kill(os.getpid(), signal.SIGKILL)
        encode.BATCH_CHARACTERS = 20_000
        prepare([{str(text)!r}], {str(tmp_path / "out")!r}, Tokenizer.bytes(), shard_tokens=50_000, processes=2,
                progress=progress)
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # The processes that encode share this error stream: it ends when the last of them has.
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE, env=environment)
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, b"")
    assert kept(tmp_path / "out") >= 2
    monkeypatch.setattr(encode_module, "BATCH_CHARACTERS", 20_000)
    again, note = run([text], tmp_path / "out", shard_tokens=50_000)
    assert again < text.stat().st_size * 0.75
    assert "going on" in note
    run([text], tmp_path / "whole", shard_tokens=50_000)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_process_whose_parent_is_killed_while_it_writes_ends_quietly(share):
    work = pickle.dumps(partial(encode_module.encode, Tokenizer.bytes()))
    data = len(work).to_bytes(8, "little") + work
    words = [sys.executable, "-c", "from gpt2.base.processes import serve; serve()"]
    ended = subprocess.run(words, input=data[: int(share * len(data))], capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_a_process_that_dies_is_told_in_one_sentence():
    batch = encode_module.Batch(encode_module.Place(), [(0, "some text", True)], 9)
    with encoders(Tokenizer.bytes(), 1) as workers:
        assert workers.submit(batch).result().ids.tolist() == [*Tokenizer.bytes().encode("some text"), 256]
        workers._children[0].kill()
        with pytest.raises(ValueError, match="a process that encodes has ended, perhaps for lack of memory"):
            workers.submit(batch).result()


def test_what_goes_wrong_in_a_process_is_told():
    tokenizer = Tokenizer.bytes()
    tokenizer.eot_id = 65_536  # no id of two bytes
    with encoders(tokenizer, 1) as workers, pytest.raises(OverflowError):
        workers.submit(encode_module.Batch(encode_module.Place(), [(0, "some text", True)], 9)).result()


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_number_of_processes_changes_nothing(files, tmp_path, processes):
    tokenizer = Tokenizer.train([path.read_text() for path in files[::2]], 300)
    prepare(files, tmp_path / "one", tokenizer, processes=1, shard_tokens=700)
    prepare(files, tmp_path / "out", tokenizer, processes=processes, shard_tokens=700)
    assert content(tmp_path / "one") == content(tmp_path / "out")
    TokenShards(tmp_path / "out").verify()
