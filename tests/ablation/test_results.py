"""The results file of a study: one writer, damage that is said, and nothing that is lost."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gpt2.ablation.kept import clear, hidden, place, settle
from gpt2.ablation.results import Results, read_records, writing
from gpt2.ablation.study import Job
from gpt2.base.errors import DiskFailure, Failure, UsageError
from gpt2.base.notes import Note, forget
from gpt2.checkpoint.files import save
from gpt2.config import GPT2Config
from gpt2.model import GPT2
from tests.ablation_records import study


def record(key: str, **more: Any) -> dict[str, Any]:
    return {
        "key": key, "study": "s", "contestant": "baseline", "purpose": "report", "seed": 0, "rate": 1.0, "share": 1.0,
        "diverged_at": None, "val_loss": 1.5, **more,
    }  # fmt: skip


def line(key: str, **more: Any) -> str:
    return json.dumps(record(key, **more)) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    forget()
    return tmp_path / "runs" / "results.jsonl"


def test_a_second_study_is_refused_while_one_writes(path: Path) -> None:
    with writing(path) as results:
        results.append(record("a"))
        link = path.with_name("link.jsonl")
        link.symlink_to(path)
        for other in (path, link):
            with pytest.raises(UsageError, match=r"another gpt2 ablate is writing .*: wait for it to end, or choose"):
                Results(other)
        assert list(read_records(path)) == ["a"]  # a report is made all the same
    with writing(path) as again:
        assert list(again.records) == ["a"]


def test_a_file_that_stays_empty_is_not_left(path: Path) -> None:
    with writing(path):
        assert path.exists()
    assert not path.exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ('{"key": "b", "val', "the last line was cut off, so its run is due again"),
        ("\0" * 40, "line 2 is damaged and left out, so a run that stood there is due again"),
        (f"{'[' * 100_000}\n", "line 2 is damaged"),
        ('{"key": "b"}\n', "line 2 is damaged"),
        ("[]\nnull\n", "lines 2, 3 are damaged"),
        (line("b", val_loss=float("nan")), "line 2 is damaged"),
        (line("b", val_loss="low"), "line 2 is damaged"),
        (line("b", val_loss=10**400), "line 2 is damaged"),
        (line("b", seed="one"), "line 2 is damaged"),
        (line("a", val_loss=2.5), "line 2 has a run that stood there before, and the last one counts"),
    ],
)
def test_damage_is_said_in_one_sentence_and_the_rest_counts(path: Path, damage: str, says: str) -> None:
    path.parent.mkdir()
    path.write_text(line("a") + damage)
    with pytest.warns(Note) as notes, writing(path) as results:
        results.append(record("c"))
    assert [str(note.message) for note in notes] == [str(notes[0].message)]
    assert says in str(notes[0].message)
    forget()
    found = read_records(path) if "cut off" in says else results.records
    assert list(found) == ["a", "c"]
    assert found["a"]["val_loss"] == (2.5 if "before" in says else 1.5)
    kept = path.read_text()
    assert kept.endswith(line("c"))
    assert ("cut off" in says) != (damage in kept)  # only half a line is ever deleted


def test_bytes_that_are_no_text_are_damage_too(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\n" + line("a").encode())
    with pytest.warns(Note, match="line 1 is damaged"):
        assert list(read_records(path)) == ["a"]
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(UsageError, match="line 1 is not the result of a run"):
        Results(path)
    assert path.read_bytes() == b"\xff\xfe\n"


def test_a_signal_behind_the_writing_writes_no_line_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command then writes down what has ended, and did not know that it had done so."""

    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    with writing(path) as results:
        results.append(record("a"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                results.append(record("b"))
        results.append(record("b"))
        results.append(record("c"))
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b", "c"]


def test_a_file_that_is_moved_is_not_split_in_two(path: Path) -> None:
    with writing(path) as results:
        results.append(record("a"))
        os.rename(path, path.with_name("moved.jsonl"))
        with pytest.raises(Failure, match="was moved while the study ran"):
            results.append(record("b"))
    assert not path.exists()
    assert list(read_records(path.with_name("moved.jsonl"))) == ["a", "b"]


def test_a_file_that_is_deleted_is_written_again(path: Path) -> None:
    with writing(path) as results:
        results.append(record("a"))
        path.unlink()
        path.parent.rmdir()
        results.append(record("b"))
        with pytest.raises(UsageError, match="is writing"):
            Results(path)
    assert list(read_records(path)) == ["a", "b"]


def test_a_file_that_an_editor_replaced_is_gone_on_with(path: Path) -> None:
    with writing(path) as results:
        results.append(record("a"))
        new = path.with_name("new")
        new.write_text(line("a", note="mine"))
        os.replace(new, path)
        results.append(record("b"))
    assert path.read_text() == line("a", note="mine") + line("b")


def test_a_full_disk_leaves_no_half_line(path: Path) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            if len(data) < 100:
                raise OSError(28, "No space left on device")
            return int(self.file.write(data[:100]))

    with writing(path) as results:
        results.append(record("a"))
        whole, results._file = results._file, Full(results._file)  # type: ignore[assignment]
        with pytest.raises(
            DiskFailure, match=r"no space left on device: make room, then type the same command again: 1 res"
        ):
            results.append(record("b"))
        results._file = whole
    assert path.read_text() == line("a")


def test_weights_get_their_name_when_their_result_is_written_down(tmp_path: Path) -> None:
    """A study that was killed between the two refused to go on: the weights stood in its way."""
    made, keep = study(tmp_path), tmp_path / "kept"
    jobs = [Job("baseline", "report", seed, 1.0) for seed in (0, 1)]
    model = GPT2(GPT2Config(n_layer=1, n_head=1, n_embd=4, n_positions=4, vocab_size=8))
    for job in jobs:
        save(model, None, hidden(keep, made, job))
    half = keep / f".{hidden(keep, made, jobs[0]).name}.0a1b2c3d.partial"
    half.mkdir()
    (half / "config.json").write_text("{")
    (keep / ".baseline-notes").write_text("mine")
    records = {jobs[0].key(made): record("a")}
    clear(keep, records)
    settle(keep, records)
    assert sorted(path.name for path in keep.iterdir()) == [".baseline-notes", place(keep, 0).name]
