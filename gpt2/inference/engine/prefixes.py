"""Keys and values of texts that have been read, kept for texts that begin in the same way.

In: the ids of a text and what its row holds. Out: of all that is kept, what shares the longest beginning with a text.
What was used longest ago goes first. Read next: batch.py.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

LEAST = 16  # tokens: a shorter beginning is read again as quickly as it is found


@dataclass(frozen=True, eq=False)
class Kept:
    """A text, and the keys and values of all its positions: [H, T, D] for the keys, then the values, of each layer."""

    group: object
    ids: tuple[int, ...]
    tensors: list[Tensor]

    @property
    def bytes(self) -> int:
        """What they take."""
        return sum(tensor.nbytes for tensor in self.tensors)


class Prefixes:
    """What is kept, of all groups of requests; groups share nothing."""

    def __init__(self) -> None:
        self._all: OrderedDict[Kept, None] = OrderedDict()  # what was used last stands last
        self._by_beginning: dict[tuple[object, tuple[int, ...]], list[Kept]] = {}
        self.bytes = 0

    def find(self, group: object, ids: Sequence[int]) -> tuple[int, Kept | None]:
        """How many tokens some kept text shares with the beginning of this one, and that text."""
        best, found = 0, None
        for kept in self._by_beginning.get((group, tuple(ids[:LEAST])), ()):
            n = shared(kept.ids, ids)
            if n > best:
                best, found = n, kept
        if found is not None:
            self._all.move_to_end(found)
        return best, found

    def wants(self, group: object, ids: Sequence[int]) -> bool:
        """Whether these ids would be something new."""
        return len(ids) >= LEAST and self.find(group, ids)[0] < len(ids)

    def keep(self, kept: Kept) -> None:
        """Keep a text; those that it continues are part of it now."""
        place = self._by_beginning.setdefault((kept.group, kept.ids[:LEAST]), [])
        for one in [one for one in place if kept.ids[: len(one.ids)] == one.ids]:
            self._drop(one)
        place = self._by_beginning.setdefault((kept.group, kept.ids[:LEAST]), [])
        place.append(kept)
        self._all[kept] = None
        self.bytes += kept.bytes

    def shrink(self, most: int) -> None:
        """Forget what was used longest ago until no more than so many bytes are left."""
        while self.bytes > most and self._all:
            self._drop(next(iter(self._all)))

    def _drop(self, kept: Kept) -> None:
        del self._all[kept]
        place = self._by_beginning[kept.group, kept.ids[:LEAST]]
        place.remove(kept)
        if not place:
            del self._by_beginning[kept.group, kept.ids[:LEAST]]
        self.bytes -= kept.bytes


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts have in common at their beginnings."""
    n = min(len(one), len(other))
    if tuple(one[:n]) == tuple(other[:n]):
        return n
    return next(i for i, (left, right) in enumerate(zip(one, other)) if left != right)
