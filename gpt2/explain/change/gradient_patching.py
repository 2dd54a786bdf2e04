"""Attribution patching: the same grids as patching.py from one backward pass, to first order.

In: a `Patching`. Out: one `PatchGrid` per grid, with `method="gradient"`; its `correlation` with the exact grid says
how far to trust it. A cell is <source value - receiver value, d m / d value at the receiver>, divided by
m_source - m_receiver. It is exact where m is linear between the two values, and poor for large steps, such as a whole
stream's.
Source: Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale"; Syed, Rager and Conmy 2023, arXiv
2310.10348, section 3.
"""

from collections.abc import Sequence

import torch

from gpt2.explain.change.patching import GRIDS, PatchGrid, Patching
from gpt2.probe import Probe


def gradient_grids(patching: Patching, grids: Sequence[str] = tuple(GRIDS)) -> dict[str, PatchGrid]:
    """The estimated grids, by name. Raises UsageError for an unknown grid."""
    receiver, source = patching.receiver, patching.source
    shapes = {grid: (patching.model.config.n_layer, patching.columns(grid)) for grid in grids}
    points = [(l, GRIDS[grid]) for grid in grids for l in range(patching.model.config.n_layer)]
    probe = Probe([f"{l}.{point}" for l, point in points], grad=True)
    with torch.enable_grad():
        m = patching.answer(receiver.model.hidden(receiver.ids, probe=probe)[0, -1])
        values = [probe.values[key] for key in points]
        gradients = torch.autograd.grad(m, values)  # the weights' own .grad stays as it is
    found = {}
    for grid, (L, K) in shapes.items():
        scores = torch.zeros(L, K, dtype=torch.float64)
        for l in range(L):
            at = points.index((l, GRIDS[grid]))
            step = source.probe.values[points[at]] - receiver.probe.values[points[at]]
            change = (step * gradients[at]).detach().double().sum(-1)[0]  # (T) or, for heads, (H, T)
            scores[l] = (change.sum(-1) if grid == "head" else change).cpu() / patching.scale
        found[grid] = patching.as_grid(grid, scores, "gradient")
    return found
