"""What the server refuses before any route sees it: other hosts, other sites, large bodies, and what its caller adds.
And what it forbids the browser: a content security policy that lets the page load and ask nothing but this server.

In: an ASGI application. Out: the same application behind these checks; it gets each body whole, and hears nothing of
a client that leaves before that. Read next: connection.py, which limits the time that a request takes; app.py.
"""

import json
from collections.abc import Callable, Collection
from typing import Any

from gpt2.server.body import short

LOCAL = ("127.0.0.1", "localhost", "[::1]")
BODY_LIMIT = 128 * 1024  # bytes: two prompts of a full context, with room
HEAD_LIMIT = 16 * 1024  # bytes of the address and the headers
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
DEFAULT_PORT = {"http": ":80", "https": ":443"}
HEAD_TOO_LARGE = f"the address and the headers are longer than {HEAD_LIMIT // 1024} KB: shorten them."
PREFLIGHT = {"access-control-allow-methods": "GET, POST", "access-control-max-age": "600"}
Refusal = tuple[int, str]  # status, sentence
Shape = Callable[[int, str], dict[str, Any]]
"""What stands in the JSON of a refusal: f(status, sentence)."""


def sentence_alone(status: int, sentence: str) -> dict[str, Any]:
    """The shape of the page's refusals."""
    return {"error": sentence}


class Guard:
    """An ASGI middleware. The Host header must name this machine: otherwise a page of another site whose name was
    made to point at 127.0.0.1 could read the answers (DNS rebinding). A request that says it comes from another
    origin is refused too (another scheme or port is another origin), and so is a body above `limit` bytes, whether it
    states its length or not, and an address with headers above `HEAD_LIMIT`.

    hosts    names of this machine; None: any, for a server that asks for a key
    origins  other origins whose pages may ask: their browsers are told so
    check    what else may refuse a request: f(path, headers) -> a refusal, or None
    shape    how a refusal is written
    """

    def __init__(
        self,
        app: Any,
        hosts: Collection[str] | None = LOCAL,
        limit: int = BODY_LIMIT,
        origins: Collection[str] = (),
        check: Callable[[str, dict[str, list[str]]], Refusal | None] = lambda path, headers: None,
        shape: Shape = sentence_alone,
    ) -> None:
        self.app, self.hosts, self.limit = app, hosts, limit
        self.origins, self.check, self.shape = {origin.lower() for origin in origins}, check, shape

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse, or pass on with the headers added to the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = headers_of(scope)
        origin = headers.get("origin", [""])[0]
        allowed = origin.lower() in self.origins
        if allowed:
            send = with_headers(send, {"access-control-allow-origin": origin, "vary": "origin"})
        if refusal := self._refusal(scope, headers):
            await refuse(send, *refusal, self.shape)
            return
        if allowed and scope["method"] == "OPTIONS":
            await self._preflight(headers, send)
            return
        if refusal := self.check(scope["path"], headers):
            await refuse(send, *refusal, self.shape)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.limit:
                await refuse(send, 413, self._too_large(), self.shape)
                return
        await self.app(scope, Again(bytes(body), receive), with_headers(send, HEADERS))

    async def _preflight(self, headers: dict[str, list[str]], send: Any) -> None:
        """Tell a browser what a page of an allowed origin may send."""
        wanted = headers.get("access-control-request-headers", [])
        answer = PREFLIGHT | {"access-control-allow-headers": ", ".join(wanted), "content-length": "0"}
        await send({"type": "http.response.start", "status": 204, "headers": encoded(answer)})
        await send({"type": "http.response.body", "body": b""})

    def _refusal(self, scope: Any, headers: dict[str, list[str]]) -> Refusal | None:
        hosts, origins = headers.get("host", [""]), headers.get("origin", [])
        lengths = headers.get("content-length", [])
        head = len(scope.get("raw_path", b"")) + len(scope["query_string"])
        if head + sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > HEAD_LIMIT:
            return 431, HEAD_TOO_LARGE
        if self.hosts is not None and (len(hosts) > 1 or host_name(hosts[0]).lower() not in self.hosts):
            there = " and ".join(short(repr(host)) for host in hosts)
            return 421, f"this server answers to {', '.join(self.hosts)} only, not to {there}."
        if any(origin.lower() not in {origin_of(scope["scheme"], hosts[0]), *self.origins} for origin in origins):
            return 403, f"a page of {short(repr(origins[0]))} may not ask this server."
        if lengths and "transfer-encoding" in headers:
            return 400, "the request states the length of its body in two ways: leave one out."
        if any(int(length) > self.limit for length in lengths):
            return 413, self._too_large()
        return None

    def _too_large(self) -> str:
        return f"the request is larger than {self.limit // 1024} KB: shorten the text."


class Again:
    """What an application receives: the body that has been read, then whatever comes."""

    def __init__(self, body: bytes, receive: Any) -> None:
        self.body: bytes | None = body
        self.receive = receive

    async def __call__(self) -> Any:
        """The next message."""
        if self.body is None:
            return await self.receive()
        message = {"type": "http.request", "body": self.body, "more_body": False}
        self.body = None
        return message


def headers_of(scope: Any) -> dict[str, list[str]]:
    """The headers of a request: every value of each name, in small letters."""
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def with_headers(send: Any, headers: dict[str, str]) -> Any:
    """A `send` that adds headers to an answer."""

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *encoded(headers)]}
        await send(message)

    return sending


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def origin_of(scheme: str, host: str) -> str:
    """The origin of a page from here, as a browser writes it: without the port where it is the scheme's own."""
    return f"{scheme}://{host.removesuffix(DEFAULT_PORT.get(scheme, ''))}".lower()


def refusal(status: int, sentence: str, shape: Shape) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body and the headers of an answer of one sentence, as JSON. The connection is closed behind it: the rest of
    the request may still be under way."""
    body = json.dumps(shape(status, sentence)).encode()
    headers = {**HEADERS, "content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return body, encoded(headers)


async def refuse(send: Any, status: int, sentence: str, shape: Shape) -> None:
    """Answer with one sentence."""
    body, headers = refusal(status, sentence, shape)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
