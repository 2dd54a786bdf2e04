"""What a live page brings: the graph, the tokenizer and the means in one piece, the weights in another.

In: a checkpoint. Out: tensors and bytes for gpt2/server/web/engine/engine.js. The weights are a safetensors file in
half precision, in the layout and under the names of the graph; what was stored in 32 bits is rounded. In 8 bits:
rounded.py.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import safetensors.torch

from gpt2.explain.live.averages import averages
from gpt2.explain.live.graphs import graph_of
from gpt2.explain.live.tokenizer import tokenizer_data

if TYPE_CHECKING:
    from gpt2.checkpoint.files import Checkpoint


def parts(
    checkpoint: "Checkpoint", points: Sequence[str], progress: Callable[[float], None] = lambda share: None
) -> dict[str, Any]:
    """The graph, the tokenizer, and the mean at every switch, with tensors for the arrays.

    points    that have a switch, such as "attn.z": whose means are brought
    progress  told how much of the means, the slowest part, is taken

    Raises UsageError for a variant, and for a tokenizer that the page's engine does not have.
    """
    graph = graph_of(checkpoint.model)
    return {
        "graph": {name: graph[name] for name in ("nodes", "points", "keys", "values", "config")},
        "tokenizer": tokenizer_data(checkpoint.tokenizer),
        "means": averages(checkpoint, points, progress),
    }


def weights(checkpoint: "Checkpoint") -> bytes:
    """The parameters as a safetensors file in half precision; what two names share is there once."""
    seen: dict[int, str] = {}
    held = {}
    for name, value in checkpoint.model.state_dict().items():
        if value.data_ptr() not in seen:
            seen[value.data_ptr()] = name
            held[name] = value.detach().half().contiguous()
    return safetensors.torch.save(held)
