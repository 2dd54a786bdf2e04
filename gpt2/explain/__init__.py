"""What a component does: traced, attributed, switched off."""

from gpt2.explain.attribution import Attribution, attribution
from gpt2.explain.edits import freeze, keep_constant, mean, mean_by_position, resample, scale, take, to_first, zero
from gpt2.explain.effects import Effects, effects
from gpt2.explain.embeddings import neighbours, position_similarity
from gpt2.explain.lens import Lens, lens
from gpt2.explain.neurons import neuron
from gpt2.explain.reference import Reference, reference
from gpt2.explain.stream import gradient_norms, stream
from gpt2.explain.trace import Run, trace

__all__ = [
    "Attribution", "Effects", "Lens", "Reference", "Run", "attribution", "effects", "freeze", "gradient_norms",
    "keep_constant", "lens", "mean", "mean_by_position", "neighbours", "neuron", "position_similarity", "reference",
    "resample", "scale", "stream", "take", "to_first", "trace", "zero",
]  # fmt: skip
