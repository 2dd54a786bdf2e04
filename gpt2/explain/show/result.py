"""How every result shows itself: as text, in a notebook, as JSON.

In: a result's own `table()` and `to_dict()`. Out: `print(result)`, a notebook's HTML, plain lists and numbers.
Read next: any result, lens.py say.
"""

import io
from typing import TYPE_CHECKING, Any

from gpt2.base.visible import visible

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

WIDTH = 100  # columns of a printed table


class Result:
    """A base for frozen dataclasses that hold tensors: two methods to write, the rest follows from them."""

    def table(self) -> "Table":
        """The result as a rich Table."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready lists, numbers and texts."""
        raise NotImplementedError

    def __rich__(self) -> "Group":
        """Title, table, caption below one another: rich itself would fold a title to the width of its table."""
        from rich.console import Group

        shown = self.table()
        title, caption, shown.title, shown.caption = shown.title, shown.caption, None, None
        return Group(*([title] if title else []), shown, *([caption] if caption else []))

    def _printed(self) -> "Console":
        from rich.console import Console

        console = Console(
            file=io.StringIO(),
            width=WIDTH,
            record=True,
            force_jupyter=False,
            highlight=False,
            markup=False,
            emoji=False,
        )
        console.print(self)
        return console

    def __str__(self) -> str:
        lines = self._printed().export_text().splitlines()
        return visible("\n".join(line.rstrip() for line in lines))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._printed().export_html(inline_styles=True, code_format='<pre style="line-height:1.3">{code}</pre>')


def table(*columns: str, title: str | None = None, caption: str | None = None) -> "Table":
    """An empty table in the house style; a column whose name begins with `>` is right-aligned."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", title=title, caption=caption)
    made.title_justify = made.caption_justify = "left"
    for column in columns:
        right = column.startswith(">")
        made.add_column(column.removeprefix(">"), justify="right" if right else "left", no_wrap=True)
    return made


def number(x: float) -> str:
    """Three significant digits, with sign where it is negative."""
    return f"{x:.3g}" if abs(x) < 1000 else f"{x:.0f}"
