"""The page's server on a free port of this machine, in a thread; a plain HTTP request; an exported page's data."""

import contextlib
import gzip
import http.client
import json
import re
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

from gpt2.explain.live.characters import ALPHABET
from gpt2.server.app import create_app
from gpt2.server.run import listen
from gpt2.server.serving import Server
from gpt2.server.wire import unpack

VIEWS = ("story", "maths", "why", "attention", "lens", "attribution", "neurons", "off", "patch", "positions", "compare")


@contextlib.contextmanager
def serving(checkpoint: Any) -> Iterator[int]:
    """The port on which the page of `checkpoint` is served inside this block."""
    app = create_app(checkpoint)
    server = Server(app, app.state.jobs)
    with listen(0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def request(port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """(status, headers, body) of one request; `path`, without its first slash, is sent as it is, not tidied."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Host": f"127.0.0.1:{port}"} | ({"Content-Type": "application/json"} if data is not None else {})
    connection.putrequest(method, f"/{path}", skip_host=True, skip_accept_encoding=True)
    for name, value in (given | {"Content-Length": str(len(data or b""))} | (headers or {})).items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(data)
    response = connection.getresponse()
    found = response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    connection.close()
    return found


def ask(port: int, name: str, parameters: dict[str, Any]) -> Any:
    """The answer to a question, or the refusal's sentence."""
    status, _, body = request(port, "POST", f"api/{name}", parameters)
    if status != 200:
        return json.loads(body)["error"]
    frame: dict[str, Any] = {}
    while body:
        (length,) = struct.unpack_from("<I", body)
        frame, body = unpack(body[4 : 4 + length]), body[4 + length :]
    return frame["answer"] if "answer" in frame else frame["error"]  # a refusal may come after news of progress


def bytes_of(text: str) -> bytes:
    """What `gpt2.explain.live.characters` wrote: as one long number in base 2, 13 bits of each two characters."""
    values = [ALPHABET.index(character) for character in text]
    pairs = "".join(f"{91 * a + b:013b}" for a, b in zip(values[::2], values[1::2]))
    bits = pairs + (f"{values[-1]:06b}" if len(values) % 2 else "")
    n = len(bits) // 8
    return int(bits[: 8 * n] or "0", 2).to_bytes(n, "big")


def answers_of(html: str) -> dict[str, Any]:
    """The answers inside an exported page, by the names that `gpt2.server.export.key` gives."""
    found = re.search(r'<script type="application/octet-stream" id="data">([^<]*)</script>', html)
    assert found is not None
    whole = gzip.decompress(bytes_of(found[1]))
    (n,) = struct.unpack_from("<I", whole)
    index, tail = json.loads(whole[4 : 4 + n])["index"], whole[4 + n :]
    return {name: unpack(tail[start : start + length]) for name, (start, length) in index.items()}
