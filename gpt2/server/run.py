"""Open the page: serve the application on this machine, and point a browser at it.

In: a checkpoint and a text. Out: a server on 127.0.0.1 until Ctrl-C. Read next: app.py, serving.py.
"""

import contextlib
import socket
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gpt2.base.errors import UsageError

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint

HOST = "127.0.0.1"
PORT = 8271
SMALL = 50_000_000  # parameters: means of the bundled stories take seconds


def open_page(
    checkpoint: "Checkpoint",
    text: str,
    port: int | None = None,
    browser: bool = True,
    beside: "Checkpoint | None" = None,
) -> bool:
    """Serve the page for `text` until interrupted; its address is printed, and opened where `browser`. Returns True.

    port  None: 8271, or any free one where that is taken. UsageError where a port that was asked for is taken.
    beside  another model with the same tokenizer: the page opens with both beside each other
    """
    from gpt2.server.app import create_app
    from gpt2.server.serving import Server, finish, serve

    check_port(port or 0)
    app = create_app(checkpoint, beside=beside)  # first: it may refuse the model
    listener = listen(port)
    # Quotes are for shells that make a link of what they print; the fragment never leaves the browser.
    address = f"http://{HOST}:{listener.getsockname()[1]}/#text={quote(text, safe='')}"
    address += "" if beside is None else "&view=compare&against=model"
    print(f"{address}\nCtrl-C ends it.", file=sys.stderr, flush=True)
    jobs, session = app.state.jobs, app.state.session
    with contextlib.suppress(KeyboardInterrupt):
        try:
            # The first switch to a mean would wait for the means: they are taken while the reader looks at the first
            # picture.
            if sum(p.numel() for p in checkpoint.model.parameters()) < SMALL:
                jobs.start(lambda: session.means)
            if browser:
                opening = threading.Timer(0.3, webbrowser.open, [address])
                opening.daemon = True
                opening.start()
            serve(Server(app, jobs), listener)
        except BaseException as stop:  # it may come before the server listens for signals
            finish(jobs, getattr(stop, "number", 0))
            raise
    return True


def check_port(port: int) -> None:
    """UsageError for a number that is no port: some systems take 99999 for 34463, its last 16 bits."""
    if not 0 <= port < 2**16:
        raise UsageError(argument="port", value=port, mend="choose 0 to 65,535.")


def listen(port: int | None) -> socket.socket:
    """A socket on 127.0.0.1: on `port`, on any free one for 0, on 8271 or any free one for None."""
    check_port(port or 0)
    for wanted in (port,) if port is not None else (PORT, 0):
        try:
            return bound(socket.AF_INET, (HOST, wanted))
        except OSError as error:
            if port is not None:
                raise UsageError(f"port {port} cannot be used ({error}): choose another, or leave it out.") from None
    raise OSError("no port of this machine is free: close another program that serves pages.")


def bound(family: socket.AddressFamily, address: Any) -> socket.socket:
    """A listening socket at an address. Raises OSError where it cannot be had."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # who knows the address may connect: the first requests wait for the server
    except BaseException:
        listener.close()
        raise
    return listener
