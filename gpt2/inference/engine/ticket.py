"""What a caller holds while the engine answers: pieces as they come, an error, or the end.

In: events from the engine's thread. Out: the same, to one reader: a thread that iterates, or a callback.
Read next: engine.py.
"""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from gpt2.base.errors import Failure
from gpt2.inference.row import Piece
from gpt2.inference.sampling import TokenLogprob

Event = Piece | Exception | None
"""A token; or, last of all, the request's error, or None for its end."""


class Full(Failure):
    """So many requests wait that no other is taken: come again later."""


class Closed(Failure):
    """The engine is stopped, or stops."""


class Ticket:
    """One request on its way through the engine.

    Iterating it gives a `Piece` for each token of each sample. It raises what went wrong with the request:
    `UsageError`, `Failure`, `Closed`, or what an edit raised. A request that is cancelled ends without an error.

    Attributes:
        ids: the prompt as the model reads it, cut where `truncate` asks for that.
        prompt_logprobs: where they were asked for, one entry for each token of the prompt, None for the first; complete
            before the first piece, and before the end.
    """

    def __init__(self, ids: list[int], samples: int) -> None:
        self.ids = ids
        self.open = samples  # for the engine: so many have not ended
        self.prompt_logprobs: list[TokenLogprob | None] | None = None
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._tell: Callable[[Event], None] = self._events.put
        self._lock = threading.Lock()
        self._cancelled = False
        self._ended = False

    def __iter__(self) -> Iterator[Piece]:
        while (event := self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Have each event handed to `callback`, in the engine's thread, in place of iterating; past events come first.

        The last event is an Exception or None. `callback` must return at once: it may hand the event on by
        `loop.call_soon_threadsafe`, say. Where it raises, the ticket is cancelled.
        """
        with self._lock:
            while not self._events.empty():
                callback(self._events.get())
            self._tell = callback

    def cancel(self) -> None:
        """Leave the batch before its next step, and the queue; the memory is free again then. The ticket ends."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    @property
    def ended(self) -> bool:
        """Whether the last event has been handed out."""
        return self._ended

    def push(self, event: Event) -> None:
        """For the engine: hand out an event; after the last one nothing more is. A listener that fails has left."""
        with self._lock:
            if self._ended:
                return
            self._ended = not isinstance(event, Piece)
            try:
                self._tell(event)
            except Exception:
                self._ended = self._cancelled = True
