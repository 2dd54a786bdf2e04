"""Serve an application on one socket until a signal, and end within two seconds whatever is under way.

In: an ASGI application, its computations, a listening socket. Out: nothing; the signal is raised again at the end.
Read next: connection.py, the limits of one connection; run.py, which serves the page so, and api/run.py.
"""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import uvicorn

from gpt2.server.connection import IDLE, Connection
from gpt2.server.guard import HEAD_LIMIT

GRACE = 0.3  # seconds for answers under way, once their work is told to stop
PATIENCE = 0.8  # seconds for the threads, behind that


class Work(Protocol):
    """The computations of an application."""

    @property
    def running(self) -> int:
        """How many run or wait."""

    def close(self) -> None:
        """Take no other."""

    def end(self) -> None:
        """Stop all, and take no other."""


class Server(uvicorn.Server):
    """uvicorn's, with our connections. At its end the work stops first, then every connection is closed.

    `ended_by` is the signal that ended it, if one did.
    """

    def __init__(self, app: Any, jobs: Work, connection: type[Connection] = Connection, moment: float = 0.0) -> None:
        """`moment`: seconds that answers under way may go on behind the signal, until a second one comes."""
        self.jobs, self.moment = jobs, moment
        super().__init__(
            uvicorn.Config(
                app,
                http=connection,
                ws="none",
                lifespan="off",
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_keep_alive=int(IDLE),
                h11_max_incomplete_event_size=HEAD_LIMIT,
            )
        )

    @property
    def ended_by(self) -> int | None:
        """The number of the first signal, or None."""
        return self._captured_signals[0] if self._captured_signals else None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Beside Ctrl-C and SIGTERM, a terminal that closes."""
        with super().capture_signals():
            closes: int | None = getattr(signal, "SIGHUP", None)
            if closes is None or threading.current_thread() is not threading.main_thread():
                yield
                return
            before = signal.getsignal(closes)
            if before != signal.SIG_IGN:  # as `nohup` has it
                signal.signal(closes, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(closes, before)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let answers under way go on for a moment, stop the work, send what is said of that, close everything."""
        self.jobs.close()
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        until = time.monotonic() + self.moment
        while self.server_state.tasks and time.monotonic() < until and len(self._captured_signals) < 2:
            await asyncio.sleep(0.02)
        self.jobs.end()
        until = time.monotonic() + GRACE
        while self.server_state.tasks and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def serve(server: Server, listener: socket.socket) -> None:
    """Serve until a signal comes, which is raised again afterwards: Ctrl-C as KeyboardInterrupt.

    Where a thread is deep in one operation then, the process ends without it: nothing that it computes is kept.
    """
    try:
        with listener:
            server.run(sockets=[listener])
    finally:
        finish(server.jobs, 0 if server.ended_by in (None, signal.SIGINT) else 128 + int(server.ended_by or 0))


def finish(jobs: Work, code: int) -> None:
    """Stop the computations and wait a moment for them; where one does not stop, the process ends with `code`."""
    jobs.end()
    until = time.monotonic() + PATIENCE
    while jobs.running and time.monotonic() < until:
        time.sleep(0.02)
    if jobs.running:
        last = threading.Timer(0.2, os._exit, [code])
        last.daemon = True
        last.start()
