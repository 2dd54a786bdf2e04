"""One connection to a client that may be slow, gone or hostile: how long it may take, and how it is closed.

In: uvicorn's protocol for one connection. Out: the same with the limits below, and with a refusal of one sentence, as
JSON, wherever the bytes are no request. Read next: serving.py, which serves with it; guard.py, which limits bodies.

A request arrives whole within `REQUEST` seconds of its first byte, whatever trickles in. A client takes some of its
answer every `STALLED` seconds. A connection on which nothing is asked is closed after `IDLE` seconds. Closing waits
for what the client still sends, up to `LINGER` seconds: otherwise the system would reset the connection, and the client
would never see why it was refused.
"""

import asyncio
import sys
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from gpt2.server.guard import HEAD_TOO_LARGE, Shape, refusal, sentence_alone

REQUEST = 15.0
STALLED = 30.0
IDLE = 30.0
LINGER = 2.0
AHEAD = 64 * 1024  # bytes of further requests that are read while one is answered
MOST = 128  # connections at once; twice as many are told so, the others closed without a word


class Connection(H11Protocol):
    """An asyncio protocol; uvicorn makes one for each connection. `shape` is how its refusals are written."""

    shape: Shape = staticmethod(sentence_alone)
    _waiting: asyncio.TimerHandle | None = None  # for a request, or for the rest of one
    _arriving = False  # part of a request is there
    _stalled: asyncio.TimerHandle | None = None

    @property
    def most(self) -> int:
        """Connections at once."""
        return MOST

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or refuse where too many are connected."""
        super().connection_made(Closing(transport, self.loop))
        if len(self.connections) > 2 * self.most:
            self.transport.abort()
        elif len(self.connections) > self.most:
            self._refuse(429, f"{self.most} connections are open: close some, or ask again later.")
        else:
            self._wait(IDLE)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the connection is being closed."""
        if self.transport.is_closing():
            return
        if not self._arriving and self.conn.their_state is h11.IDLE:
            self._arriving = True
            self._wait(REQUEST)
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):  # the request is there
            self._arriving = False
            self._wait(None)
            self._read_ahead()

    def _read_ahead(self) -> None:
        """uvicorn stops reading where more comes than the request under way, and would not see the client leave."""
        if len(self.conn.trailing_data[0]) > AHEAD:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clocks."""
        self._wait(None)
        self._unset_keepalive_if_required()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read: give it `STALLED` seconds."""
        self._stalled = self.loop.call_later(STALLED, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def shutdown(self) -> None:
        """Close when the answer under way is complete, otherwise now."""
        with suppress(h11.LocalProtocolError):
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, with the status that fits."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        if status == 431:
            self._refuse(431, HEAD_TOO_LARGE)
        else:
            self._refuse(400, f"this is no HTTP request that can be read ({error}).")

    def _wait(self, seconds: float | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = None if seconds is None else self.loop.call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        if self._arriving:
            self._refuse(408, f"the request did not arrive within {REQUEST:g} seconds: send it again.")
        else:
            self.transport.close()

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer with one sentence where no answer is under way; close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body, headers = refusal(status, sentence, self.shape)
            reason = STATUS_PHRASES[status]
            for event in (
                h11.Response(status_code=status, headers=headers, reason=reason),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            if self.cycle is not None:  # the application waits for the rest of the body
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        self.transport.close()


class Closing(asyncio.Transport):
    """A transport that closes in two steps: it says that nothing follows, then waits until the client closes too."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner, self._loop = transport, loop
        self._closed_at: float | None = None

    def close(self) -> None:
        """Send what is written, then the end; after `LINGER` seconds without one from the client close anyway."""
        if self._closed_at is not None:
            return
        self._closed_at = self._loop.time()
        if self._inner.is_closing():
            return
        with suppress(OSError, RuntimeError):
            self._inner.resume_reading()
            self._inner.write_eof()
        self._loop.call_later(LINGER, self._end)

    def _end(self) -> None:
        assert self._closed_at is not None
        if self._inner.get_write_buffer_size() and self._loop.time() - self._closed_at < STALLED:
            self._loop.call_later(LINGER, self._end)
        else:
            self._inner.abort()

    def is_closing(self) -> bool:
        """Whether nothing more is to be read or written."""
        return self._closed_at is not None or self._inner.is_closing()

    def write(self, data: Any) -> None:
        """Send, unless the connection is being closed."""
        if data and not self.is_closing():
            self._inner.write(data)

    def abort(self) -> None:
        """Close at once."""
        self._closed_at = self._loop.time()
        self._inner.abort()

    def pause_reading(self) -> None:
        """As the transport inside."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """As the transport inside."""
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the transport inside."""
        return self._inner.get_extra_info(name, default)
