"""When a fine-tune has learned what it can from its text: the validation loss, watched.

In: the events of a run. Out: the best loss, where it was reached, and whether to go on. Read next: finetune.py.
"""

import math
from typing import Any

import torch

from gpt2.data.examples import Examples
from gpt2.model import GPT2

FEW_TOKENS = 2000  # to validate on: below that many a loss is reported with its interval


class Patience:
    """Watches the validation loss: `lost` after so many evaluations in a row that brought nothing better; 0: never.

    An improvement on what training has reached so far counts, whether or not it is below the start: the rate has yet
    to fall.
    """

    def __init__(self, first: dict[str, Any], evaluations: int) -> None:
        ((_, self.start),) = first["val"].items()
        self.evaluations = evaluations
        self.best, self.best_step, self.worse = math.inf, 0, 0

    def see(self, event: dict[str, Any]) -> None:
        """An event of the run; those without a validation loss change nothing."""
        for loss in event.get("val", {}).values():
            if loss < self.best:
                self.best, self.best_step, self.worse = loss, event["step"] + 1, 0
            else:
                self.worse += 1

    @property
    def lost(self) -> bool:
        """Whether to end the run."""
        return 0 < self.evaluations <= self.worse


@torch.no_grad()
def interval(model: GPT2, val: Examples) -> float | None:
    """Half the width of the 95% interval of the mean loss on a validation set of fewer than FEW_TOKENS tokens, in nats
    per token, as if the losses of tokens were independent: 1.96 s / sqrt(n). None for a larger set, and for one token.
    """
    if not 1 < val.tokens < FEW_TOKENS:
        return None
    device = next(model.parameters()).device
    losses = []
    for row in range(len(val)):
        ids, targets = (part.to(device) for part in val.rows(row, row + 1))
        losses.append(model.eval()(ids, targets, reduction="none")[targets >= 0].double())
    found = torch.cat(losses)
    return float(1.96 * found.std() / math.sqrt(len(found)))
