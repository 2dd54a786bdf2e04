"""Stop strings, found in a text that arrives in pieces.

In: pieces of text, cut anywhere. Out: the same text up to the first stop string, as early as it is certain.
Read next: generate.py.
"""

from collections.abc import Sequence


class StopStrings:
    """Passes a text through and ends it before the first stop string; `found` tells that it did.

    First is the one that is complete first as the characters arrive, and of several that end at the same
    character the longest: what is cut does not depend on where the pieces begin and end.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = stop
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """Add a piece; return what is now certain to come before any stop string."""
        if self.found:
            return ""
        self._held += text
        starts = [(self._held.find(s) + len(s), self._held.find(s)) for s in self._stop if s in self._held]
        if starts:
            _, start = min(starts)
            self.found = True
            return self._release(start)
        return self._release(len(self._held) - self._undecided())

    def finish(self) -> str:
        """Nothing more comes: return what was held back."""
        return "" if self.found else self._release(len(self._held))

    def _release(self, count: int) -> str:
        ready, self._held = self._held[:count], self._held[count:]
        return ready

    def _undecided(self) -> int:
        """Length of the longest end of the held text with which some stop string begins."""
        longest = max((len(s) for s in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(s.startswith(self._held[-length:]) for s in self._stop):
                return length
        return 0
