"""The page's server on a free port of this machine, in a thread; a plain HTTP request; an exported page's data."""

import contextlib
import functools
import gzip
import http.client
import json
import math
import re
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from gpt2.explain.live.characters import ALPHABET
from gpt2.server.app import create_app
from gpt2.server.run import listen
from gpt2.server.serving import Server
from gpt2.server.wire import unpack

VIEWS = ("story", "maths", "why", "attention", "lens", "attribution", "neurons", "off", "patch", "positions", "compare")


@contextlib.contextmanager
def serving(checkpoint: Any, beside: Any = None) -> Iterator[int]:
    """The port on which the page of `checkpoint` is served inside this block, with another model `beside` it."""
    app = create_app(checkpoint, beside=beside)
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
    header, tail = json.loads(whole[4 : 4 + n]), whole[4 + n :]
    if "families" in header:
        return {name: lean_answer(header, tail, name) for name in header["index"]}
    return {name: unpack(tail[start : start + length]) for name, (start, length) in header["index"].items()}


def lean_answer(header: Any, tail: bytes, name: str) -> Any:
    """What `gpt2.server.columns` wrote, one answer of it."""
    family = header["families"][header["index"][name][0]]
    tensors: list[Any] = []
    for (_, kind, width, shape, *_), numbers in zip(family["columns"], _numbers(header, tail, name), strict=True):
        bits = numbers.reshape(shape)
        if kind[0] == "f":
            top = 1 << (8 * width - 1)
            bits = np.where(bits < top, 2 * top - 1 - bits, bits - top)
            bits = bits.astype(f"u{width}").view(f"f{width}").astype(np.float32)
        tensors.append(torch.from_numpy(bits / np.float32(1000) if kind == "share" else bits))
    for place, (_, kind, *_) in enumerate(family["columns"]):
        if kind == "arc":  # the strongest first
            order = tensors[place + 1].argsort(dim=-1, descending=True, stable=True)
            tensors[place : place + 2] = [x.gather(-1, order) for x in tensors[place : place + 2]]

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(item) for item in value]
        if not isinstance(value, dict):
            return value
        return tensors[value["$"]] if "$" in value else {key: filled(item) for key, item in value.items()}

    answer = filled(family["json"])
    if "$words" in (answer.get("words") or {}):
        paths = [path.split(".") for path in answer["words"]["$words"]]
        found = [functools.reduce(lambda inside, key: inside.get(key, {}), path, answer) for path in paths]
        ids = {int(i) for x in found if isinstance(x, torch.Tensor) for i in x.flatten()}
        answer["words"] = {str(i): header["words"][str(i)] for i in sorted(ids)}
    return answer


def _numbers(header: Any, tail: bytes, name: str) -> list[Any]:
    number, place = header["index"][name]
    family = header["families"][number]
    below = [] if family["base"] is None else _numbers(header, tail, family["base"])
    found = []
    for offset, _, width, shape, which, step in family["columns"]:
        count = math.prod(shape)
        planes = np.frombuffer(tail, np.uint8, width * family["n"] * count, offset).reshape(width, family["n"], count)
        folded = sum(planes[k, place].astype(np.int64) << (8 * k) for k in range(width))
        signed = np.where(folded % 2, -(folded + 1) // 2, folded // 2) * step
        found.append((signed + (0 if which is None else below[which])) % (1 << (8 * width)))
    return found
