"""What makes the page of one run quick to write: means that are kept, and many switches in one pass.

In: a session and its scenes. Out: the session, which has their passes at hand when it is asked. Read next: export.py,
columns.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from torch import Tensor

from gpt2.explain import Reference
from gpt2.explain.live.averages import averages
from gpt2.explain.see.flows import flows
from gpt2.server.means import Means
from gpt2.server.session import Session
from gpt2.server.switches import SWITCHED, edits

AT_ONCE = 256  # positions of one pass
MOST = 16  # scenes of one pass


class KeptMeans(Means):
    """The means at the page's switches: shipped with the bundled model, else kept on this machine."""

    @cached_property
    def _kept(self) -> Reference:
        found = averages(self.checkpoint, SWITCHED)
        means: dict[tuple[int | None, str], Tensor] = {}
        for address, value in found.items():
            layer, _, point = address.partition(".")
            means[(int(layer), point) if layer.isdecimal() else (None, address)] = value
        return replace(self.text, _means=means)

    def computed(self) -> Reference:
        """The reference with its means at every switch."""
        return self._kept


def groups(T: int, scenes: Sequence[Mapping[str, str]]) -> Iterable[Sequence[Mapping[str, str]]]:
    """Switches of several scenes that make one pass of a text of T tokens."""
    size = max(1, min(MOST, AT_ONCE // T))
    return (scenes[start : start + size] for start in range(0, len(scenes), size))


def look_together(session: Session, ids: list[int], scenes: Sequence[Mapping[str, str]]) -> None:
    """Make the passes of these scenes at once; the session keeps them under the names by which it looks them up."""
    for switches, found in zip(scenes, flows(session.checkpoint, ids, [edits(session, s) for s in scenes])):
        session.looked(ids, switches, found)
