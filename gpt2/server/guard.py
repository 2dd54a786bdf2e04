"""What the server refuses before any route sees it: other hosts, other sites, large bodies. And what it forbids
the browser: a content security policy that lets the page load and ask nothing but this server.

In: an ASGI application. Out: the same application behind these checks. Read next: app.py.
"""

import json
from collections.abc import Collection
from typing import Any

LOCAL = ("127.0.0.1", "localhost", "[::1]")
BODY_LIMIT = 128 * 1024  # bytes: two prompts of a full context, with room
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """An ASGI middleware. The Host header must name this machine: otherwise a page of another site whose name was
    made to point at 127.0.0.1 could read the answers (DNS rebinding). A request that says it comes from another
    origin is refused too, and so is a body above `BODY_LIMIT`, whether it states its length or not."""

    def __init__(self, app: Any, hosts: Collection[str] = LOCAL) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse, or pass on with the headers added to the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        origin = headers.get("origin")
        if host_name(host) not in self.hosts:
            await refuse(send, 421, f"this server answers to {', '.join(self.hosts)} only, not to {host!r}.")
        elif origin is not None and origin.partition("://")[2] != host:
            await refuse(send, 403, f"a page of {origin} may not ask this server.")
        elif int(headers.get("content-length") or 0) > BODY_LIMIT:
            await refuse(send, 413, too_large())
        else:
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Any, receive: Any, send: Any) -> None:
        size, refused = 0, False

        async def counted() -> Any:
            nonlocal size, refused
            message = await receive()
            size += len(message.get("body", b""))
            if size > BODY_LIMIT and not refused:
                refused = True
                await refuse(send, 413, too_large())
            return {"type": "http.disconnect"} if refused else message

        async def with_headers(message: Any) -> None:
            if refused:
                return
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self.app(scope, counted, with_headers)


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def too_large() -> str:
    """The sentence for a body above the limit."""
    return f"the request is larger than {BODY_LIMIT // 1024} KB: shorten the text."


async def refuse(send: Any, status: int, sentence: str) -> None:
    """Answer with one sentence, as JSON."""
    body = json.dumps({"error": sentence}).encode()
    headers = {**HEADERS, "content-type": "application/json", "content-length": str(len(body))}
    listed = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})
