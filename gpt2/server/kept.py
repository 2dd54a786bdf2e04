"""Results that are kept between questions, the latest first, within a budget of memory.

In: a key and a function that makes its value. Out: the value, made once. Read next: session.py.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from gpt2.base.held import give_back, held
from gpt2.base.stopping import turn

T = TypeVar("T")


class Kept:
    """At most `budget` bytes of results. A result that is larger by itself is handed out and not kept.

    Who asks for what another thread is making waits for it. Where that one is stopped, the next one makes it.
    `apart_from` are objects that live anyway (`gpt2.base.held.held`).
    """

    def __init__(self, budget: int, apart_from: tuple[Any, ...] = ()) -> None:
        self.budget, self._apart_from = budget, apart_from
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._turns: dict[Hashable, threading.Lock] = {}
        self._asking: Counter[Hashable] = Counter()

    @property
    def size(self) -> int:
        """Bytes that are kept now."""
        with self._lock:
            return sum(size for _, size in self._values.values())

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave for this key, if it is still kept; otherwise what it gives now."""
        with self._lock:
            mine = self._turns.setdefault(key, threading.Lock())
            self._asking[key] += 1
        try:
            with turn(mine):
                with self._lock:
                    if key in self._values:
                        self._values.move_to_end(key)
                        return self._values[key][0]
                value = make()
                self._keep(key, value)
                return value
        finally:
            with self._lock:
                self._asking[key] -= 1
                if not self._asking[key]:
                    del self._asking[key], self._turns[key]

    def _keep(self, key: Hashable, value: Any) -> None:
        size = held(value, self._apart_from)
        if size > self.budget:
            return
        with self._lock:
            self._values[key] = value, size
            total, before = sum(n for _, n in self._values.values()), len(self._values)
            while total > self.budget:
                total -= self._values.popitem(last=False)[1][1]
            evicted = len(self._values) < before
        if evicted:
            give_back()
