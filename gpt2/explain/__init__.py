"""What a component does: traced, attributed, switched off."""

from gpt2.explain.edits import freeze, keep_constant, mean, mean_by_position, resample, scale, take, to_first, zero
from gpt2.explain.reference import Reference, reference
from gpt2.explain.trace import Run, trace

__all__ = [
    "Reference", "Run", "freeze", "keep_constant", "mean", "mean_by_position", "reference", "resample", "scale", "take",
    "to_first", "trace", "zero",
]  # fmt: skip
