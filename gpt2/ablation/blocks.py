"""Blocks: all runs of one seed on one processor at one commit, so that a difference within it has no other cause.

In: a study with `blocks = true` and its records. Out: the blocks as they are, and a refusal before one is mixed.
Read next: conduct.py, and report/blocks.py, which shows them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gpt2.ablation.results import Records
from gpt2.ablation.study import Job, Study
from gpt2.base.errors import UsageError
from gpt2.training.run.environment import commit, processor


class Place(NamedTuple):
    """Where a run took place; `changed` is whether tracked files differed from the commit."""

    processor: str | None
    commit: str | None
    changed: bool | None


@dataclass(frozen=True)
class Block:
    """seed     of all its runs
    places   where they took place: one, for a whole block
    ran      contestants with a run
    primary  how many of those are primary, or compared with a primary one
    hours    processor hours
    """

    seed: int
    places: tuple[Place, ...]
    ran: tuple[str, ...]
    primary: int
    hours: float

    @property
    def one_place(self) -> bool:
        """Whether all runs took place on one processor at one commit without uncommitted changes."""
        return len(self.places) == 1 and not self.places[0].changed


def place_of(record: dict[str, Any]) -> Place:
    """Where a run took place."""
    where = record.get("environment") or {}
    return Place(where.get("processor"), where.get("commit"), where.get("uncommitted_changes"))


def blocks(study: Study, used: Iterable[Any]) -> list[Block]:
    """The blocks of some records of a study, by seed."""
    found: dict[int, list[dict[str, Any]]] = {seed: [] for seed in study.seeds}
    for record in used:
        if record["purpose"] == "report" and record["seed"] in found:
            found[record["seed"]].append(record)
    return [
        Block(
            seed,
            tuple(dict.fromkeys(map(place_of, records))),
            tuple(r["contestant"] for r in records),
            sum(r["contestant"] in study.family for r in records),
            sum(map(_seconds, records)) / 3600,
        )
        for seed, records in found.items()
        if records
    ]


def check_place(study: Study, records: Records, wanted: Iterable[Job]) -> None:
    """Raise UsageError where a run that is due would mix a block, or where the code is at no commit."""
    at = commit()
    here = Place(processor(), at["commit"], at["uncommitted_changes"])
    if here.changed:
        raise UsageError("files differ from the last commit, and a block runs at one commit: commit them first.")
    due = {job.seed for job in wanted if job.purpose == "report"}
    for block in blocks(study, _of(study, records)):
        other = next((place for place in block.places if place != here), None)
        if block.seed in due and other is not None:
            where = f"at commit {str(other.commit)[:10]} on {other.processor}"
            raise UsageError(f"the block of seed {block.seed} was begun {where}: go on there, or name other seeds.")


def spent(study: Study, records: Records) -> float:
    """The processor hours of a study's runs."""
    return sum(map(_seconds, _of(study, records))) / 3600


def _of(study: Study, records: Records) -> list[dict[str, Any]]:
    return [record for record in records.values() if record["study"] == study.name]


def _seconds(record: dict[str, Any]) -> float:
    """What a run took of a processor; of a run that says no more, its time."""
    return float(record.get("processor_seconds") or record.get("seconds") or 0.0)
