"""The lens of a pass with switches, from that of the pass without: before the first switch the stream is the same.

In: what the lens said without switches, and the rest of it with them. Out: the whole with them. Only the distance from
the final answer is new before the first switch, since that answer has changed. Read next: lens.py.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gpt2.base.onednn import forward_only
from gpt2.explain.see.flow import Flow


def unchanged(n_layer: int, switches: Mapping[str, str]) -> int:
    """How many points of the stream, from its beginning, lie before every switch."""
    counts = [2 * n_layer + 1]
    for address in switches:
        layer, _, part = address.partition(".")
        if layer.isdecimal():
            counts.append(2 * int(layer) + (2 if part in ("mlp", "ln_2.scale") else 1))
        else:
            counts.append(2 * n_layer if address == "final.scale" else 0)  # the last point is the model's own answer
    return min(counts)


def log_probabilities(now: Flow, points: Sequence[str], first: int, stop: int) -> Tensor:
    """Log probabilities at each point for the positions from `first` to `stop`, [P, R, V], as the lens takes them."""
    model = now.run.model
    with forward_only(model.lm_head.weight):
        streams = torch.stack([now.stream(point)[first:stop] for point in points])
        return model.head(model.transformer.ln_f(streams)).float().log_softmax(-1)


def joined(known: Mapping[str, Tensor], rest: Mapping[str, Tensor], early: Tensor, final: Tensor) -> dict[str, Tensor]:
    """The lens over all points: `known` [P, R] without switches, `rest` [P - k, R] with them, from point k on.

    `early` [k, R, V] are the log probabilities before the first switch, `final` [R, V] the logits with the switches.
    """
    final_log_p = final.log_softmax(-1)
    final_p = final_log_p.exp()
    entropy = (final_p * final_log_p).sum(-1)
    kl = entropy - torch.einsum("rv,prv->pr", final_p, early)
    before = {**{name: known[name][: len(early)] for name in rest}, "kl": kl}
    return {name: torch.cat([before[name], rest[name]]) for name in rest}
