"""Hostile requests to the page's server: does it stay upright, within its memory, and end when told to?

In: how many requests. Out: a table of what was sent and answered, and an exit code of 1 for any fault.

    python -m benchmarks.hostile_requests --count 10000 --seed 1 --out requests.json

The server is the command itself, `gpt2 explain TEXT --page`, on a tiny random model, or on what `--model` names.
Clients send requests over connections that they keep: questions as the page asks them, with parameters and bodies
that are wrong in many ways, lines and headers that are no HTTP, and requests that nobody waits for. A fault is: a
status of 500 or more, a failure inside an answer, an answer that is no HTTP, a connection that ends without an answer,
anything on the server's standard error, a plain question unanswered at the end, or two seconds between Ctrl-C and the
end while questions run. Read next: hostile_kinds.py, what is sent.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.hostile_kinds import KINDS, TEXT, Sent, question
from benchmarks.random_model import make_checkpoint

TINY = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64, "vocab_size": 300}
LONG = [("importance", {"components": "heads"}), ("heads", {}), ("export", {"text": TEXT}), ("continuation", None)]
ENDS = 2.0  # seconds after Ctrl-C
WAIT = 120.0  # seconds for one answer, on a busy machine


@dataclass
class Result:
    """What came of the requests."""

    sent: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    rss_mb: dict[str, float] = field(default_factory=dict)
    ends_in: float = 0.0

    def fault(self, what: str, sent: Sent) -> None:
        """Note what went wrong, and with which bytes."""
        self.faults.append(f"{what}: {sent.kind}: {sent.data[:300]!r} ({len(sent.data)} bytes)")


class Server:
    """The command as a child."""

    def __init__(self, model: str) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        command = [sys.executable, "-m", "gpt2", "explain", TEXT, "--model", model, "--page", "--no-browser"]
        # A shell starts what runs in the background with Ctrl-C ignored.
        heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log, preexec_fn=heard)
        self.greeting = b""
        while b"ends it" not in self.greeting:
            if self.process.poll() is not None:
                raise SystemExit(f"the server did not start: {self.said()}")
            time.sleep(0.05)
            self.greeting = self.said().encode()
        self.port = int(self.greeting.split(b"127.0.0.1:")[1].split(b"/")[0])

    def said(self) -> str:
        """All that it has written."""
        return os.pread(self.log.fileno(), 1_000_000, 0).decode(errors="replace")

    def memory(self, name: str = "VmRSS") -> float:
        """Megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / 1024


async def client(server: Server, result: Result, rng: random.Random, left: list[int]) -> None:
    """Send requests until none are left; a connection is kept as long as the server keeps it."""
    names, weights = zip(*((name, kind.weight) for name, kind in KINDS.items()))
    stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while left[0] > 0:
        left[0] -= 1
        sent = KINDS[rng.choices(names, weights)[0]].make(rng, server.port)
        result.sent[sent.kind] += 1
        fresh = stream is None
        if stream is None:
            stream = await asyncio.open_connection("127.0.0.1", server.port)
        reader, writer = stream
        keep = False
        try:
            writer.write(sent.data)
            if sent.leaves is not None:
                await asyncio.sleep(sent.leaves)
                result.statuses["left"] += 1
            else:
                for _ in range(sent.answers):
                    status, body, keep = await asyncio.wait_for(read_answer(reader, sent.head), WAIT)
                    result.statuses[str(status)] += 1
                    if status >= 500 or b'{"failure"' in body:
                        result.fault(f"{status} {body[:200]!r}", sent)
                    if 400 <= status < 500 and not sent.head and not isinstance(json.loads(body)["error"], str):
                        result.fault(f"{status} without a sentence", sent)
                    if not keep:
                        break
                keep = keep and sent.keeps
        except (OSError, EOFError, ValueError, KeyError, TypeError, TimeoutError) as error:
            if fresh or isinstance(error, ValueError | KeyError | TypeError | TimeoutError):
                result.fault(f"{type(error).__name__} {error}", sent)
            else:
                left[0] += 1  # the server closed an idle connection just then: the request is made again
        if not keep:
            writer.close()
            stream = None
    if stream is not None:
        stream[1].close()


