"""What "mean" is the mean over: the bundled stories, read with a model once, when first asked for.

In: a checkpoint. Out: a `Reference` whose means are computed. Read next: session.py, api/explaining.py.
"""

import threading
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
        self._taken: Reference | None = None

    def take(self) -> Reference:
        """The reference, computed by the end of the call."""
        if self._taken is None:
            with turn(self._lock):
                if self._taken is None:
                    means = reference(self.checkpoint)
                    means.compute()
                    self._taken = means
        return self._taken
