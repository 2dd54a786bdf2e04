"""A command that serves until a signal, and then ends within two seconds.

In: a function that serves. Out: nothing; how the process ends is settled. Read next: serve.py, explain/page.py.
"""

import atexit
import os
import sys
from collections.abc import Callable

from gpt2.cli.terminal import Ended


def serve_until_signal(serve: Callable[[], bool]) -> None:
    """Serve until Ctrl-C, which is how it ends: exit code 0. Raises `Ended` for other signals.

    serve  returns whether it has served, True at Ctrl-C
    """
    try:
        served = serve()
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
