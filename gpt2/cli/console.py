"""What is drawn with rich: tables, and how far a command is. In a terminal only its own sequences steer it.

Tables. In: what is to be printed. Out: lines with colours in a terminal, plain text in a pipe. A text is never read as
rich's markup, since it may come from a file: `[/]` in the name of a row is those three characters.

Progress. In: what is being done, and from time to time how much of it is done. Out: nothing for the first second; then,
on standard error, a bar with the time left, or now and then a line where that is no terminal; the time so far as long
as no share is known. Every command that may take long uses this; `gpt2 train` and `gpt2 finetune`, which print a line
for each step, have bars of their own.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from threading import Event, Thread
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from gpt2.base.visible import visible
from gpt2.cli.terminal import beneath

Tell = Callable[..., None]  # tell(done, total), perhaps tell(done, total, "7 MB/s")
BAR_AFTER = 1.0  # seconds
LINES_AFTER = (3.0, 27.0, 60.0, 120.0, 240.0)  # seconds before each line; then as the last


class VisibleConsole(Console):
    """A console on standard output, or on standard error; in a terminal every text is made visible."""

    def __init__(self, stderr: bool = False, **settings: Any) -> None:
        stream = beneath(sys.stderr if stderr else sys.stdout)
        super().__init__(file=stream, highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as rich's text, visible before its width is measured."""
        return super().render_str(visible(text) if self.is_terminal else text, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything, their texts visible; the console's own control codes as they are."""
        for segment in super().render(renderable, options):
            seen = self.is_terminal and not segment.control
            yield Segment(visible(segment.text), segment.style) if seen else segment

    def on_broken_pipe(self) -> None:
        """A reader that has gone is what it is everywhere: main.py decides what that means."""
        raise BrokenPipeError


class Sign:
    """What is being done, since when, and the share of it that is done, None as long as nobody told."""

    def __init__(self, what: str, began: float | None = None) -> None:
        self.what, self.began = what, time.monotonic() if began is None else began
        self.share: float | None = None
        self.note = ""

    def tell(self, done: float, total: float, note: str = "") -> None:
        """So much of so much is done."""
        self.share, self.note = (done / total if total else None), note

    def said(self) -> str:
        """Share and time left, such as "12%, about 3 min left"; or the time so far."""
        elapsed, share = time.monotonic() - self.began, self.share
        told = f"{self.note}, " if self.note else ""
        if share is None or not 0 < share < 1:
            return f"{told}{duration(elapsed)} so far"
        return f"{share:.0%}, {told}about {duration(elapsed * (1 - share) / share)} left"


@contextmanager
def of_steps(total: int, wanted: bool) -> Iterator[Callable[[int], None]]:
    """The same for training whose lines go to a standard output that is no terminal: tell(done) after each step.

    The first step that is told is the first that this command takes. wanted=False shows nothing.
    """
    if not wanted:
        yield lambda done: None
        return
    before: list[int] = []
    with progress("training") as tell:

        def told(done: int) -> None:
            before.extend([done - 1] * (not before and done > 0))
            if before:
                tell(done - before[0], total - before[0], f"step {done:,} of {total:,}")

        yield told


def duration(seconds: float) -> str:
    """40 s, 26 min, 3.2 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress(what: str, began: float | None = None) -> Iterator[Tell]:
    """Show how far it is while the block runs, which calls `tell(done, total)`; print nothing else inside it.

    began   when the work began, by time.monotonic, where that was before the block
    """
    sign, over = Sign(what, began), Event()
    stream = sys.stderr
    if stream is None:
        yield sign.tell
        return
    drawn = stream.isatty() and os.environ.get("TERM") != "dumb"
    thread = Thread(target=_draw if drawn else _lines, args=(sign, over), daemon=True)
    thread.start()
    try:
        yield sign.tell
    finally:
        over.set()
        thread.join()


def _lines(sign: Sign, over: Event) -> None:
    """A line now and then, the seldomer the longer it takes."""
    for seconds in chain(LINES_AFTER, repeat(LINES_AFTER[-1])):
        if over.wait(seconds):
            return
        with suppress(OSError, ValueError):  # the reader has gone: the command itself goes on
            print(f"gpt2: {sign.what}: {sign.said()}", file=sys.stderr, flush=True)


def _draw(sign: Sign, over: Event) -> None:
    """A bar that vanishes at the end."""
    if over.wait(BAR_AFTER):
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[said]}", markup=False),
    )
    shown = Progress(
        *columns, console=VisibleConsole(stderr=True), transient=True, auto_refresh=False, redirect_stdout=False
    )
    with suppress(OSError, ValueError), shown as bar:
        line = bar.add_task(sign.what, total=None, said="")
        while not over.wait(0.1):
            total = None if sign.share is None else 1.0
            bar.update(line, completed=sign.share or 0.0, total=total, said=sign.said(), refresh=True)
