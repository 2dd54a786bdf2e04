"""rich's console, for tables and bars: its own sequences steer the terminal, those of the texts in it do not.

In: what is to be printed. Out: lines with colours in a terminal, plain text in a pipe. A text is never read as rich's
markup, since it may come from a file: `[/]` in the name of a row is those three characters.
"""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from gpt2.base.visible import visible
from gpt2.cli.terminal import beneath


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
