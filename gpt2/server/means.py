"""What "mean" is the mean over: the bundled stories, read with a model once, when first asked for.

In: a checkpoint. Out: a `Reference`, whose means are computed where they are wanted. Read next: session.py,
api/explaining.py.
"""

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from gpt2.base.stopping import turn
from gpt2.explain import Reference, reference

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint


class Means:
    """The means of one model. Questions that come together wait for the same pass."""

    def __init__(self, checkpoint: "Checkpoint") -> None:
        self.checkpoint = checkpoint
        self._lock = threading.Lock()
        self._taken = False

    @cached_property
    def text(self) -> Reference:
        """The reference, whose means may be still to be computed."""
        return reference(self.checkpoint)

    def computed(self) -> Reference:
        """The reference with its means."""
        if not self._taken:
            with turn(self._lock):
                if not self._taken:
                    self.text.compute()
                    self._taken = True
        return self.text
