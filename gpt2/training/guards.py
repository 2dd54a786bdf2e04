"""What stops a run before it wastes time: numbers that are no longer finite, a loss beyond guessing, outliers.

In: the loss and the gradient norm of each step. Out: whether the step is taken. Read next: loop.py.
"""

import math
import statistics
from collections import deque
from typing import Any

from gpt2.base.errors import Failure

REMEMBERED = 128  # steps whose loss and gradient norm say what is usual
FEWEST = 32  # before so many are known nothing is an outlier
LOST = 50  # steps in a row beyond guessing after which a run is given up
BEYOND = 1.5  # times the loss of guessing: above any fresh model, which starts at 1.0 to 1.1


TRY = "Lower optim.lr (and optim.muon_lr), lengthen optim.warmup_steps, or set train.skip_outliers to 6."


class Diverged(Failure):
    """The run cannot go on as it is: the sentence says at which step, why, and what to try."""


class Guard:
    """Judges every step before the weights move.

    skipped   how many steps were skipped so far
    """

    def __init__(self, vocab_size: int, skip_outliers: float, overflows: bool) -> None:
        """skip_outliers: standard deviations, 0 for never; overflows: whether fp16 may overflow at times."""
        self.guessing = math.log(vocab_size)
        self.skip_outliers, self.overflows = skip_outliers, overflows
        self.losses: deque[float] = deque(maxlen=REMEMBERED)
        self.norms: deque[float] = deque(maxlen=REMEMBERED)
        self.lost = self.skipped = 0

    def takes(self, number: int, loss: float, norm: float) -> bool:
        """Whether step `number` is to be taken. Diverged for a loss or norm that is not finite, or a lost run.

        With fp16 an infinite norm under a finite loss is an overflow: the step is skipped and the scale lowered.
        """
        if self.overflows and math.isfinite(loss) and not math.isfinite(norm):
            self.skipped += 1
            return False
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise Diverged(f"step {number}: the loss is {loss:.4g} and the gradient norm {norm:.4g}.", TRY)
        self.lost = self.lost + 1 if loss > BEYOND * self.guessing else 0
        if self.lost == LOST:
            raise Diverged(
                f"step {number}: the loss is {loss:.4g}; in the last {LOST} steps it was always more than {BEYOND} "
                f"times that of guessing, {self.guessing:.4g}.",
                TRY,
            )
        if self.skip_outliers and (self._outlier(loss, self.losses) or self._outlier(norm, self.norms)):
            self.skipped += 1
            return False
        self.losses.append(loss)
        self.norms.append(norm)
        return True

    def _outlier(self, value: float, usual: deque[float]) -> bool:
        """(value - mean) / standard deviation above the limit."""
        if len(usual) < FEWEST:
            return False
        return value - statistics.fmean(usual) > self.skip_outliers * statistics.pstdev(usual)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know, plain numbers."""
        return {"losses": [*self.losses], "norms": [*self.norms], "lost": self.lost, "skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.losses = deque(state["losses"], REMEMBERED)
        self.norms = deque(state["norms"], REMEMBERED)
        self.lost, self.skipped = state["lost"], state["skipped"]
