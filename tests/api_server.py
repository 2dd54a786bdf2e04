"""The API's server on a free port of this machine, in a thread; requests to it, and the events of a stream."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from gpt2.checkpoint.files import Checkpoint
from gpt2.inference.engine import Limits
from gpt2.server.api.app import Settings, create_api
from gpt2.server.api.run import ApiConnection, listen
from gpt2.server.api.served import Models, Served
from gpt2.server.serving import Server
from tests.generating import TOKENIZER, make


@cache
def tiny(context: int = 64) -> Checkpoint:
    """A small random model that reads bytes."""
    return Checkpoint(make(context), TOKENIZER, "tiny", Path("tiny"))


class Client:
    """Requests to a port of this machine."""

    def __init__(self, port: int, models: Models, log: list[str], server: Server) -> None:
        self.port, self.models, self.log, self.server = port, models, log, server
        self.engine = models.first.engine

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if body is None else {"content-type": "application/json"}
        connection.request(method, path, data, kind | (headers or {}))
        response = connection.getresponse()
        found = response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        connection.close()
        return found

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        """The JSON of an answer, which must be one."""
        status, _, body = self.request("POST", path, fields)
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def complete(self, prompt: Any, **fields: Any) -> dict[str, Any]:
        """An answer of /v1/completions."""
        return self.post("/v1/completions", prompt=prompt, **fields)

    def refused(self, path: str, fields: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        """(status, error) of a refusal, which is one sentence."""
        status, _, body = self.request("POST", path, fields, headers)
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"].endswith((".", "?"))
        assert "\n" not in error["message"]
        return status, error

    def events(self, path: str, **fields: Any) -> list[Any]:
        """The events of a stream; the last one is "[DONE]", or an error."""
        status, headers, body = self.request("POST", path, fields | {"stream": True})
        assert status == 200, body
        assert headers["content-type"].startswith("text/event-stream")
        lines = [part.removeprefix("data: ") for part in body.decode().removesuffix("\n\n").split("\n\n")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]

    def begun(self, **fields: Any) -> "Stream":
        """A stream that has begun."""
        return Stream(self.port, fields | {"stream": True})


class Stream:
    """A stream of /v1/completions whose first bytes have been read."""

    def __init__(self, port: int, fields: dict[str, Any]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        kind = {"content-type": "application/json"}
        self._connection.request("POST", "/v1/completions", json.dumps(fields), kind)
        self._response = self._connection.getresponse()
        self._response.read(20)

    def rest(self) -> bytes:
        """All that is still to come."""
        return self._response.read()

    def leave(self) -> None:
        """Go, as a client that hangs up."""
        self._response.close()
        self._connection.close()


def until(happened: Any) -> None:
    """Wait until a function returns something true."""
    while not happened():
        time.sleep(0.005)


@contextlib.contextmanager
def serving(
    *checkpoints: Checkpoint, settings: Settings | None = None, limits: Limits | None = None, moment: float = 0.0
) -> Iterator[Client]:
    """A client of a server of these models inside this block."""
    log: list[str] = []
    models = Models([Served(one.name, one, limits or Limits()) for one in checkpoints or (tiny(),)])
    app = create_api(models, settings or Settings(), log.append)
    server = Server(app, models, ApiConnection, moment)
    models.start()
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield Client(listener.getsockname()[1], models, log, server)
        finally:
            server.should_exit = True
            thread.join(30)
            models.end()
