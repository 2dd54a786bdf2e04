"""A figure that a notebook shows by itself, without `%matplotlib inline`.

Made by draw.py, which imports this (and with it matplotlib) only when something is drawn.
"""

import io

from matplotlib.figure import Figure


class Picture(Figure):
    """A matplotlib figure; IPython asks what it shows for the methods `_repr_*_`."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
