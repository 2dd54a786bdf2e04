"""Every reader of a file that others may have written or damaged: a value, or one sentence, never anything else."""

import json
import shutil
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from gpt2.ablation.results import read_records
from gpt2.ablation.study import load_study
from gpt2.ablation.switched_off import read_switched_off
from gpt2.base.foreign import parse_json
from gpt2.base.kinds import is_like
from gpt2.base.sealed import own_hash
from gpt2.data.own import data_set
from gpt2.data.shards import TokenShards
from gpt2.data.unfinished import STATE, kept, place_for
from gpt2.explain.change.pairs import _fields
from gpt2.server.wire import unpack
from gpt2.training.finetune.settings import read_settings
from gpt2.training.recipe_file import load_recipe
from gpt2.training.run.directory import RUN, is_running
from gpt2.training.run.going_on import find_start, first_recipe, resumed_recipe
from gpt2.training.run.history import read_history
from gpt2.training.run.intact import read_facts
from gpt2.training.run.metrics import read_metrics

RUN_0_1 = Path(__file__).parents[1] / "fixtures" / "version_0_1" / "run"
STEP = RUN_0_1 / "checkpoints" / "step-000002"
RECORD = {"key": "a", "study": "s", "contestant": "c", "purpose": "tune", "seed": 1, "rate": 1.0, "share": 1.0,
          "diverged_at": None, "val_loss": 2.0, "curve": [{"steps": 1, "val_loss": 2.0, "induction": None}],
          "environment": {"gpt2": "0.1.0"}}  # fmt: skip
OFF = {"losses": {"1": 2.0, "2": 2.5}, "tokens": 1, "tokens_of_means": 1,
       "off": [{"title": "t", "variant": None, "kind": "mean", "addresses": "0.attn",
                "losses": {"1": 3.0, "2": 3.5}}]}  # fmt: skip
UNFINISHED = {"options": {}, "files": [["a", 1]], "shards": [],
              "state": {"place": {"source": 0, "pieces": 0, "inside": False}, "tokens": 1, "begun": 1,
                        "documents": [1], "sizes": [1], "spelled": {}}}  # fmt: skip
MANIFEST = {"format": 1, "dtype": "uint16", "tokenizer_hash": "a", "vocab_size": 1, "eot_id": 0, "tokens": 0,
            "documents": 0, "bytes": 1, "files": {"doc_starts.npy": None}, "shards": []}  # fmt: skip
PAIR = {"clean": "a", "corrupt": "b", "target": "c", "foil": "d"}
SETTINGS = {"files": ["a.txt"], "model": "storyteller", "lora": 0, "optim": {"lr": 0.1}, "patience": 2}


def of_run(name, read, lost=False):
    """A reader of a file of a run: the run is there with this file in place of its own, without checkpoints if lost."""

    def reader(path):
        run = path.parent / "run"
        if not run.exists():
            shutil.copytree(RUN_0_1, run)
            if lost:
                shutil.rmtree(run / "checkpoints")
        target = run / name
        if target.is_dir():
            target.rmdir()
        target.unlink(missing_ok=True)
        path.rename(target)
        return read(run)

    return reader


def unfinished(path):
    place = place_for(path.parent / "set")
    place.mkdir(exist_ok=True)
    shutil.move(path, place / STATE)
    found = kept(path.parent / "set")
    shutil.move(place / STATE, path)
    return found


def manifest(path):
    (path.parent / "manifest.json").unlink(missing_ok=True)
    np.save(path.parent / "doc_starts.npy", np.zeros(0, np.uint64))
    path.rename(path.with_name("manifest.json"))
    return len(TokenShards(path.parent).manifest["shards"]), data_set(path.parent)


