"""A question's answer as a stream: how far it is, then the answer; and an end to the work when nobody listens.

In: a function work(tell) that computes in a thread and calls `tell` between its steps. Out: a response of frames,
each uint32 length | packed bytes (wire.py): {"progress": ...} as often as there is news, {"answer": ...} last.
`tell` raises `Abandoned` in the thread when the browser has gone, so the work ends at its next step.
"""

import asyncio
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from gpt2.server.wire import pack

POLL = 0.05  # seconds between two looks at whether the browser is still there
NEWS = 0.1  # seconds between two reports of progress
Tell = Callable[..., None]  # tell(share done, from 0 to 1; anything to show meanwhile)


class Abandoned(Exception):
    """Raised inside a computation that nobody waits for any more."""


def silent(share: float = 0.0, partial: Any = None) -> None:
    """A `tell` for callers who want the answer alone."""


class Job:
    """One computation in a thread of `pool`, and the queue through which it reports."""

    def __init__(self, work: Callable[[Tell], Any], pool: ThreadPoolExecutor) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.stop = threading.Event()
        self.begun = self.told = time.monotonic()
        pool.submit(self._run, work)

    def _run(self, work: Callable[[Tell], Any]) -> None:
        try:
            self.tell()
            self._put({"answer": work(self.tell)})
        except Abandoned:
            pass
        except (ValueError, OSError) as error:
            self._put({"error": str(error)})
        except Exception as error:
            self._put({"failure": f"{type(error).__name__}: {error}"})
            raise

    def _put(self, frame: dict[str, Any]) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.queue.put_nowait, frame)

    def tell(self, share: float = 0.0, partial: Any = None) -> None:
        """Report the share that is done, with what is known so far. Raises `Abandoned` when nobody listens."""
        if self.stop.is_set():
            raise Abandoned
        now = time.monotonic()
        if share > 0 and now - self.told >= NEWS:
            self.told = now
            left = (now - self.begun) * (1 - share) / share
            self._put({"progress": share, "seconds_left": left, "partial": partial})

    async def next(self, request: Request) -> dict[str, Any] | None:
        """The next report, or None when the browser has gone."""
        waiting = asyncio.ensure_future(self.queue.get())
        try:
            while not (await asyncio.wait({waiting}, timeout=POLL))[0]:
                if await request.is_disconnected():
                    return None
            return waiting.result()
        finally:
            waiting.cancel()

    async def frames(self, request: Request, first: dict[str, Any]) -> AsyncIterator[bytes]:
        """All frames from `first` on."""
        report: dict[str, Any] | None = first
        try:
            while report is not None:
                data = pack(report)
                yield struct.pack("<I", len(data)) + data
                report = None if "progress" not in report else await self.next(request)
        finally:
            self.stop.set()


async def answer(request: Request, work: Callable[[Tell], Any], pool: ThreadPoolExecutor) -> Response:
    """Run `work` and stream what it says; a refusal before the first report has a status of its own."""
    job = Job(work, pool)
    try:
        first = await job.next(request)
    except asyncio.CancelledError:
        job.stop.set()
        raise
    if first is None:
        job.stop.set()
        return Response(status_code=499)  # nobody reads it
    if "error" in first or "failure" in first:
        status = 400 if "error" in first else 500
        return JSONResponse({"error": first.get("error") or first["failure"]}, status)
    return StreamingResponse(job.frames(request, first), media_type="application/octet-stream")
