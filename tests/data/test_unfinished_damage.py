"""What an interrupted `gpt2 prepare` left, damaged since: it is said, and the data set is right all the same."""

import json
import os
import shutil

import pytest

from gpt2.base.sealed import sealed
from gpt2.data import encode as encode_module
from gpt2.data.prepare import prepare
from gpt2.data.shards import TokenShards
from gpt2.data.unfinished import UNSEALED, kept, place_for
from gpt2.text.tokenizer import EOT, Tokenizer

OPTIONS = {"shard_tokens": 300, "processes": 1}
NOTES, KEPT = "its notes are damaged", "going on after its 7 shards"


@pytest.fixture(scope="module")
def cut_short(tmp_path_factory):
    """A file of text, its data set, and what is left of one that was cut short."""
    folder = tmp_path_factory.mktemp("unfinished")
    text = folder / "text.txt"
    text.write_text("".join(f"Story number {n} of many.\n{EOT}\n" for n in range(100)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode_module, "BATCH_CHARACTERS", 400)
        prepare([text], folder / "whole", Tokenizer.bytes(), **OPTIONS)

        def stop(read, size):
            if size > 2_000:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare([text], folder / "set", Tokenizer.bytes(), progress=stop, **OPTIONS)
    assert kept(folder / "set") == 7
    return folder


def notes(change, seal=True):
    """A change of the notes, by one who knows how their hash is made, or knows only the version without any."""

    def damage(place):
        path = place / "unfinished.json"
        stored = json.loads(path.read_text())
        change(stored)
        for name in ("sha256", "starts")[: 1 if seal else 2]:
            stored.pop(name, None)
        path.write_text(json.dumps(sealed(stored) if seal else stored))

    return damage


def set_to(name, value):
    return lambda stored: stored["state"].update({name: value})


def flip(name, at=100):
    def damage(place):
        content = bytearray((place / name).read_bytes())
        content[at] ^= 1
        (place / name).write_bytes(content)

    return damage


def flip_begun(place):
    flip("unfinished.json", (place / "unfinished.json").read_text().index("begun") + len('begun": '))(place)


def instead(name, make):
    def damage(place):
        (place / name).unlink()
        make(place / name)

    return damage


DAMAGES = {
    "nothing": (lambda place: None, KEPT),
    "of an earlier version": (notes(lambda stored: None, seal=False), UNSEALED),
    "a digit": (flip_begun, NOTES),
    "no notes": (lambda place: (place / "unfinished.json").unlink(), ""),
    "a shard's bit": (flip("shard-00001.bin"), "its shard-00001.bin is damaged: this run starts afresh"),
    "a short shard": (lambda place: os.truncate(place / "shard-00005.bin", 100), "its shard-00005.bin is damaged"),
    "a shard less": (lambda place: (place / "shard-00000.bin").unlink(), "its shard-00000.bin is missing"),
    "a start's bit": (flip("doc_starts.u64", 16), "its doc_starts.u64 is damaged"),
    "short starts": (lambda place: os.truncate(place / "doc_starts.u64", 8), "its doc_starts.u64 is damaged"),
    "place far": (notes(set_to("place", {"source": 10**9, "pieces": 0, "inside": False})), NOTES),
    "pieces far": (notes(set_to("place", {"source": 0, "pieces": 10**9, "inside": False})), NOTES),
    "place of another kind": (notes(set_to("place", {"a": 1})), NOTES),
    "tokens of another sign": (notes(set_to("tokens", -1)), NOTES),
    "tokens beyond": (notes(set_to("tokens", 10**15)), NOTES),
    "begun beyond": (notes(set_to("begun", 2**61)), "its doc_starts.u64 is damaged"),
    "documents": (notes(set_to("documents", [])), NOTES),
    "sizes": (notes(set_to("sizes", "x")), NOTES),
    "shards in another order": (notes(lambda stored: stored["shards"].reverse()), NOTES),
    "shard elsewhere": (notes(lambda stored: stored["shards"][0].update(file="../../shard-00001.bin")), NOTES),
    "shard's tokens": (notes(lambda stored: stored["shards"][0].update(tokens=7)), NOTES),
    "files": (notes(lambda stored: stored.update(files=[])), NOTES),
}  # fmt: skip
DAMAGES |= {
    text: (lambda place, text=text: (place / "unfinished.json").write_text(text), NOTES)
    for text in (
        "[]",
        "null",
        '{"shards":1}',
        '{"shards":[{}]}',
        '{"shards":[],"options":[],"files":[]}',
        "[" * 100_000,
    )
}
if os.name != "nt":
    DAMAGES |= {
        "notes are a pipe": (instead("unfinished.json", os.mkfifo), "unfinished.json is in the way"),
        "a shard is a pipe": (instead("shard-00002.bin", os.mkfifo), "shard-00002.bin is in the way"),
        "the lock is a directory": (instead("lock", os.mkdir), "lock is in the way"),
    }


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_said_and_made_anew(name, cut_short, tmp_path, monkeypatch):
    monkeypatch.setattr(encode_module, "BATCH_CHARACTERS", 400)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    damage, said = DAMAGES[name]
    out, told = tmp_path / "set", []
    place = shutil.copytree(place_for(cut_short / "set"), place_for(out))
    damage(place)
    if said.endswith("in the way"):
        with pytest.raises(ValueError, match=rf"{said}, .*: move it to another place\."):
            prepare([cut_short / "text.txt"], out, Tokenizer.bytes(), **OPTIONS)
        return
    prepare([cut_short / "text.txt"], out, Tokenizer.bytes(), tell=told.append, **OPTIONS)
    assert said in " ".join(told)
    assert bool(told) == bool(said)
    for path in (cut_short / "whole").rglob("*"):
        assert path.is_dir() or path.read_bytes() == (out / path.relative_to(cut_short / "whole")).read_bytes()
    TokenShards(out).verify()
