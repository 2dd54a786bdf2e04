"""Computations for clients that wait, read slowly or leave; and their end."""

import asyncio
import threading

from gpt2.server import jobs as module
from gpt2.server.jobs import MOST, WORKERS, Job, Jobs, answer
from gpt2.server.wire import unpack


class Client:
    """A request whose body has been read, and whose client leaves when told to."""

    def __init__(self):
        self.gone = asyncio.Event()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}


def until(tell, event):
    while not event.is_set():
        tell()
        event.wait(0.005)


def test_what_waits_for_a_client_that_has_left_never_begins():
    """The next question stood behind all that had been abandoned."""

    async def run():
        jobs, go, begun = Jobs(), threading.Event(), []
        busy = [asyncio.ensure_future(answer(Client(), lambda tell: until(tell, go), jobs)) for _ in range(WORKERS)]
        leaving = [Client() for _ in range(9)]
        waiting = [asyncio.ensure_future(answer(c, lambda tell: begun.append(1), jobs)) for c in leaving]
        await asyncio.sleep(0)
        for client in leaving:
            client.gone.set()
        assert {(await one).status_code for one in waiting} == {499}
        go.set()
        assert {(await one).status_code for one in busy} == {200}
        assert (await answer(Client(), lambda tell: 1, jobs)).status_code == 200
        assert begun == []
        jobs.end()

    asyncio.run(run())


def test_more_than_can_wait_are_told_so():
    async def run():
        jobs, go = Jobs(), threading.Event()
        asked = [asyncio.ensure_future(answer(Client(), lambda tell: until(tell, go), jobs)) for _ in range(MOST)]
        await asyncio.sleep(0)
        refused = await answer(Client(), lambda tell: 1, jobs)
        assert refused.status_code == 429
        assert b"ask again" in refused.body
        go.set()
        await asyncio.gather(*asked)
        assert (await answer(Client(), lambda tell: 1, jobs)).status_code == 200
        jobs.end()

    asyncio.run(run())


def test_a_slow_reader_gets_the_latest_news_only(monkeypatch):
    """Every report waited for a reader, with its numbers."""
    monkeypatch.setattr(module, "NEWS", 0)

    async def run():
        jobs, told = Jobs(), threading.Event()

        def work(tell):
            for step in range(1, 100):
                tell(step / 100, step)
            told.set()
            return "done"

        job = Job(work, jobs)
        await asyncio.to_thread(told.wait, 60)
        while job.last is None:
            await asyncio.sleep(0.001)
        frames = [unpack(frame[4:]) async for frame in job.frames(await job.next())]
        assert frames == [{"answer": "done"}]
        jobs.end()

    asyncio.run(run())


def test_the_end_stops_what_runs_and_takes_nothing_more():
    async def run():
        jobs, begun = Jobs(), threading.Event()

        def endless(tell):
            begun.set()
            until(tell, threading.Event())

        asked = asyncio.ensure_future(answer(Client(), endless, jobs))
        await asyncio.to_thread(begun.wait, 60)
        jobs.end()
        response = await asked
        assert response.status_code == 400
        assert b"has been ended" in response.body
        assert (await answer(Client(), lambda tell: 1, jobs)).status_code == 429
        while jobs.running:
            await asyncio.sleep(0.01)

    asyncio.run(run())


def test_an_exception_of_the_program_is_a_500_with_a_sentence():
    async def run():
        jobs = Jobs()
        response = await answer(Client(), lambda tell: {}["x"], jobs)
        assert response.status_code == 500
        assert b"fault of the program: KeyError" in response.body
        jobs.end()

    asyncio.run(run())
