"""The directory in which a data set is made, and how an interrupted `gpt2 prepare` goes on in it.

In: where the data set shall stand, what it is made of, and how far it is. Out: a `Workplace` beside that place, hidden,
with what a run that was cut short left in it. `gpt2/data/prepare.py` fills it and renames it when all is there.

`unfinished.json` is written whenever a shard is complete. It says where the batch of text begins in which that shard
ends; going on means to encode again from there and to drop the ids that the complete shards hold already. It holds
hashes of itself and of what is kept; where one does not fit, nothing is kept.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2.base.disk import sync
from gpt2.base.errors import UsageError
from gpt2.base.kinds import parse_own
from gpt2.base.ours import remove
from gpt2.base.sealed import OWN, hash_file, own_hash, read_text, sealed
from gpt2.data.encode import Place
from gpt2.data.own import LOCK, STARTS, STATE, UNFINISHED
from gpt2.data.shards import DTYPE, shard_name

if TYPE_CHECKING:
    from filelock import FileLock


KINDS = {
    "options": dict,
    "files": [list],
    "state": {
        "place": {"source": int, "pieces": int, "inside": bool}, "tokens": int, "begun": int, "documents": [int],
        "sizes": [int], "spelled?": {str: int},
    },
    "shards": [{"file": str, "tokens": int, "sha256": str}], "starts?": str,
}  # fmt: skip
"""What is read of unfinished.json, by kind (gpt2/base/kinds.py)."""
CUT_SHORT = "an earlier run was cut short"
AFRESH = ", but {}: this run starts afresh."
UNSEALED = "It is one of an earlier version, without hashes of all it kept: a changed number would not be noticed."


@dataclass
class State:
    """How far a data set is at the start of a batch.

    Attributes:
        place: where the batch begins in the files.
        tokens: ids that come from the text before it.
        begun: documents that begin before it.
        documents: of each file, the documents that end before it.
        sizes: of each file, the bytes of UTF-8 before it.
        spelled: special tokens spelled before it and read as ordinary text.
    """

    place: Place
    tokens: int
    begun: int
    documents: list[int]
    sizes: list[int]
    spelled: dict[str, int] = field(default_factory=dict)


@dataclass
class Workplace:
    """A directory to build in, and everything that decides the content of the data set.

    Attributes:
        directory: exists while `workplace` is open.
        lock: keeps other processes out of it.
        options: plain values by name.
        files: what tells one state of each input file from another, in order.
        note: what to tell the user about an earlier run; empty when there was none.
        state, shards: where an earlier run of the same options and files stopped, and its complete shards.
    """

    directory: Path
    lock: "FileLock"
    options: dict[str, Any]
    files: list[list[Any]]
    note: str = ""
    state: State | None = None
    shards: list[dict[str, Any]] = field(default_factory=list)

    def save(self, state: State, shards: list[dict[str, Any]], files: int, starts: str) -> None:
        """Remember that these shards are complete, the last one within the batch that `state` stands before.

        The first `files` files are those that have a part in them: only these must not change. `starts` is the SHA-256
        of the numbers of the `state.begun` documents.
        """
        noted = {"options": self.options, "files": self.files[:files], "state": asdict(state), "shards": shards}
        temporary = self.directory / f"{STATE}.tmp"
        temporary.write_text(json.dumps(sealed({**noted, "starts": starts})), encoding="utf-8", newline="\n")
        sync(temporary)
        os.replace(temporary, self.directory / STATE)

    def load(self) -> None:
        """Take up what an earlier run left, if it had these options and read these files as far as it came."""
        earlier = _read(self.directory)
        if earlier is None:
            damaged = os.path.lexists(self.directory / STATE)
            self.note = CUT_SHORT + AFRESH.format("its notes are damaged") if damaged else ""
            return
        before = earlier["options"]
        changed = [name for name in {**before, **self.options} if before.get(name) != self.options.get(name)]
        if earlier["files"] != self.files[: len(earlier["files"])]:
            changed.append("files")
        if changed:
            named = " and ".join(changed).replace("_", " ")
            self.note = CUT_SHORT + AFRESH.format(f"its {named} differed")
            return
        damage = _damage(self.directory, earlier)
        if damage:
            self.note = CUT_SHORT + AFRESH.format(damage)
            return
        self.state, self.shards = State(**earlier["state"]), earlier["shards"]
        self.state.place = Place(**earlier["state"]["place"])
        missing = len(self.files) - len(self.state.documents)  # files may have come or gone since
        for counts in (self.state.documents, self.state.sizes):
            counts[:] = (counts + [0] * missing)[: len(self.files)]
        n, tokens = len(self.shards), sum(shard["tokens"] for shard in self.shards)
        self.note = f"{CUT_SHORT}: going on after its {n} shard{'s' * (n > 1)} ({tokens:,} tokens)."
        if OWN not in earlier:
            self.note += f" {UNSEALED}"

    def nothing(self) -> State:
        """The state before the first batch."""
        n = len(self.files)
        return State(Place(), tokens=0, begun=0, documents=[0] * n, sizes=[0] * n)

    def forget(self) -> None:
        """Start afresh, since the notes of the earlier run have turned out to be damaged."""
        self.state, self.shards = None, []
        (self.directory / STATE).unlink(missing_ok=True)
        self.note = CUT_SHORT + AFRESH.format("its notes are damaged")


def place_for(out: Path) -> Path:
    """Where the data set for `out` is built."""
    out = out.resolve()
    return out.parent / f".{out.name}.unfinished"


def kept(out: Path) -> int:
    """How many complete shards a run that was cut short left for `out`."""
    earlier = _read(place_for(out))
    return len(earlier["shards"]) if earlier else 0


def _read(directory: Path) -> dict[str, Any] | None:
    """The notes of an earlier run; None when there are none, or they are damaged and so nothing is lost but time."""
    with suppress(OSError, ValueError):
        content: dict[str, Any] = parse_own(read_text(directory / STATE), KINDS)
        if _can_be(content):
            return content
    return None


def _can_be(notes: dict[str, Any]) -> bool:
    """Whether notes, of the right kinds, are such as `save` writes."""
    if OWN in notes and (notes[OWN] != own_hash(notes) or "starts" not in notes):
        return False
    state, shards, each = notes["state"], notes["shards"], notes["options"].get("shard_tokens")
    counts = [*state["place"].values(), *state["documents"], *state["sizes"], *state.get("spelled", {}).values()]
    return (
        all(0 <= count < 1 << 62 for count in (*counts, state["begun"]))
        and state["place"]["source"] < len(notes["files"])
        and len(state["documents"]) == len(state["sizes"]) >= len(notes["files"]) > 0
        and all((shard["file"], shard["tokens"]) == (shard_name(n), each) for n, shard in enumerate(shards))
        and 0 <= state["tokens"] <= sum(shard["tokens"] for shard in shards)
    )


def _damage(directory: Path, notes: dict[str, Any]) -> str:
    """Which of the kept files is not as the notes say, within a sentence; empty where all are."""
    for shard in notes["shards"]:
        path = directory / shard["file"]
        try:
            if path.stat().st_size == shard["tokens"] * DTYPE.itemsize and hash_file(path) == shard["sha256"]:
                continue
        except FileNotFoundError:
            return f"its {shard['file']} is missing"
        except OSError:
            pass
        return f"its {shard['file']} is damaged"
    size = notes["state"]["begun"] * 8
    try:
        whole = (directory / STARTS).stat().st_size >= size
        if whole and notes.get("starts", "") in ("", hash_file(directory / STARTS, size)):
            return ""
    except OSError:
        pass
    return f"its {STARTS} is damaged"


@contextmanager
def workplace(out: Path, options: dict[str, Any], files: list[list[Any]]) -> Iterator[Workplace]:
    """The directory to build `out` in.

    When the block does not end well, complete shards stay for the next run; without any, nothing stays, new parents of
    `out` included. Raises UsageError when another process builds there, OSError when the directory cannot be made.
    """
    from filelock import FileLock, Timeout

    directory = place_for(out)
    for path in (directory, directory / LOCK):
        if os.path.lexists(path) and not (path.is_dir() if path == directory else path.is_file()):
            what = f"{path} is in the way, and gpt2 prepare did not write it"
            raise UsageError(what, "move it to another place.")
    made = [parent for parent in directory.parents if not parent.exists()]
    lock = FileLock(directory / LOCK)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        try:
            place = Workplace(directory, lock, options, files)
            place.load()
            if place.state is None:
                for path in directory.iterdir():
                    kind = UNFINISHED.kind(path.name)
                    if path.name != LOCK and (kind is None or not remove(path, kind)):
                        what = f"{path} is in the way, and gpt2 prepare did not write it"
                        raise UsageError(what, "move it to another place.")
            yield place
        except BaseException:
            _tidy(directory)
            raise
        finally:
            lock.release()
    except Timeout:
        what = f"another gpt2 prepare is at work on {out}"
        raise UsageError(what, "wait for it, or choose another {out}.", out=None) from None
    except BaseException:
        with suppress(OSError):  # one that is not empty stays
            for parent in made:
                parent.rmdir()
        raise


def _tidy(directory: Path) -> None:
    """Leave only what the next run can use."""
    earlier = _read(directory)
    if earlier is None:
        remove(directory, UNFINISHED)
        return
    complete = {shard["file"] for shard in earlier["shards"]}
    for path in directory.glob("shard-*.bin"):
        if path.name not in complete:
            path.unlink(missing_ok=True)
