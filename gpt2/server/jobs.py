"""A question's answer as a stream: how far it is, then the answer; and an end to the work when nobody listens.

In: a function work(tell) that computes in a thread and calls `tell` between its steps. Out: a response of frames,
each uint32 length | packed bytes (wire.py): {"progress": ...} as often as there is news, {"answer": ...} last.
When the client has gone, or the server ends, the work stops at its next `tell` or operation of torch, whichever comes
first; what still waits for a thread never begins.
"""

import asyncio
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from gpt2.base.held import give_back
from gpt2.base.stopping import Stopped, check, stoppable
from gpt2.server.body import short
from gpt2.server.wire import pack

NEWS = 0.1  # seconds between two reports of progress
WORKERS = 3  # a long sweep must not keep a switch waiting
LONG = 0.1  # seconds, behind which a computation's memory is worth returning to the system
MOST = 64  # computations that run or wait
SENTENCE = 600  # characters of a refusal: it may quote what was asked
T = TypeVar("T")
Tell = Callable[..., None]  # tell(share done, from 0 to 1; anything to show meanwhile)
Work = Callable[[Tell], Any]


class Busy(Exception):
    """So many questions run or wait that another one is not taken."""


def silent(share: float = 0.0, partial: Any = None) -> None:
    """A `tell` for callers who want the answer alone."""


class Jobs:
    """The computations of one application: a few at a time, a limited number that wait, one end for all."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="explain")
        self._lock = threading.Lock()
        self._open: set[threading.Event] = set()
        self._ended = False

    @property
    def running(self) -> int:
        """How many computations run or wait."""
        with self._lock:
            return len(self._open)

    def start(self, work: Callable[[], None]) -> threading.Event:
        """Run `work` in a thread; the event that stops it. Raises `Busy`."""
        stop = threading.Event()

        def run() -> None:
            begun = time.monotonic()
            with suppress(Stopped), stoppable(stop):
                check()
                work()
            if time.monotonic() - begun > LONG:
                give_back()

        with self._lock:
            if self._ended or len(self._open) >= MOST:
                raise Busy(f"{MOST} questions are being answered or wait: ask again when some have ended.")
            self._open.add(stop)
            future = self._pool.submit(run)
        future.add_done_callback(lambda done: self._close(stop))
        return stop

    def _close(self, stop: threading.Event) -> None:
        with self._lock:
            self._open.discard(stop)

    def close(self) -> None:
        """Take no other computation."""
        with self._lock:
            self._ended = True

    def end(self) -> None:
        """Stop every computation, and take no other."""
        self.close()
        with self._lock:
            for stop in self._open:
                stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


class Job:
    """One computation, and the latest that it reported."""

    def __init__(self, work: Work, jobs: Jobs) -> None:
        self.loop = asyncio.get_running_loop()
        self.news = asyncio.Event()
        self.progress: dict[str, Any] | None = None
        self.last: dict[str, Any] | None = None
        self.begun = self.told = time.monotonic()
        self.stop = jobs.start(lambda: self._run(work))

    def _run(self, work: Work) -> None:
        self.begun = self.told = time.monotonic()
        try:
            self._report({"answer": work(self.tell)})
        except (ValueError, OSError) as error:
            self._report({"error": short(str(error), SENTENCE)})
        except Exception as error:
            self._report({"failure": f"this is a fault of the program: {type(error).__name__}: {error}"})
        except Stopped:
            self._report({"error": "the command that serves this page has been ended: start it again."})
            raise

    def _report(self, frame: dict[str, Any]) -> None:
        with suppress(RuntimeError):  # the server has ended
            self.loop.call_soon_threadsafe(self._arrived, frame)

    def _arrived(self, frame: dict[str, Any]) -> None:
        if "progress" in frame:
            self.progress = frame
        else:
            self.last = frame
        self.news.set()

    def tell(self, share: float = 0.0, partial: Any = None) -> None:
        """Report the share that is done, with what is known so far. Raises `Stopped` when nobody listens."""
        check()
        now = time.monotonic()
        if share > 0 and now - self.told >= NEWS:
            self.told = now
            left = (now - self.begun) * (1 - share) / share
            self._report({"progress": share, "seconds_left": left, "partial": partial})

    async def next(self) -> dict[str, Any]:
        """The latest report that nobody has had: news that a slow reader missed is left out."""
        await self.news.wait()
        self.news.clear()
        report = self.last or self.progress
        assert report is not None
        return report

    async def frames(self, first: dict[str, Any]) -> AsyncIterator[bytes]:
        """All frames from `first` on."""
        report = first
        try:
            while True:
                data = pack(report)
                yield struct.pack("<I", len(data)) + data
                if "progress" not in report:
                    return
                report = await self.next()
        finally:
            self.stop.set()


async def answer(request: Request, work: Work, jobs: Jobs) -> Response:
    """Run `work` and stream what it says; a refusal before the first report has a status of its own.

    400 for a ValueError or an OSError of the work, 429 where too many wait, 500 for any other exception.
    """
    try:
        job = Job(work, jobs)
    except Busy as busy:
        return JSONResponse({"error": str(busy)}, 429, {"retry-after": "1"})
    try:
        report = await unless_left(request, job.next())
    except asyncio.CancelledError:
        job.stop.set()
        raise
    except Left:
        job.stop.set()
        return Response(status_code=499)  # nobody reads it
    if "error" in report or "failure" in report:
        status = 400 if "error" in report else 500
        return JSONResponse({"error": report.get("error") or report["failure"]}, status)
    return StreamingResponse(job.frames(report), media_type="application/octet-stream")


class Left(Exception):
    """The client has gone."""


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises; `Left` where the client of the request, whose body has been read, goes first."""
    gone = asyncio.ensure_future(left(request))
    done = asyncio.ensure_future(work)
    try:
        await asyncio.wait({gone, done}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise Left
        return done.result()
    finally:
        gone.cancel()
        done.cancel()


async def left(request: Request) -> None:
    """Return when the client of a request, whose body has been read, has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
