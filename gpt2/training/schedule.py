"""The learning rate as a pure function of the step."""

import math


def cosine(step: int, steps: int, warmup_steps: int, floor: float) -> float:
    """The factor on the peak rate at `step` (0-based): linear warm-up, then cosine down to `floor` at the last step.

    Brown et al. 2020 (GPT-3), appendix B: warm-up, then cosine to 10% of the peak. The first step already has
    1 / warmup_steps of the peak; a warm-up longer than the run is simply cut off.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, steps - 1 - warmup_steps))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def linear(step: int, steps: int, warmup_steps: int, floor: float) -> float:
    """As `cosine`, with a straight line from the peak to `floor`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, steps - 1 - warmup_steps))
    return 1 - (1 - floor) * progress


SCHEDULES = {"cosine": cosine, "linear": linear}