async def read_answer(reader: asyncio.StreamReader, head: bool) -> tuple[int, bytes, bool]:
    """(status, body, whether the connection goes on). ValueError for what is no HTTP answer."""
    line = await reader.readuntil(b"\r\n")
    version, status, _ = line.split(b" ", 2)
    if version != b"HTTP/1.1" or not status.isdigit():
        raise ValueError(f"no status line: {line!r}")
    headers: dict[bytes, bytes] = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, colon, value = line.partition(b":")
        if not colon:
            raise ValueError(f"no header: {line!r}")
        headers[name.lower()] = value.strip()
    body = b""
    keep = headers.get(b"connection") != b"close"
    if int(status) == 100:
        return await read_answer(reader, head)
    if not head:
        if headers.get(b"transfer-encoding") == b"chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        elif b"content-length" in headers:
            body = await reader.readexactly(int(headers[b"content-length"]))
        else:
            body = await reader.read()
            keep = False
    return int(status), body, keep


async def watch(server: Server, result: Result, left: list[int], total: int) -> None:
    """Print how far it is."""
    while left[0] > 0:
        await asyncio.sleep(5)
        done, now = total - left[0], server.memory()
        print(f"{done:,} of {total:,}, {now:.0f} MB, {len(result.faults)} faults", file=sys.stderr, flush=True)


async def slow(server: Server, result: Result) -> None:
    """Requests that never end: the server must end them, with 408 or by closing."""
    for data in (b"GET / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{", b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(data)
        try:
            answer = await asyncio.wait_for(reader.read(), WAIT)
            if data and b" 408 " not in answer:
                result.fault(f"no 408 but {answer[:100]!r}", Sent("slow", data))
            result.statuses["408" if data else "idle, closed"] += 1
        except TimeoutError:
            result.fault("never closed", Sent("slow", data))
        writer.close()


async def send_all(server: Server, result: Result, count: int, seed: int, clients: int) -> None:
    """All requests; then a plain question."""
    left, begun = [count], time.monotonic()
    rngs = [random.Random(f"{seed} {i}") for i in range(clients)]
    await asyncio.gather(
        watch(server, result, left, count),
        slow(server, result),
        *(client(server, result, r, left) for r in rngs),
    )
    result.seconds = time.monotonic() - begun
    plain = question("picture", {"text": TEXT, "switches": {}}, server.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(plain.data)
    status, body, _ = await asyncio.wait_for(read_answer(reader, False), WAIT)
    if status != 200 or b'"answer"' not in body:
        result.fault(f"{status} to a plain question at the end", plain)
    result.rss_mb |= {"end": server.memory(), "highest": server.memory("VmHWM")}
    writers = [writer]
    for name, parameters in LONG * 2:
        asked = parameters if parameters is not None else {"text": TEXT, "tokens": 200}
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(question(name, asked, server.port).data)
        writers.append(writer)
    await asyncio.sleep(0.5)
    interrupted = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    while server.process.poll() is None and time.monotonic() - interrupted < 60:
        await asyncio.sleep(0.01)
    result.ends_in = time.monotonic() - interrupted
    for writer in writers:
        with suppress(OSError):
            writer.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile_requests", description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--model", help="default: a random model of 2 blocks")
    parser.add_argument("--out", type=Path, help="write the result as JSON")
    options = parser.parse_args(argv)
    result = Result()
    with tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            make_checkpoint(Path(folder), TINY, 0)
        server = Server(options.model or folder)
        try:
            result.rss_mb["start"] = server.memory()
            asyncio.run(send_all(server, result, options.count, options.seed, options.clients))
        finally:
            server.process.kill()
            code = server.process.wait()
    written = server.said()[len(server.greeting) :].splitlines()
    if said := [line for line in written if line and not line.startswith("gpt2: ")]:  # notes are sentences of ours
        result.faults.append(f"the server wrote: {said[:30]}")
    if code != 0 or result.ends_in > ENDS:
        result.faults.append(f"exit code {code}, {result.ends_in:.1f} s after Ctrl-C")
    listed: dict[str, Any] = {"count": options.count, "seed": options.seed, **vars(result)}
    print(json.dumps(listed, indent=2))
    if options.out:
        options.out.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    return 1 if result.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
