"""Serve models to clients: check who may reach them, open the socket, answer until a signal.

In: models, a host and a port. Out: nothing; the address is printed. Behind a signal streams go on for a moment, then
they end with an error. Read next: app.py, gpt2/server/serving.py.
"""

import ipaddress
import shlex
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from gpt2.base.errors import UsageError
from gpt2.server.api.app import Settings, create_api
from gpt2.server.api.errors import shape
from gpt2.server.api.served import Models
from gpt2.server.connection import Connection
from gpt2.server.guard import LOCAL
from gpt2.server.run import bound, check_port
from gpt2.server.serving import Server, finish, serve

MOMENT = 5.0  # seconds that answers under way may go on behind a signal
CONNECTIONS = 512


class ApiConnection(Connection):
    """A connection whose refusals have OpenAI's shape; there may be more of them than a page needs."""

    shape = staticmethod(shape)

    @property
    def most(self) -> int:
        """Connections at once."""
        return CONNECTIONS


def is_local(host: str) -> bool:
    """Whether only this machine reaches a host. UsageError for what is neither an address nor a name of one."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise UsageError(
            argument="host", value=host, mend="give 127.0.0.1, 0.0.0.0 or an address of this machine."
        ) from None


def check_reach(host: str, key: str | None) -> None:
    """UsageError where others than this machine could reach the server without a key."""
    if not is_local(host) and key is None:
        raise UsageError(
            f"{host} is reached from beyond this machine",
            "give {api_key} as well, or leave {host} out.",
            api_key="KEY",
            host=None,
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address, on any free port for 0. UsageError where it cannot be had."""
    check_port(port)
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return bound(family, address)
    except OSError as error:
        why = getattr(error, "strerror", None) or str(error)
        mend = f"it cannot be used on {host} ({why.lower()}): give another, or 0 for any that is free."
        raise UsageError(argument="port", value=port, mend=mend) from None


def serve_models(models: Models, settings: Settings, host: str, port: int, log: Callable[[str], None]) -> bool:
    """Serve until a signal comes, which is raised again; Ctrl-C alone ends it by returning True."""
    if not is_local(host):
        settings = replace(settings, hosts=None)
    elif host not in LOCAL:
        settings = replace(settings, hosts=(*LOCAL, host))
    app = create_api(models, settings, log)
    listener = listen(host, port)
    try:
        models.start()
        log(greeting(models, settings, host, listener.getsockname()[1], app.state.page is not None))
        serve(Server(app, models, ApiConnection, MOMENT), listener)
    except BaseException as stop:  # it may come before the server listens for signals
        finish(models, getattr(stop, "number", 0))
        if not isinstance(stop, KeyboardInterrupt):
            raise
    return True


def greeting(models: Models, settings: Settings, host: str, port: int, page: bool) -> str:
    """What stands in the terminal while it serves: the address, and a request to try."""
    there = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    address = f"http://{there}:{port}"
    body = f'{{"model": "{models.first.name}", "prompt": "Once upon a time", "max_tokens": 20}}'
    key = "" if settings.key is None else ' -H "Authorization: Bearer $GPT2_API_KEY"'
    lines = [
        f"serving {', '.join(models.served)} at {address}/v1",
        f"try: curl {address}/v1/completions{key} -H 'Content-Type: application/json' -d {shlex.quote(body)}",
    ]
    if page:
        lines.append(f"the explain page: {address}/")
    if not models.first.chat.template.own:
        lines.append(f"{models.first.name} has no chat template, so it was probably not trained to chat: "
                     "/v1/chat/completions takes the plain one.")  # fmt: skip
    return "\n".join([*lines, "Ctrl-C ends it."])


def to_stderr(line: str) -> None:
    """Write a line of the log; where standard error has gone, nowhere."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
