"""One HTTP request on its way through an engine: its prompts side by side, their pieces as the event loop gets them.

In: an engine and requests for it. Out: (prompt, piece) in the order in which they come; the work ends with whoever
reads them. Read next: answering.py, which makes answers of them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from gpt2.inference.engine import Engine, Event, Request
from gpt2.inference.row import Piece
from gpt2.server.api.errors import too_late


class Run:
    """The tickets of one HTTP request.

    Attributes:
        tickets: one for each prompt.
        prompt_tokens, completion_tokens: read, and made so far.
        first: seconds from the start to the first token; None before it.
    """

    def __init__(self, engine: Engine, requests: Sequence[Request], timeout: float) -> None:
        """Queue them all, or none: raises as `Engine.submit`.

        timeout  seconds after which `events` gives up
        """
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self.timeout, self._begun = timeout, time.monotonic()
        self.prompt_tokens, self.completion_tokens = sum(len(request.ids) for request in requests), 0
        self.first: float | None = None
        self.tickets = []
        try:
            for request in requests:
                self.tickets.append(engine.submit(request))
        except BaseException:
            self.cancel()
            raise
        for number, ticket in enumerate(self.tickets):
            ticket.subscribe(lambda event, number=number: self._arrived(number, event))  # type: ignore[misc]

    def _arrived(self, number: int, event: Event) -> None:
        """In the engine's thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._events.put_nowait, (number, event))

    async def events(self) -> AsyncIterator[tuple[int, Piece | None]]:
        """Each piece with the number of its prompt, and None at the end of a prompt; the work ends when this does.

        Raises what went wrong with one of the prompts; Refused with 408 behind the time-out.
        """
        left = len(self.tickets)
        try:
            while left:
                async with asyncio.timeout_at(self._loop.time() + self._begun + self.timeout - time.monotonic()):
                    number, event = await self._events.get()
                if isinstance(event, Exception):
                    raise event
                if event is None:
                    left -= 1
                else:
                    self.completion_tokens += 1
                    self.first = self.first or time.monotonic() - self._begun
                yield number, event
        except TimeoutError:
            raise too_late(self.timeout) from None
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End what is under way; its memory is free before the next step."""
        for ticket in self.tickets:
            ticket.cancel()

    def usage(self) -> dict[str, int]:
        """The count of tokens as answers have it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }
