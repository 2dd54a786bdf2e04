"""The results file of a study: a line of JSON for each run that ended, read with its damage and written by one process.

In: the file's path. Out: the records by key; a file that grows. Nothing in it is ever deleted but a last line that was
cut off. Read next: conduct.py.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from gpt2.base.counted import counted
from gpt2.base.disk import naming, refusal
from gpt2.base.errors import DiskFailure, Failure, UsageError
from gpt2.base.kinds import parse_own
from gpt2.base.lock import lock
from gpt2.base.notes import note
from gpt2.base.sealed import read_file

BEGINNING = b'{"key": "'  # of a record's line, also of one that was cut off
NUMBER, NUMBERS, SCALES = (float, None), [(float, None)], {str: [(float, None)]}
USE = ({"use": float, "full": float, "short": float, "error": NUMBER}, None)
FIELDS = {
    "key": str, "study": str, "contestant": str, "purpose": str, "seed": int, "rate": float, "share": float,
    "diverged_at": (int, None), "val_loss?": NUMBER, "steps?": int, "tokens?": int, "parameters?": int,
    "train_loss?": NUMBER, "tokens_per_s?": NUMBER, "seconds?": NUMBER, "peak_memory_bytes?": (int, None),
    "curve?": [{"steps": int, "val_loss": NUMBER, "induction": NUMBER}], "position_losses?": (NUMBERS, None),
    "longer_losses?": (NUMBERS, None), "in_context_score?": NUMBER, "induction?": NUMBER, "dead_neurons?": NUMBER,
    "at_start?": (SCALES, None), "at_end?": (SCALES, None), "environment?": (dict, None), "ended?": (str, None),
    "processor_seconds?": NUMBER, "context_use?": USE,
    "branches?": [{"share": float, "steps": int, "tokens": int, "val_loss": NUMBER, "context_use?": USE}],
}  # fmt: skip
"""What is read of a record, by kind (gpt2/base/kinds.py)."""
Records = dict[str, dict[str, Any]]  # by key


def read_records(path: Path) -> Records:
    """Results by key, of two with the same key the later one; a note says which lines are left out.

    Raises UsageError for a file that holds something else than results.
    """
    return _parsed(read_file(path), path) if path.exists() else {}


@contextmanager
def writing(path: Path) -> Iterator["Results"]:
    """The file, to append to, for the one process that may write it, until the block ends or the process dies.

    Raises UsageError when another process writes it, and as `read_records` does. Where files cannot be locked nothing
    is held. A file that is new and stays empty is deleted again.
    """
    results = Results(path)
    try:
        yield results
    finally:
        results.close()


class Results:
    """A results file that this process alone writes; `records` are those that it holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _hold(path)
        try:
            self.records = _parsed(_content(self._file), path)
        except BaseException:
            self.close()
            raise

    def append(self, record: dict[str, Any]) -> None:
        """One line, on the disk before anything goes on; a line that was cut off before is ended first.

        A file that was deleted meanwhile is written again, whole. Raises Failure when it was moved, DiskFailure when
        it cannot be written.
        """
        moved = not _is_at(self._file, self.path) and os.fstat(self._file.fileno()).st_nlink > 0
        if not moved and not _is_at(self._file, self.path):
            self._begin_again()
        content, line = _content(self._file), json.dumps(record).encode() + b"\n"
        if not content.endswith(line):  # a signal may come behind the writing, before anybody knows of it
            self._write(_end(content, self._file) + line)
        self.records[record["key"]] = record
        if moved:
            what = f"{self.path} was moved while the study ran, and all results are where it is now"
            raise Failure(what, "name it with {results}, and the same command goes on.", results=None)

    def close(self) -> None:
        """Give the lock back."""
        with suppress(OSError):
            if os.fstat(self._file.fileno()).st_size == 0 and _is_at(self._file, self.path):
                self.path.unlink()
            self._file.close()

    def _begin_again(self) -> None:
        """Write a file that is gone once more; one that an editor has put in its place is taken as it is."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        gone, self._file = self._file, _hold(self.path)
        with gone:
            if not os.fstat(self._file.fileno()).st_size:
                self._write(_content(gone))

    def _write(self, data: bytes) -> None:
        size = self._file.seek(0, os.SEEK_END)
        try:
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(size)
            disk = refusal(error)
            if disk is None:
                with naming(self.path):
                    raise
            kept = f"{counted(len(self.records), 'result')} in it stay, and the same command goes on after them."
            failure = DiskFailure(f"{self.path}: {disk.why}", f"{disk.mend}, then type the same command again: {kept}")
            failure.errno = error.errno
            raise failure from None


def _hold(path: Path) -> BinaryIO:
    """The file, opened to append to, with its lock. UsageError where another process has it."""
    for _ in range(20):
        file: Any = open(path, "a+b", buffering=0)  # noqa: SIM115
        if not lock(file.fileno()):
            file.close()
            what = f"another gpt2 ablate is writing {path}"
            raise UsageError(what, "wait for it to end, or choose another file with {results}.", results=None)
        if _is_at(file, path):
            return file
        file.close()  # whoever had it has just deleted it
    raise OSError(errno.EBUSY, "other processes keep replacing it", str(path))


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the path still leads to this file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _end(content: bytes, file: BinaryIO) -> bytes:
    """What ends the last line; one that is the beginning of a record is cut from the file."""
    *_, last = content.rpartition(b"\n")
    if not last or _record(last) is not None or not _is_beginning(last):
        return b"\n" if last else b""
    file.truncate(len(content) - len(last))
    return b""


def _parsed(content: bytes, path: Path) -> Records:
    *lines, last = content.split(b"\n")
    records: Records = {}
    left_out: list[int] = []
    again: list[int] = []
    cut = _record(last) is None and _is_beginning(last) and bool(last)
    for number, line in enumerate(lines if cut or not last else [*lines, last], 1):
        record = _record(line)
        if record is not None:
            again += [number] * (record["key"] in records)
            records[record["key"]] = record
        elif line.strip():
            left_out.append(number)
    if left_out and not records:
        raise UsageError(f"{path}, line {left_out[0]} is not the result of a run: remove that line.")
    said = []
    if left_out:
        said.append(f"{_lines(left_out)} damaged and left out, so a run that stood there is due again")
    if again:
        said.append(f"{_lines(again, 'has', 'have')} a run that stood there before, and the last one counts")
    if cut:
        said.append("the last line was cut off, so its run is due again")
    if said:
        note(f"{path}: {'; '.join(said)}.")
    return records


def _lines(numbers: list[int], one: str = "is", more: str = "are") -> str:
    """Some lines as the subject of a sentence."""
    shown = ", ".join(map(str, numbers[:5])) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
    return f"lines {shown} {more}" if len(numbers) > 1 else f"line {shown} {one}"


def _is_beginning(line: bytes) -> bool:
    """Whether a record may begin so."""
    return line.startswith(BEGINNING) or BEGINNING.startswith(line)


def _record(line: bytes) -> dict[str, Any] | None:
    """The record that a line is; None for anything else."""
    try:
        found: dict[str, Any] = parse_own(line.decode("utf-8"), FIELDS)
    except ValueError:
        return None
    return found if isfinite(found.get("val_loss") or 0.0) else None
