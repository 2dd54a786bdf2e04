"""What the server says of its work: a line for each request, and counts for Prometheus. Neither holds a text.

In: requests on their way through an ASGI application. Out: lines of name=value, and the text of `/metrics`.
Source: prometheus.io/docs/instrumenting/exposition_formats. Read next: app.py.
"""

import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from gpt2.server.api.errors import Refused
from gpt2.server.api.running import Run
from gpt2.server.api.served import Models

BOUNDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # seconds
ENGINE = {
    "rows": "texts that are being continued", "waiting": "requests that wait", "kv_bytes": "bytes of keys and values",
    "kv_limit": "the most of these bytes", "tokens": "tokens made since the start",
    "prefix_hits": "texts whose beginning was known", "prefix_tokens": "tokens of these beginnings",
}  # fmt: skip


class Seen:
    """What is known of one request while it is answered."""

    def __init__(self) -> None:
        self.model, self.fault = "", ""
        self.run: Run | None = None
        self.status = 0

    def failed(self, error: Exception, refused: Refused) -> Refused:
        """Note what went wrong, for the line: where a fault of the program arose, never what it says."""
        self.fault = str(refused.status)
        if refused.status >= 500 and not isinstance(error, Refused):
            place = traceback.extract_tb(error.__traceback__)[-1:]
            where = "".join(f" at {frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in place)
            self.fault += f' what="{type(error).__name__}{where}"'
        return refused


class Watch:
    """An ASGI middleware that hands each request a `Seen` and tells of it at its end.

    log  writes a line
    """

    def __init__(self, app: Any, log: Callable[[str], None], counts: "Counts") -> None:
        self.app, self.tell, self.counts = app, log, counts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, and look."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = scope["gpt2.seen"] = Seen()
        begun, whole = time.monotonic(), False

        async def sending(message: Any) -> None:
            nonlocal whole
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            elif not message.get("more_body", False):
                whole = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "-")
            seconds = time.monotonic() - begun
            self.counts.add(route, seen, seconds)
            self.tell(line(route, seen, seconds, whole))


def line(route: str, seen: Seen, seconds: float, whole: bool) -> str:
    """A request in one line."""
    parts = [f"time={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}", f"route={route}", f"status={seen.status}"]
    if seen.model:
        parts.append(f"model={seen.model}")
    if seen.run is not None:
        usage = seen.run.usage()
        parts += [f"prompt_tokens={usage['prompt_tokens']}", f"completion_tokens={usage['completion_tokens']}"]
    parts.append(f"seconds={seconds:.3f}")
    if seen.run is not None and seen.run.first is not None:
        parts.append(f"first={seen.run.first:.3f}")
    if seen.fault:
        parts.append(f"error={seen.fault}")
    if not whole:
        parts.append("left=yes")
    return " ".join(parts)


class Counts:
    """Since the start: requests by route and status, tokens by model, how long they took."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.prompt_tokens: Counter[str] = Counter()
        self.completion_tokens: Counter[str] = Counter()
        self.seconds: list[float] = [0.0] * (len(BOUNDS) + 1)
        self.first: list[float] = [0.0] * (len(BOUNDS) + 1)
        self.sums = {"seconds": 0.0, "first": 0.0}

    def add(self, route: str, seen: Seen, seconds: float) -> None:
        """Count one request."""
        self.requests[route, seen.status] += 1
        if seen.run is None:
            return
        self.prompt_tokens[seen.model] += seen.run.prompt_tokens
        self.completion_tokens[seen.model] += seen.run.completion_tokens
        for name, listed, value in (("seconds", self.seconds, seconds), ("first", self.first, seen.run.first)):
            if value is not None:
                listed[sum(value > bound for bound in BOUNDS)] += 1
                self.sums[name] += value

    def text(self, models: Models) -> str:
        """All of it, and what the engines do now, as Prometheus reads it."""
        lines = _counter("gpt2_requests_total", "requests answered", {
            f'{{route="{_label(route)}",status="{status}"}}': n for (route, status), n in self.requests.items()
        })  # fmt: skip
        for name, what, counted in (
            ("gpt2_prompt_tokens_total", "tokens read", self.prompt_tokens),
            ("gpt2_completion_tokens_total", "tokens made", self.completion_tokens),
        ):
            lines += _counter(name, what, {f'{{model="{_label(model)}"}}': n for model, n in counted.items()})
        lines += _histogram("gpt2_request_seconds", "until an answer was complete", self.seconds, self.sums["seconds"])
        lines += _histogram("gpt2_first_token_seconds", "until its first token", self.first, self.sums["first"])
        states = {one.name: one.engine.state for one in models.served.values()}
        for key, what in ENGINE.items():
            values = {f'{{model="{_label(name)}"}}': state[key] for name, state in states.items()}
            lines += _counter(f"gpt2_engine_{key}", what, values, "gauge")
        return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _counter(name: str, what: str, values: dict[str, int], kind: str = "counter") -> list[str]:
    head = [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
    return head + [f"{name}{labels} {value}" for labels, value in values.items()]


def _histogram(name: str, what: str, counts: list[float], total: float) -> list[str]:
    lines, n = [f"# HELP {name} {what}", f"# TYPE {name} histogram"], 0.0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
        n += count
        lines.append(f'{name}_bucket{{le="{bound}"}} {n:g}')
    return [*lines, f"{name}_sum {total:.6f}", f"{name}_count {n:g}"]
