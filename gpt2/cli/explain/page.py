"""`gpt2 explain TEXT --page`: the page is served until a signal, and the command ends within two seconds of it.

In: a loaded checkpoint, and what the page opens with. Out: nothing. Read next: gpt2/server/run.py.
"""

import atexit
import os
import sys
from typing import Any

from gpt2.cli.terminal import Ended
from gpt2.server.run import open_page


def show_page(checkpoint: Any, text: str, port: int, browser: bool) -> None:
    """Serve until Ctrl-C, which is how it ends: exit code 0. Raises `Ended` for other signals."""
    try:
        served = open_page(checkpoint, text, port, browser)
    except Ended as stop:
        atexit.register(_leave, stop.number)
        raise
    if served:
        atexit.register(_leave, 0)


def _leave(code: int) -> None:
    """End without tidying torch's objects away, which takes a second, and many on a busy machine."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
