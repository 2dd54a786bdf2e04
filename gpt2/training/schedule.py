"""The learning rate as a pure function of the step: what a resumed run needs to know about it is its recipe."""

import math

from gpt2.training.recipe import OptimRecipe


def factor(optim: OptimRecipe, step: int, steps: int) -> float:
    """The factor on the peak rate at `step` (0-based) of a run of `steps` steps, in [0, 1].

    A linear warm-up whose first step already has 1 / warmup_steps of the peak, cut off by the end of the run; then

    cosine    half a cosine from the peak down to the floor at the last step (Brown et al. 2020, appendix B)
    linear    a straight line from the peak down to the floor
    constant  the peak
    wsd       the peak, then a straight line to the floor over the last `decay` of the steps, or over what the
              warm-up leaves of it (warm-up, stable, decay: Hu et al. 2024, "MiniCPM", section 4)

    Past the end of the run it stays there.
    """
    if step < optim.warmup_steps:
        return (step + 1) / optim.warmup_steps
    first, last = optim.warmup_steps, steps - 1
    if optim.schedule == "constant":
        return 1.0
    if optim.schedule == "wsd":
        first = max(first, steps - 1 - round(optim.decay * steps))
    progress = min(1.0, max(0, step - first) / max(1, last - first))
    if optim.schedule == "cosine":
        progress = 0.5 * (1 - math.cos(math.pi * progress))
    return 1 - (1 - optim.floor) * progress
