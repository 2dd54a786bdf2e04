"""The kinds of requests that hostile_requests.py sends: what a page asks, and what nobody should.

In: a random generator and the server's port. Out: the bytes of a request, and what is to be done with them.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

TEXT = "The cat sat on the"
SCENE: dict[str, Any] = {"text": TEXT, "switches": {}}
GOOD: dict[str, dict[str, Any]] = {
    "model": {}, "picture": SCENE, "lens": {**SCENE, "first": 0, "stop": 16}, "attention": {**SCENE, "block": 0},
    "head": {**SCENE, "block": 1, "head": 0}, "heads": {}, "attribution": {**SCENE, "row": 1, "of": "0.mlp"},
    "neurons": {**SCENE, "block": 0, "row": 1}, "contexts": {"block": 0, "neuron": 3}, "positions": {"count": 32},
    "importance": {"components": "blocks", "kind": "zero"}, "neighbours": {"token": 7},
    "leave_one_out": {**SCENE, "components": "parts", "kind": "zero"},
    "continuation": {**SCENE, "tokens": 4, "temperature": 0.8, "top_k": 0, "top_p": 0.95, "seed": 3},
    "patch": {"clean": "The cat", "corrupt": "The dog", "grid": "attn", "direction": "noise"},
    "draw": {**SCENE, "row": 1, "temperature": 0.8, "top_k": 3, "top_p": 0.9, "seed": 3},
}  # fmt: skip
RARE = ("heads", "importance", "contexts")  # long ones
SWITCHES = (
    "0.mlp",
    "1.attn",
    "0.head.1",
    "final.scale",
    "embed.pos",
    "9.mlp",
    "0.mpl",
    "",
    "*.mlp",
    "0.mlp@1",
    "x" * 999,
)
STATES = ("off", "mean", "on", "", "x")
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 63, 64, 10**6, 2**31 - 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.5, 1e-300, 5e-324, 1e300,
    "", "a", " ", "3", "\0", "\x1b[31m", "\ud800", "é" * 100, "a" * 5000, "b c " * 2000, [], [1], {}, {"a": {}}, [[[]]],
    "\u202e", "mean", "9" * 5000 + ".mlp", "0.head.99", "<|endoftext|>", "\U0001f600",
)  # fmt: skip
RAW = (
    b"", b" ", b"{", b"}", b"[]", b"null", b"1", b'"a"', b"\xff\xfe{}", b"\xef\xbb\xbf{}", b'{"text": NaN}',
    b"[" * 100_000,
    b'{"a":' * 20_000, b'{"text": 1e999}', b'{"token": ' + b"9" * 5000 + b"}", b'{"text": "\\ud800"}', b"\0" * 100,
    b'{"text": "a", "text": "b"}', b'{"text": "' + b"a" * 200_000 + b'"}', b"{}" * 1000, b'{"text": "a",}', b"'a'",
)  # fmt: skip
PATHS = (  # behind the first slash
    "", "main.js", "details/lens.js", "%00", "../session.py", "..%2f..%2fetc/passwd", "/evil.example/", "api/model",
    "a" * 9000, "a" * 40_000, "%ff%fe", "?" + "q" * 5000, "api/", "api/%2e%2e", "api/model/", "docs", "openapi.json",
    "main.js/", "main.js?x=1#y", "../" * 500,
)  # fmt: skip
TARGETS = ("*", "http://127.0.0.1/", "evil.example:443")
METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "CONNECT", "PATCH", "POST", "get", "X" * 300, "PRI")
HEADERS = (
    "Origin: null", "Origin: https://127.0.0.1:{port}", "Origin: http://127.0.0.1:{port}", "Origin: http://evil.example",
    "Host: evil.example", "Upgrade: websocket\r\nConnection: Upgrade", "Connection: close", "Expect: 100-continue",
    "Content-Length: -1", "Content-Length: 1e3", "Content-Length: 99999999999999999999999", "Content-Length: 200000",
    "Transfer-Encoding: gzip", "Transfer-Encoding: chunked", "Content-Type: text/plain", "X: " + "y" * 3000,
    "X: " + "y" * 30_000, "\r\n".join(f"X-{i}: {i}" for i in range(1000)), "X: \xe9", "X: \0", ": empty", "no colon",
    "Cookie: a=b", "Content-Length: 2\r\nContent-Length: 3", "Connection: keep-alive, Upgrade", "Upgrade: h2c",
)  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """One request.

    answers  how many answers are to come; `head`: none of them has a body
    leaves   close after so many seconds, and wait for no answer
    keeps    whether the same connection can be used again
    """

    kind: str
    data: bytes
    answers: int = 1
    head: bool = False
    leaves: float | None = None
    keeps: bool = True


class Kind(NamedTuple):
    """How often a kind is sent, and how it is made."""

    weight: float
    make: Callable[[random.Random, int], Sent]


def posted(port: int, name: str, body: bytes, *more: str, length: str | None = "") -> bytes:
    """The bytes of a question; `length` None leaves its header out."""
    lines = [f"POST /api/{name} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json", *more]
    if length is not None:
        lines.append(f"Content-Length: {length or len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body


def question(name: str, parameters: Any, port: int) -> Sent:
    """A question as the page asks it."""
    return Sent("question", posted(port, name, json.dumps(parameters).encode()))


def chosen(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """A question, the long ones rarely, and parameters that are right."""
    names = [name for name in GOOD if name not in RARE or rng.random() < 0.02]
    name = rng.choice(names)
    return name, dict(GOOD[name])


def plain_question(rng: random.Random, port: int) -> Sent:
    """With texts and switches that differ, so that little is kept."""
    name, asked = chosen(rng)
    if "text" in asked:
        asked["text"] = TEXT + " mat" * rng.randrange(5)
        asked["switches"] = {s: rng.choice(STATES[:2]) for s in rng.sample(SWITCHES[:5], rng.randrange(3))}
        if "final.scale" in asked["switches"]:
            asked["switches"]["final.scale"] = "mean"
    return question(name, asked, port)


def wrong_parameters(rng: random.Random, port: int) -> Sent:
    """One or more parameters wrong, missing, unknown or odd."""
    name, asked = chosen(rng)
    for _ in range(rng.randrange(1, 3)):
        change = rng.randrange(4)
        if change == 0 or not asked:
            asked[rng.choice(["zz", "txt", "", "text", "switches", "row", "x" * 3000, "\0"])] = rng.choice(VALUES)
        elif change == 1:
            del asked[rng.choice(list(asked))]
        elif change == 2 and "text" in asked:
            asked["switches"] = {rng.choice(SWITCHES): rng.choice(STATES) for _ in range(rng.randrange(1, 6))}
        else:
            asked[rng.choice(list(asked))] = rng.choice(VALUES)
    return Sent(
        "parameters", posted(port, name, json.dumps(asked, ensure_ascii=rng.random() < 0.5).encode("utf-8", "replace"))
    )


def wrong_body(rng: random.Random, port: int) -> Sent:
    """A body that is no object, that is cut or mixed, or in chunks."""
    name, asked = chosen(rng)
    body = bytearray(rng.choice(RAW) if rng.random() < 0.5 else json.dumps(asked).encode())
    for _ in range(rng.randrange(4)):
        if body:
            at = rng.randrange(len(body))
            body[at : at + rng.randrange(3)] = bytes(rng.randrange(256) for _ in range(rng.randrange(4)))
    if rng.random() < 0.3:
        size = rng.choice([1, 7, 1000, 100_000])
        parts = [body[i : i + size] for i in range(0, len(body), size)] if size * 3000 > len(body) else [body]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"
        return Sent("body", posted(port, name, chunks, "Transfer-Encoding: chunked", length=None))
    return Sent("body", posted(port, name, bytes(body)))


def wrong_head(rng: random.Random, port: int) -> Sent:
    """A method, a path and headers that may be anything."""
    method, path = rng.choice(METHODS), rng.choice([*(f"/{path}" for path in PATHS), *TARGETS])
    lines = [f"{method} {path} HTTP/{rng.choice(['1.1', '1.1', '1.1', '1.0', '2.0', '9.9', '1'])}"]
    if rng.random() < 0.9:
        lines.append(f"Host: {rng.choice(['127.0.0.1', 'localhost', '[::1]', 'LOCALHOST'])}:{port}")
    lines += [h.replace("{port}", str(port)) for h in rng.sample(HEADERS, rng.randrange(3))]
    # Nothing follows: a body that is promised never comes, so the client leaves where it promises one.
    data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    promises = b"Content-Length: 200000" in data or b"Transfer-Encoding" in data or b"\0" in data
    if promises:
        return Sent("head, left", data, leaves=0.01)
    return Sent("head", data, head=method == "HEAD" and data.count(b"\r\n") > 1, keeps=False)


def garbage(rng: random.Random, port: int) -> Sent:
    """Bytes that are no HTTP; two newlines let the server see their end."""
    data = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 200)))
    return Sent("garbage", b"\x16\x03\x01" + data + b"\r\n\r\n", keeps=False)


def leaving(rng: random.Random, port: int) -> Sent:
    """A request that is cut anywhere, or whose answer nobody reads."""
    name = rng.choice(["importance", "leave_one_out", "heads", "export", "continuation", "picture", "patch"])
    asked: dict[str, Any] = {"export": {"text": TEXT}, "heads": {}}.get(name) or GOOD[name]
    data = posted(port, name, json.dumps(asked).encode())
    cut = len(data) if rng.random() < 0.5 else rng.randrange(1, len(data))
    return Sent("leaving", data[:cut], leaves=rng.choice([0.0, 0.0, 0.01, 0.1]))


def pipelined(rng: random.Random, port: int) -> Sent:
    """Several requests before the first answer."""
    n = rng.randrange(2, 6)
    return Sent("pipelined", b"".join(plain_question(rng, port).data for _ in range(n)), answers=n)


def large(rng: random.Random, port: int) -> Sent:
    """A body above the limit, with its length, in chunks, or with a question first whether it may come."""
    body = b"{" + b" " * rng.choice([131_072, 200_000, 2_000_000]) + b"}"
    if rng.random() < 0.5:
        return Sent("large", posted(port, "picture", body), keeps=False)
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(body[i : i + 65536]), body[i : i + 65536]) for i in range(0, len(body), 65536)
    )
    data = posted(port, "picture", chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked", length=None)
    return Sent("large", data, keeps=False)


KINDS = {
    "question": Kind(3, plain_question), "parameters": Kind(6, wrong_parameters), "body": Kind(4, wrong_body),
    "head": Kind(4, wrong_head), "garbage": Kind(1, garbage), "leaving": Kind(0.5, leaving),
    "pipelined": Kind(0.3, pipelined), "large": Kind(0.2, large),
}  # fmt: skip
