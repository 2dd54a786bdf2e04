"""`gpt2 explain TEXT --page`: the page is served until a signal, and the command ends within two seconds of it.

In: a loaded checkpoint, and what the page opens with. Out: nothing. Read next: gpt2/server/run.py.
"""

from typing import Any

from gpt2.cli.leave import serve_until_signal
from gpt2.server.run import open_page


def show_page(checkpoint: Any, text: str, port: int, browser: bool, beside: Any = None) -> None:
    """Serve until Ctrl-C, which is how it ends: exit code 0. Raises `Ended` for other signals."""
    serve_until_signal(lambda: open_page(checkpoint, text, port, browser, beside))
