"""What excites each neuron of a model, for a live page: the places of a text where it is most active.

In: a checkpoint and documents. Out: for all neurons together what gpt2/explain/change/neurons.py finds for one, but for
the change of the loss, which takes a pass for every neuron. It takes one pass over the documents.

    tokens      [N] all documents, one after the other
    starts      [D + 1] where each begins, and N
    at          [L, F, n] places in `tokens`, the largest activation first; the first token of a document is left out
    activation  [L, F, n]
    active      [L, F] the share of positions at which the activation is above 0
    text        what the documents are
"""

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import torch

from gpt2.base.onednn import forward_only
from gpt2.base.twin import in_evaluation
from gpt2.explain import Reference
from gpt2.probe import Probe

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint


def contexts(
    checkpoint: "Checkpoint", over: Reference, count: int, progress: Callable[[float], None] = lambda share: None
) -> dict[str, Any]:
    """The `count` strongest places of each neuron in the documents, see the module's docstring."""
    model = in_evaluation(checkpoint.model)
    L = model.config.n_layer
    probe = Probe(read=["*.mlp.post"])
    starts = [0, *accumulate(len(row) for row in over.rows)]
    places = torch.cat([torch.arange(start + 1, end) for start, end in pairwise(starts)])
    count = min(count, len(places))
    best = [(torch.empty(0), torch.empty(0, dtype=torch.long))] * L  # activations and places, [F, n] each
    above = [torch.zeros(())] * L
    for d, row in enumerate(over.rows):
        with forward_only(model.lm_head.weight):
            model.hidden(torch.tensor([row], device=model.lm_head.weight.device), probe=probe)
        for l in range(L):
            post = probe[f"{l}.mlp.post"][0, 1:].float().cpu().t()  # (F, T - 1)
            here = torch.arange(starts[d] + 1, starts[d + 1]).expand(len(post), -1)
            values, at = (torch.cat(pair, 1) if d else pair[1] for pair in zip(best[l], (post, here)))
            top = values.topk(min(count, values.size(1)), dim=1)
            best[l] = top.values, at.gather(1, top.indices)
            above[l] = above[l] + (post > 0).sum(1)
        progress((d + 1) / len(over.rows))
    return {
        "tokens": torch.tensor([i for row in over.rows for i in row]),
        "starts": torch.tensor(starts),
        "at": torch.stack([at for _, at in best]),
        "activation": torch.stack([values for values, _ in best]),
        "active": torch.stack(above) / len(places),
        "text": over.name,
    }
