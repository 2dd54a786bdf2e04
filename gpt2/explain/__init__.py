"""What a component does: traced, seen, switched off.

    from gpt2.explain import heads, off, trace             # what is meant for use: everything in __all__
    from gpt2.explain.change.switch import expand          # the rest comes from its own file

A name here is loaded when it is asked for. The folders: run/ (one pass, kept and edited), see/ (what can be seen in
it), change/ (what happens without a component), walk/ (every number in order), show/ (tables and plots).
"""

from typing import TYPE_CHECKING

from gpt2.base.lazy import lazily

if TYPE_CHECKING:
    from gpt2.explain.change.before_after import before_after
    from gpt2.explain.change.behaviours import behaviours
    from gpt2.explain.change.effects import Effects, effects
    from gpt2.explain.change.folded import fold
    from gpt2.explain.change.gradient_patching import gradient_grids
    from gpt2.explain.change.heads import heads
    from gpt2.explain.change.leave_one_out import leave_one_out
    from gpt2.explain.change.neurons import neuron
    from gpt2.explain.change.off import excerpt, off
    from gpt2.explain.change.pair_effects import attribution_over_pairs, off_over_pairs, patch_over_pairs
    from gpt2.explain.change.pairs import accuracy, read_pairs
    from gpt2.explain.change.patching import Patching
    from gpt2.explain.change.switch import switch
    from gpt2.explain.run.edits import (
        freeze,
        keep_constant,
        mean,
        mean_by_position,
        resample,
        scale,
        take,
        to_first,
        zero,
    )
    from gpt2.explain.run.reference import Reference, reference
    from gpt2.explain.run.trace import Run, trace
    from gpt2.explain.see.attribution import Attribution, attribution
    from gpt2.explain.see.embeddings import neighbours, position_similarity
    from gpt2.explain.see.lens import Lens, lens
    from gpt2.explain.see.stream import gradient_norms, stream
    from gpt2.explain.walk.calculation import Calculation, calculation

__all__ = [
    "Attribution", "Calculation", "Effects", "Lens", "Patching", "Reference", "Run", "accuracy", "attribution",
    "attribution_over_pairs", "before_after", "behaviours", "calculation", "effects", "excerpt", "fold", "freeze",
    "gradient_grids", "gradient_norms", "heads", "keep_constant", "leave_one_out", "lens", "mean", "mean_by_position",
    "neighbours", "neuron", "off", "off_over_pairs", "patch_over_pairs", "position_similarity", "read_pairs",
    "reference", "resample", "scale", "stream", "switch", "take", "to_first", "trace", "zero",
]  # fmt: skip

__getattr__, __dir__ = lazily(
    __name__,
    {
        "gpt2.explain.change.behaviours": "behaviours",
        "gpt2.explain.change.effects": "Effects effects",
        "gpt2.explain.change.folded": "fold",
        "gpt2.explain.change.gradient_patching": "gradient_grids",
        "gpt2.explain.change.heads": "heads",
        "gpt2.explain.change.leave_one_out": "leave_one_out",
        "gpt2.explain.change.neurons": "neuron",
        "gpt2.explain.change.before_after": "before_after",
        "gpt2.explain.change.off": "excerpt off",
        "gpt2.explain.change.switch": "switch",
        "gpt2.explain.change.pair_effects": "attribution_over_pairs off_over_pairs patch_over_pairs",
        "gpt2.explain.change.pairs": "accuracy read_pairs",
        "gpt2.explain.change.patching": "Patching",
        "gpt2.explain.run.edits": "freeze keep_constant mean mean_by_position resample scale take to_first zero",
        "gpt2.explain.run.reference": "Reference reference",
        "gpt2.explain.run.trace": "Run trace",
        "gpt2.explain.see.attribution": "Attribution attribution",
        "gpt2.explain.see.embeddings": "neighbours position_similarity",
        "gpt2.explain.see.lens": "Lens lens",
        "gpt2.explain.see.stream": "gradient_norms stream",
        "gpt2.explain.walk.calculation": "Calculation calculation",
    },
)