FACTS = json.loads((STEP / "training.json").read_text())
SEALED = {**FACTS, "settings": None, "log": None, "hashes": {"training.safetensors": "0"}}
SEALED["sha256"] = own_hash(SEALED)
TRAINING = "checkpoints/step-000002/training.json"
READERS = {
    "metrics": ({"step": 0, "tokens": 1, "loss": 2.0, "val": {"a": 2.0}}, read_metrics),
    "history": ({"step": 0, "tokens": 1, "loss": 2.0, "val": {"a": 2.0}, "elapsed_s": 1.0, "tokens_per_s": 2.0},
                lambda path: read_history(path).to_dict()),
    "history's recipe": ({"train": {"steps": 4}}, of_run("recipe.json", lambda run: read_history(run).to_dict())),
    "history's settings": (SETTINGS, of_run("finetune.json", lambda run: read_history(run).to_dict())),
    "first recipe": (FACTS["recipe"], of_run("recipe.json", first_recipe, lost=True)),
    "directory": (FACTS["recipe"], of_run("recipe.json", lambda run: RUN.proof(run) and is_running(run))),
    "facts": (FACTS, of_run(TRAINING, lambda run: read_facts(run / "checkpoints/step-000002"))),
    "sealed facts": (SEALED, of_run(TRAINING, lambda run: read_facts(run / "checkpoints/step-000002"))),
    "resumed recipe": (FACTS, of_run(TRAINING, resumed_recipe)),
    "start": (FACTS, of_run(TRAINING, find_start)),
    "settings": (SETTINGS, of_run("finetune.json", lambda run: read_settings(run, lost=True).check())),
    "pairs": (PAIR, lambda path: _fields(parse_json(path.read_text("utf-8")), "FILE, line 1")),
    "manifest": (MANIFEST, manifest),
    "unfinished": (UNFINISHED, unfinished),
    "results": (RECORD, lambda path: read_records(path)),
    "switched off": (OFF, read_switched_off),
    "wire": ({"a": 1}, lambda path: unpack(len(path.read_bytes()).to_bytes(4, "little") + path.read_bytes())),
    "recipe": (None, load_recipe),
    "study": (None, load_study),
}  # fmt: skip
VALUES = ["x" * 5000, 10**400, -1, float("nan"), True, None, [], {}, [[1]], 2**63, "\x1b[31m"]
TEXTS = [b"", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"NaN", b"\xff\xfe{}", b"[]", b'"text"', b"null"]
TABLES = [b"a=" + b"[" * 100_000, b"a=" + b"{a=" * 100_000, b".".join([b"a"] * 2000) + b"=1", b"a=0x" + b"f" * 9000,
          b"[train]\nsteps=" + b"9" * 5000, b"[train]\nsteps=" + b"9" * 30, b"[optim]\nlr=1e999", b"[optim]\nlr=nan",
          b"model=1", b"[model]\nn_layer=1979-05-27", b"[[model]]", b"baseline=1", b"contestants=[1]\n[baseline]",
          b"[contestants]\na=1\n[baseline]", b"study=1\n[baseline]", b"[study]\nseeds=3\n[baseline]",
          b"[contestants.a]\nset=1\n[baseline]", b"[contestants.a]\nkind=[]\n[baseline]",
          b"[contestants.a.set]\nmodel=1\n[baseline]", b"[study]\nvariants=1\n[baseline]", b"[baseline]\nmodel=1",
          b"[study]\ntune_rates=['a']\n[baseline]", b"[baseline]\n[baseline.train]\nsteps=1e9"]  # fmt: skip


def changed(value, values):
    """Every value that differs from this one in one place; what stands there comes from `values`, in turn."""
    yield next(values)
    if isinstance(value, dict):
        for name in value:
            for other in changed(value[name], values):
                yield {**value, name: other}
    if isinstance(value, list) and value:
        for other in changed(value[0], values):
            yield [other, *value[1:]]


def told(read, path):
    """Read; a refusal is one short sentence that can be printed."""
    try:
        read(path)
    except (ValueError, OSError) as error:
        said = str(error).replace(str(path.parent), "")
        assert said.isprintable()
        assert len(said) < 600
        return said
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_such_file_is_read_or_refused_in_a_sentence(name, tmp_path):
    good, read = READERS[name]
    path, in_toml, end = tmp_path / "file", good is None, b"\n" * (name in ("metrics", "history"))
    bad = [*TEXTS, *TABLES * in_toml]
    if not in_toml:
        path.write_bytes(json.dumps(good).encode() + end)
        assert told(read, path) is None
        path.unlink(missing_ok=True)
        for one in islice(changed(good, cycle(VALUES)), 60):
            seal = {"sha256": own_hash(one)} if name == "sealed facts" and isinstance(one, dict) else None
            bad.append(json.dumps(one | seal if seal else one).encode())
    for text in bad:
        path.write_bytes(text + end)
        told(read, path)
        path.unlink(missing_ok=True)
    path.mkdir()
    told(read, path)


@pytest.mark.parametrize(
    ("value", "kind", "like"),
    [
        (1, float, True), (1, int, True), (1.0, int, False), (True, int, False), (True, float, False), (1, bool, False),
        (None, (int, None), True), (None, int, False), ([1, 2.0], [float], True), ([1, "a"], [int], False),
        ({"a": 1}, {"a": int, "b?": str}, True), ({"a": 1, "b": 1}, {"a": int, "b?": str}, False),
        ({}, {"a": int}, False),
        ({"x": 1}, {str: int}, True), ({"x": None}, {str: int}, False), ([], {"a?": int}, False),
    ],
)  # fmt: skip
def test_the_kinds_of_fields(value, kind, like):
    assert is_like(value, kind) is like


def test_what_a_run_of_the_first_edition_logged_is_read_with_a_loss_that_is_none(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "tokens": 1, "loss": NaN, "val": {"a": Infinity}}\n')
    assert read_history(tmp_path).to_dict()["validation"]["a"]["final"] == float("inf")
