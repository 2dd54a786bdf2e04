"""Many clients of one `gpt2 serve` at once: errors, tokens per second, times to tokens; and clients that hang up.

In: the address of a running server. Out: a report on standard output; exit code 1 for an error, a stream without an
end, or work that is left behind by clients that have gone. Each client asks for one stream after the other, of mixed
lengths.

example: gpt2 serve & python -m benchmarks.serve_clients http://127.0.0.1:8000 --clients 64 --seconds 300 --leaving 200
"""

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PROMPT = "Once upon a time there was a little girl who lived in a house near the sea. "


@dataclass
class Found:
    """What all clients saw."""

    tokens: int = 0
    streams: int = 0
    errors: list[str] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)


def main() -> None:
    """Run the clients, then those that leave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="such as http://127.0.0.1:8000")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--leaving", type=int, default=200, help="clients that hang up after some tokens")
    options = parser.parse_args()
    sys.exit(asyncio.run(measured(options)))


async def measured(options: Any) -> int:
    """The exit code."""
    found, begun = Found(), time.monotonic()
    until = begun + options.seconds
    await asyncio.gather(*(client(options.address, until, found, seed) for seed in range(options.clients)))
    seconds = time.monotonic() - begun
    print(f"{options.clients} clients, {seconds:.0f} s: {found.streams} streams, {found.tokens} tokens, "
          f"{found.tokens / seconds:.1f} tokens/s, {len(found.errors)} errors {found.errors[:3]}")  # fmt: skip
    for name, values in (("first token", found.first), ("between tokens", found.between)):
        if values:
            print(f"{name:15} p50 {quantile(values, 0.5):.3f} s  p99 {quantile(values, 0.99):.3f} s")
    await asyncio.gather(*(leaving(options.address, seed) for seed in range(options.leaving)))
    left = time.monotonic()
    while (rows := sum(one["rows"] + one["waiting"] for one in await health(options.address))) and (
        time.monotonic() < left + 60
    ):
        await asyncio.sleep(0.1)
    print(f"{options.leaving} clients that hung up: {rows} rows left after {time.monotonic() - left:.1f} s")
    return int(bool(found.errors or rows))


async def client(address: str, until: float, found: Found, seed: int) -> None:
    """One stream after the other until the time is over."""
    source = random.Random(seed)
    while time.monotonic() < until:
        wanted = source.choice((16, 32, 64, 128))
        fields = {"prompt": PROMPT * source.randint(1, 8), "max_tokens": wanted, "seed": seed}
        begun = last = time.monotonic()
        told: list[str] = []
        try:
            reader, writer = await asked(address, {**fields, "stream": True, "logprobs": 0, "ignore_eos": True})
            while line := await asyncio.wait_for(reader.readline(), 120):
                if line.startswith(b"data: "):
                    now = time.monotonic()
                    (found.between if told else found.first).append(now - (last if told else begun))
                    last = now
                    told.append(line[6:].decode().strip())
                    if told[-1] == "[DONE]":
                        break
            writer.close()
        except (OSError, TimeoutError) as error:
            found.errors.append(f"{type(error).__name__}: {error}")
            continue
        if len(told) != wanted + 1 or told[-1] != "[DONE]":
            found.errors.append(f"{len(told)} events, the last {told[-1:]}")
        found.tokens += len(told) - 1
        found.streams += 1


async def leaving(address: str, seed: int) -> None:
    """Hang up after some bytes of a long answer."""
    source = random.Random(seed)
    try:
        reader, writer = await asked(address, {"prompt": PROMPT, "max_tokens": 300, "stream": True, "ignore_eos": True})
        await asyncio.wait_for(reader.read(source.randint(1, 2000)), 60)
        writer.close()
    except (OSError, TimeoutError):
        return  # refused, or never answered: gone all the same


async def asked(address: str, fields: dict[str, Any] | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a request has been sent."""
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    body = b"" if fields is None else json.dumps(fields).encode()
    line = "GET /health" if fields is None else "POST /v1/completions"
    head = f"{line} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def health(address: str) -> list[dict[str, Any]]:
    """What each engine does."""
    reader, writer = await asked(address, None)
    answer = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    return [*json.loads(answer)["models"].values()]


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of all lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    main()
