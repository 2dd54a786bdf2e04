"""What a component does: traced, attributed, switched off.

    from gpt2.explain import heads, off, trace    # what is meant for use, everything in __all__
    from gpt2.explain.off import Off, expand      # the rest, out of its own file

Several functions have the name of the file that they stand in (`off`, `lens`, `heads`, `trace`, ...): in this package
that name is the function. So `import gpt2.explain.off as x` gives the function too; what else a file holds comes by
`from gpt2.explain.off import ...`.
"""

from gpt2.explain.attribution import Attribution, attribution
from gpt2.explain.behaviours import behaviours
from gpt2.explain.edits import freeze, keep_constant, mean, mean_by_position, resample, scale, take, to_first, zero
from gpt2.explain.effects import Effects, effects
from gpt2.explain.embeddings import neighbours, position_similarity
from gpt2.explain.gradient_patching import gradient_grids
from gpt2.explain.heads import heads
from gpt2.explain.lens import Lens, lens
from gpt2.explain.neurons import neuron
from gpt2.explain.off import before_after, excerpt, off, switch
from gpt2.explain.pair_effects import attribution_over_pairs, off_over_pairs, patch_over_pairs
from gpt2.explain.pairs import accuracy, read_pairs
from gpt2.explain.patching import Patching
from gpt2.explain.reference import Reference, reference
from gpt2.explain.stream import gradient_norms, stream
from gpt2.explain.trace import Run, trace

__all__ = [
    "Attribution", "Effects", "Lens", "Patching", "Reference", "Run", "accuracy", "attribution",
    "attribution_over_pairs", "before_after", "behaviours", "effects", "excerpt", "freeze", "gradient_grids",
    "gradient_norms", "heads", "keep_constant", "lens", "mean", "mean_by_position", "neighbours", "neuron", "off",
    "off_over_pairs", "patch_over_pairs", "position_similarity", "read_pairs", "reference", "resample", "scale",
    "stream", "switch", "take", "to_first", "trace", "zero",
]  # fmt: skip
